"""SSBroyden: its update against that of the Hessian itself, and problems with known solutions."""

import pytest
import torch

from aiv_rba.optimisers.ssbroyden import SSBroyden, self_scaling
from aiv_rba.problem import Batch, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import SSBroydenSettings
from tests.unit.test_lbfgs import TERMS, Fit

ONE = Ranks(0, 1, torch.device("cpu"))
EAGER = SSBroydenSettings(compile=False)


def ones(batch, e):
    return {block: torch.ones_like(values) for block, values in e.items()}


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("curvature", [0.01, 1.0, 100.0])
def test_the_update_is_that_of_the_hessian(curvature, fresh):
    """Tau (B - Bs (Bs)^T / s^T B s + theta w w^T) + y y^T / s^T y, and the secant equation."""
    torch.manual_seed(0)
    optimiser = SSBroyden(EAGER, Fit(torch.nn.Linear(5, 1).double()), ONE)
    root = torch.randn(6, 6, dtype=torch.float64)
    hessian = root @ root.T + torch.eye(6)
    s, y = torch.randn(2, 6, dtype=torch.float64)
    y = curvature * (y + 3 * s)
    assert s @ y > 0
    optimiser.inverse_hessian = hessian.inverse()
    optimiser.fresh = fresh
    b_s = hessian @ s
    b, h = (s @ b_s) / (s @ y), (y @ optimiser.inverse_hessian @ y) / (s @ y)
    theta, tau = self_scaling(float(b), float(h), 6)
    if fresh:
        tau = h / (1 + (b * h - 1) * theta)
    optimiser._update(s, y, b_s)
    w = (s @ b_s).sqrt() * (y / (s @ y) - b_s / (s @ b_s))
    shrunk = hessian - b_s.outer(b_s) / (s @ b_s) + theta * w.outer(w)
    expected = tau * shrunk + y.outer(y) / (s @ y)
    torch.testing.assert_close(optimiser.inverse_hessian.inverse(), expected)
    torch.testing.assert_close(optimiser.inverse_hessian @ y, s)
    assert torch.linalg.eigvalsh(optimiser.inverse_hessian).min() > 0


def test_what_fits_already_is_neither_scaled_nor_changed_in_kind():
    """B s = y: any member of the family leaves B as it is."""
    theta, tau = self_scaling(1.0, 1.0, 10)
    assert tau == pytest.approx(1)
    assert abs(theta) <= 1


def data():
    torch.manual_seed(0)
    x = torch.randn(40, 5, dtype=torch.float64)
    y = torch.randn(40, 1, dtype=torch.float64)
    return x, y, Batch(0, {"data": (x, y)}, {"data": torch.arange(40)}, {"data": 40})


def test_finds_the_least_squares_solution_in_few_steps():
    x, y, batch = data()
    fit = Fit(torch.nn.Linear(5, 1).double())
    optimiser = SSBroyden(EAGER, fit, ONE)
    calls = []

    def weigh(batch, e):
        calls.append(e)
        return ones(batch, e)

    for _ in range(25):
        optimiser.step(batch, weigh)
    # The multipliers are asked for once a step, not at every trial of its line search.
    assert len(calls) == 25
    design = torch.cat([x, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    exact = torch.linalg.lstsq(design, y).solution.flatten()
    found = torch.cat([fit.network.weight.flatten(), fit.network.bias])
    torch.testing.assert_close(found.detach(), exact, rtol=1e-7, atol=1e-9)


def test_goes_on_from_its_state():
    _, _, batch = data()

    def run(first, second):
        torch.manual_seed(1)
        fit = Fit(torch.nn.Linear(5, 1).double())
        optimiser = SSBroyden(EAGER, fit, ONE)
        for _ in range(first):
            optimiser.step(batch, ones)
        again = SSBroyden(EAGER, fit, ONE)
        again.load_state_dict(optimiser.state_dict())
        for _ in range(second):
            again.step(batch, ones)
        return fit.network.weight.detach().clone()

    assert torch.equal(run(2, 3), run(5, 0))


class Flat(Residuals):
    """The network's value, whose gradient is made to point uphill."""

    terms = TERMS
    governing = "data"

    def data(self, x):
        value = self.network(x)
        return value.detach() * 2 - value


def test_a_search_that_finds_nothing_leaves_the_network_and_forgets():
    torch.manual_seed(0)
    flat = Flat(torch.nn.Linear(5, 1).double())
    x = torch.randn(8, 5, dtype=torch.float64)
    batch = Batch(0, {"data": (x,)}, {"data": torch.arange(8)}, {"data": 8})
    optimiser = SSBroyden(EAGER, flat, ONE)
    optimiser.inverse_hessian.mul_(3)
    optimiser.fresh = False
    before = flat.network.weight.detach().clone()
    optimiser.step(batch, ones)
    assert torch.equal(flat.network.weight, before)
    for reach in (1.0, 0.1, 0.01):
        assert optimiser.fresh
        assert optimiser.reach == pytest.approx(reach)
        assert optimiser.diagnostics == {"step_length": 0}
        optimiser.step(batch, ones)
