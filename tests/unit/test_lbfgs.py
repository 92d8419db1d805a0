"""L-BFGS on a linear least-squares problem, whose solution is known."""

import torch

from aiv_rba.optimisers.lbfgs import LBFGS
from aiv_rba.problem import Batch, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import LBFGSSettings

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
