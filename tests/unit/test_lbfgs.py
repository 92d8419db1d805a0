"""L-BFGS on a linear least-squares problem, whose solution is known."""

import pytest
import torch

from aiv_rba.optimisers.lbfgs import LBFGS
from aiv_rba.optimisers.ssbroyden import SSBroyden
from aiv_rba.problem import Batch, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import LBFGSSettings, SSBroydenSettings

ONE = Ranks(0, 1, torch.device("cpu"))
TERMS = {"data": ("data",)}


class Fit(Residuals):
    """A x + b - y."""

    terms = TERMS
    governing = "data"

    def data(self, x, y):
        return self.network(x) - y


def test_finds_the_weighted_least_squares_solution_in_few_steps():
    torch.manual_seed(0)
    x = torch.randn(40, 5, dtype=torch.float64)
    y = torch.randn(40, 1, dtype=torch.float64)
    weights = torch.rand(40, 1, dtype=torch.float64) + 0.1
    fit = Fit(torch.nn.Linear(5, 1).double())
    batch = Batch(0, {"data": (x, y)}, {"data": torch.arange(40)}, {"data": 40})
    optimiser = LBFGS(LBFGSSettings(compile=False), fit, ONE)
    calls = []

    def weigh(batch, e):
        calls.append(e)
        return {"data": weights}

    for _ in range(30):
        rows = optimiser.step(batch, weigh)["data"]
    # The multipliers are asked for once a step, not at every trial of its line search.
    assert len(calls) == 30
    design = torch.cat([x, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    exact = torch.linalg.lstsq(weights * design, weights * y).solution.flatten()
    found = torch.cat([fit.network.weight.flatten(), fit.network.bias])
    torch.testing.assert_close(found.detach(), exact, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(rows.detach(), weights * (design @ exact[:, None] - y))


@pytest.mark.parametrize("kind", [LBFGS, SSBroyden])
def test_gradients_are_paired_under_the_same_multipliers(monkeypatch, kind):
    """Of a quadratic loss, y = H s, although the multipliers change at every step."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 5, dtype=torch.float64), torch.randn(40, 1, dtype=torch.float64)
    weights = torch.rand(2, 40, 1, dtype=torch.float64) + 0.1
    fit = Fit(torch.nn.Linear(5, 1).double())
    batch = Batch(0, {"data": (x, y)}, {"data": torch.arange(40)}, {"data": 40})
    settings = {LBFGS: LBFGSSettings, SSBroyden: SSBroydenSettings}[kind](compile=False)
    optimiser = kind(settings, fit, ONE)
    updates = []
    monkeypatch.setattr(SSBroyden, "_update", lambda self, s, y, b_s: updates.append((s, y)))
    for step in range(6):
        optimiser.step(batch, lambda batch, e, w=weights[step % 2]: {"data": w})
    design = torch.cat([x, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    hessians = [2 * (w * design).T @ (w * design) for w in weights]
    if kind is LBFGS:
        # The last gradient of a pair is the first one of the next step.
        state = optimiser.lbfgs.state[fit.network.weight]
        updates = list(zip(state["old_stps"], state["old_dirs"], strict=True))
        hessians.reverse()
    assert len(updates) == (5 if kind is LBFGS else 6)
    for step, (s, change) in enumerate(updates):
        exact = hessians[step % 2] @ s
        assert float((change - exact).norm() / exact.norm()) < 1e-10
        other = hessians[(step + 1) % 2] @ s
        assert float((change - other).norm() / other.norm()) > 0.1


def test_the_old_gradient_is_computed_anew_only_where_the_multipliers_have_changed():
    torch.manual_seed(0)
    x, y = torch.randn(9, 3, dtype=torch.float64), torch.randn(9, 1, dtype=torch.float64)
    batch = Batch(0, {"data": (x, y)}, {"data": torch.arange(9)}, {"data": 9})

    def evaluations(change):
        torch.manual_seed(1)
        fit = Fit(torch.nn.Linear(3, 1).double())
        optimiser = LBFGS(LBFGSSettings(compile=False), fit, ONE)
        calls = []
        fit.register_forward_hook(lambda *arguments: calls.append(1))
        for step in range(4):
            factor = 1 + change * step
            optimiser.step(batch, lambda _, e, f=factor: {"data": torch.full_like(e["data"], f)})
        # Those of its own steps and line searches.
        return len(calls) - optimiser.lbfgs.state[fit.network.weight]["func_evals"]

    assert evaluations(0.0) == 0
    assert evaluations(0.1) == 3


def test_goes_on_from_its_state():
    torch.manual_seed(0)
    x, y = torch.randn(9, 3, dtype=torch.float64), torch.randn(9, 1, dtype=torch.float64)
    batch = Batch(0, {"data": (x, y)}, {"data": torch.arange(9)}, {"data": 9})

    def run(first, second):
        torch.manual_seed(1)
        fit = Fit(torch.nn.Linear(3, 1).double())
        optimiser = LBFGS(LBFGSSettings(compile=False), fit, ONE)
        for _ in range(first):
            optimiser.step(batch, lambda batch, e: {"data": torch.ones_like(e["data"])})
        again = LBFGS(LBFGSSettings(compile=False), fit, ONE)
        again.load_state_dict(optimiser.state_dict())
        for _ in range(second):
            again.step(batch, lambda batch, e: {"data": torch.ones_like(e["data"])})
        return fit.network.weight.detach().clone()

    assert torch.equal(run(2, 3), run(5, 0))
