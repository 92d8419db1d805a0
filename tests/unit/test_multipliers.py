"""Self-adaptive weights, learning-rate annealing and causal weights against their definitions."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from aiv_rba.errors import UserError
from aiv_rba.multipliers import make_scheme
from aiv_rba.problem import Batch, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import (
    AnnealingSettings,
    CausalSettings,
    ConstantMultipliersSettings,
    RBASettings,
    SelfAdaptiveSettings,
)
from tests.synchronisations import synchronisations

ONE = Ranks(0, 1, torch.device("cpu"))
TERMS = {"equation": ("equation",), "boundary": ("value", "slope")}
GLOBAL = {"equation": [2.0], "boundary": [100.0, 30.0]}


class Line(Residuals):
    """Residuals of a line in (t, x): one term inside, two on the boundary."""

    terms = TERMS
    governing = "equation"

    def equation(self, points):
        return self.network(points) ** 2

    def boundary(self, points):
        return torch.cat([self.network(points), self.network(2 * points)], dim=1)


@pytest.fixture
def problem():
    torch.manual_seed(3)
    return SimpleNamespace(
        residuals=Line(torch.nn.Linear(2, 1).double()),
        weights=GLOBAL,
        sizes={"equation": (12, 1)},
        time_span=(0.0, 2.0),
    )


def batch(step=0, rows=12):
    points = torch.rand(12, 2, generator=torch.Generator().manual_seed(step)).double() * 2
    return Batch(
        step,
        {"equation": (points[:rows],), "boundary": (points[:5],)},
        {"equation": torch.arange(rows), "boundary": torch.arange(5)},
        {"equation": rows, "boundary": 5},
    )


def test_self_adaptive_is_the_library_s_adam_on_the_negative_loss(problem):
    scheme = make_scheme(SelfAdaptiveSettings(learning_rate=0.01), problem, ONE, 0)
    multipliers = torch.ones(12, 1, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([multipliers], lr=0.01, maximize=True)
    for step in range(30):
        here = batch(step)
        e = {block: values.detach() for block, values in problem.residuals(here.inputs).items()}
        weights = scheme.update(here, e)
        torch.testing.assert_close(weights["equation"], multipliers.detach(), rtol=1e-6, atol=0)
        assert (weights["boundary"] == 1).all()
        adam.zero_grad()
        # Large against Adam's constant, with which a constant factor would be felt.
        (1e6 * (multipliers * e["equation"]).square().mean()).backward()
        adam.step()


def test_self_adaptive_leaves_rows_alone_that_a_step_leaves_out(problem):
    scheme = make_scheme(SelfAdaptiveSettings(), problem, ONE, 0)
    here = batch(rows=4)
    scheme.update(here, problem.residuals(here.inputs))
    moved = scheme.multipliers["equation"] != 1
    assert moved.flatten().tolist() == [True] * 4 + [False] * 8


def test_self_adaptive_starts_where_it_is_asked_to(problem):
    """McClenny & Braga-Neto start those of conditions anywhere in an interval."""
    problem.sizes["boundary"] = (5, 2)
    settings = SelfAdaptiveSettings(start={"boundary": 100.0})
    first, same, other = (make_scheme(settings, problem, ONE, seed) for seed in (1, 1, 2))
    start = first.multipliers["boundary"]
    assert 0 <= start.min() < 50 < start.max() <= 100
    assert torch.equal(start, same.multipliers["boundary"])
    assert not torch.equal(start, other.multipliers["boundary"])
    assert (first.multipliers["equation"] == 1).all()


def test_self_adaptive_refuses_to_start_on_unknown_blocks(problem):
    settings = SelfAdaptiveSettings(start={"wall": 1.0})
    with pytest.raises(UserError, match="start: found 'wall', expected some of equation, boundary"):
        make_scheme(settings, problem, ONE, 0)


def test_annealing_balances_the_gradients(problem):
    """With a share of one, the multiplier's square is the ratio of Algorithm 1 at once."""
    scheme = make_scheme(AnnealingSettings(rate=1.0, every=2), problem, ONE, 0)
    here = batch()
    e = problem.residuals(here.inputs)
    weights = scheme.update(here, e)

    def gradient(loss):
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, problem.residuals.parameters())]
        )

    inside = gradient(2 * (e["equation"] ** 2).mean())
    again = problem.residuals(here.inputs)["boundary"]
    boundary = gradient(100 * (again[:, 0] ** 2).mean() + 30 * (again[:, 1] ** 2).mean())
    expected = inside.abs().max() / boundary.abs().mean()
    assert float(weights["boundary"][0, 0]) ** 2 == pytest.approx(float(expected), rel=1e-12)
    assert (weights["equation"] == 1).all()
    # Not again before the second step after it.
    with torch.no_grad():
        problem.residuals.network.weight *= 3
    later = scheme.update(batch(1), problem.residuals(batch(1).inputs))
    assert torch.equal(later["boundary"], weights["boundary"])
    later = scheme.update(batch(2), problem.residuals(batch(2).inputs))
    assert not torch.equal(later["boundary"], weights["boundary"])


def test_annealing_moves_by_its_share(problem):
    full = make_scheme(AnnealingSettings(rate=1.0), problem, ONE, 0)
    part = make_scheme(AnnealingSettings(rate=0.25), problem, ONE, 0)
    for scheme in (full, part):
        scheme.update(batch(), problem.residuals(batch().inputs))
    target = float(full.shared["boundary"]) ** 2
    assert float(part.shared["boundary"]) ** 2 == pytest.approx(0.75 + 0.25 * target)


def test_annealing_comes_to_rest(problem):
    """Multiplied gradients are compared, so the multiplier's square w obeys w = ratio / w.

    With a share of a half that is Heron's iteration for the square root.
    """
    full = make_scheme(AnnealingSettings(rate=1.0), problem, ONE, 0)
    half = make_scheme(AnnealingSettings(rate=0.5, every=1), problem, ONE, 0)
    here = batch()
    full.update(here, problem.residuals(here.inputs))
    for step in range(20):
        half.update(replace(here, step=step), problem.residuals(here.inputs))
    ratio = float(full.shared["boundary"]) ** 2
    assert abs(ratio - 1) > 0.1
    assert float(half.shared["boundary"]) ** 2 == pytest.approx(ratio**0.5, rel=1e-12)


def test_causal_weights_of_two_chunks(problem):
    settings = CausalSettings(chunks=2, tolerances=(0.5, 4.0), threshold=0.9)
    scheme = make_scheme(settings, problem, ONE, 0)
    points = torch.tensor([[0.1, 0.0], [0.9, 0.0], [1.5, 0.0], [2.0, 0.0]], dtype=torch.float64)
    rows = {"equation": torch.arange(4), "boundary": torch.arange(0)}
    here = Batch(0, {"equation": (points,)}, rows, {"equation": 4})

    def weights(*e):
        column = torch.tensor(e, dtype=torch.float64).unsqueeze(1)
        return scheme.update(here, {"equation": column})["equation"].flatten().tolist()

    # The first chunk's mean square is (1 + 9) / 2 = 5, the second waits for it.
    late = math.exp(-0.5 * 5 / 2)
    assert weights(1.0, 3.0, 7.0, 7.0) == pytest.approx([1, 1, late, late])
    # A loss of 0.1 gives exp(-0.05) > 0.9: from the next step on the second tolerance holds.
    small = math.sqrt(0.1)
    assert weights(small, small, 1.0, 1.0)[2] == pytest.approx(math.exp(-0.5 * 0.1 / 2))
    assert weights(small, small, 1.0, 1.0)[2] == pytest.approx(math.exp(-4 * 0.1 / 2))


def test_causal_multipliers_stay_with_their_rows(problem):
    scheme = make_scheme(CausalSettings(chunks=2, tolerances=(1.0,)), problem, ONE, 0)
    points = torch.tensor([[1.5, 0.0], [0.5, 0.0]], dtype=torch.float64)
    rows = {"equation": torch.tensor([7, 3]), "boundary": torch.arange(0)}
    here = Batch(0, {"equation": (points,)}, rows, {"equation": 2})
    scheme.update(here, {"equation": torch.ones(2, 1, dtype=torch.float64)})
    kept = scheme.multipliers["equation"].flatten()
    assert float(kept[7]) == pytest.approx(math.exp(-0.5))
    assert (kept[torch.arange(12) != 7] == 1).all()


def test_causal_needs_an_initial_state(problem):
    problem.time_span = None
    with pytest.raises(UserError, match="found causal, expected another scheme"):
        make_scheme(CausalSettings(), problem, ONE, 0)


@pytest.mark.parametrize(
    "settings",
    [
        RBASettings(init=2),
        SelfAdaptiveSettings(),
        AnnealingSettings(every=1),
        CausalSettings(chunks=3),
        ConstantMultipliersSettings(),
    ],
    ids=lambda settings: settings.name,
)
def test_no_scheme_makes_the_host_wait_for_a_gpu(problem, settings):
    scheme = make_scheme(settings, problem, ONE, 0)
    with synchronisations() as found:
        for step in range(2):
            scheme.update(batch(step), problem.residuals(batch(step).inputs))
    assert found == []
