"""Residual-based attention: Eq. 12, its bound, both initialisations."""

from types import SimpleNamespace

import pytest
import torch

from aiv_rba.multipliers.base import ConstantMultipliers
from aiv_rba.multipliers.rba import RBA
from aiv_rba.problem import Batch
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import RBASettings

ONE = Ranks(0, 1, torch.device("cpu"))
SIZES = {"no_slip": (6, 3), "tracks": (5, 2), "navier_stokes": (8, 4)}
ROWS = {block: torch.arange(size[0]) for block, size in SIZES.items()}
BATCH = Batch(0, {}, ROWS, {})


def _residuals(seed):
    generator = torch.Generator().manual_seed(seed)
    return {b: torch.randn(s, generator=generator, dtype=torch.float64) for b, s in SIZES.items()}


def test_follows_equation_12():
    settings = RBASettings(gamma=0.9, eta=0.2, eta_by_block={"no_slip": 0.02}, offset=1.0)
    rba = RBA(settings, SIZES, ONE)
    expected = {block: torch.zeros(size, dtype=torch.float64) for block, size in SIZES.items()}
    for step in range(5):
        e = _residuals(step)
        weights = rba.update(BATCH, e)
        for block in SIZES:
            eta = 0.02 if block == "no_slip" else 0.2
            for term in range(SIZES[block][1]):
                largest = max(abs(float(x)) for x in e[block][:, term])
                for row in range(SIZES[block][0]):
                    expected[block][row, term] = (
                        0.9 * expected[block][row, term]
                        + eta * abs(float(e[block][row, term])) / largest
                    )
            assert torch.allclose(weights[block], expected[block] + 1.0, rtol=1e-12)


def test_bound_of_equation_13_is_reached_and_never_passed():
    settings = RBASettings(gamma=0.9, eta=0.2, eta_by_block={"no_slip": 0.02}, offset=0.0)
    rba = RBA(settings, SIZES, ONE)
    for _ in range(200):
        weights = rba.update(BATCH, {b: torch.ones(s).double() for b, s in SIZES.items()})
        for block, values in weights.items():
            bound = (0.02 if block == "no_slip" else 0.2) / (1 - 0.9)
            assert float(values.max()) <= bound * (1 + 1e-12)
    assert float(weights["tracks"].max()) == pytest.approx(2.0, rel=1e-6)
    assert float(weights["no_slip"].max()) == pytest.approx(0.2, rel=1e-6)


def test_second_initialisation_starts_at_the_normalised_residual():
    e = _residuals(0)
    first, second = (
        RBA(
            RBASettings(gamma=0.9, eta=0.2, eta_by_block={"no_slip": 0.02}, init=init, offset=0.0),
            SIZES,
            ONE,
        )
        for init in (1, 2)
    )
    a, b = first.update(BATCH, e), second.update(BATCH, e)
    for block in SIZES:
        normalised = e[block].abs() / e[block].abs().amax(0)
        torch.testing.assert_close(b[block], normalised, rtol=1e-15, atol=0)
        eta = 0.02 if block == "no_slip" else 0.2
        assert torch.allclose(a[block], eta * normalised)
    # From the second step on both use eta*.
    c = second.update(BATCH, e)
    torch.testing.assert_close(c["tracks"], (0.9 + 0.2) * b["tracks"], rtol=1e-14, atol=0)


@pytest.mark.parametrize("init", [1, 2])
def test_rows_that_take_turns_remember_as_many_steps_as_others(init):
    """Of residuals that do not change, they have the multipliers of rows that are always seen."""
    settings = RBASettings(gamma=0.9, eta=0.2, init=init, offset=0.0)
    always, turns = RBA(settings, SIZES, ONE), RBA(settings, SIZES, ONE)
    e = {block: values.abs() for block, values in _residuals(0).items()}
    for values in e.values():
        values[:3] = values.amax(0)
    for step in range(200):
        # Eight rows in three parts.
        rows = torch.arange(step % 3, 8, 3)
        batch = Batch(
            step,
            {},
            ROWS | {"navier_stokes": rows},
            {},
            elapsed={"navier_stokes": min(step + 1, 3)},
        )
        expected = always.update(BATCH, e)
        found = turns.update(batch, e | {"navier_stokes": e["navier_stokes"][rows]})
        torch.testing.assert_close(
            found["navier_stokes"], expected["navier_stokes"][rows], rtol=1e-12, atol=0
        )
        torch.testing.assert_close(found["tracks"], expected["tracks"], rtol=0, atol=0)
    # The bound of Eq. 13 is reached, and not passed.
    largest = float(turns.state["navier_stokes"].max())
    assert largest == pytest.approx(2.0, rel=1e-6)
    assert largest <= 2.0 * (1 + 1e-12)


def test_a_quantile_in_the_place_of_the_maximum():
    """The smallest residual that nine tenths of the rows do not exceed; larger ones count as it."""
    settings = RBASettings(gamma=0.9, eta=0.2, offset=0.0, quantile=0.9)
    rba = RBA(settings, {"tracks": (20, 2)}, ONE)
    e = torch.linspace(0.1, 2.0, 20, dtype=torch.float64).repeat(2, 1).T * torch.tensor([1.0, 30.0])
    e[19] = 1e6
    batch = Batch(0, {}, {"tracks": torch.arange(20)}, {"tracks": 20})
    found = rba.update(batch, {"tracks": -e})["tracks"]
    # The 18th of 20 is the 0.9 quantile, 1.8.
    expected = 0.2 * (e[:, :1] / 1.8).clamp_max(1).expand(-1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)
    for _ in range(200):
        found = rba.update(batch, {"tracks": e})["tracks"]
    assert float(found.max()) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_quantile_of_several_ranks_is_that_of_one(dtype):
    """As far as one process can show it: two ranks, of which the other one has no rows."""
    settings = RBASettings(quantile=0.7)
    counts = {block: size[0] for block, size in SIZES.items()}
    two = SimpleNamespace(alone=False, device=ONE.device, sum=lambda values: values)
    one, several = RBA(settings, SIZES, ONE), RBA(settings, SIZES, two)
    for step in range(3):
        e = {block: values.to(dtype) for block, values in _residuals(step).items()}
        batch = Batch(step, {}, ROWS, counts)
        found, expected = several.update(batch, e), one.update(batch, e)
        for block in SIZES:
            torch.testing.assert_close(found[block], expected[block], rtol=0, atol=0)


def test_a_block_with_a_learning_rate_of_zero_keeps_the_offset():
    rba = RBA(RBASettings(eta_by_block={"tracks": 0.0}, offset=1.0), SIZES, ONE)
    for step in range(3):
        weights = rba.update(BATCH, _residuals(step))
    assert (weights["tracks"] == 1).all()
    assert (weights["navier_stokes"] > 1).any()


def test_only_the_visited_rows_change():
    rba = RBA(RBASettings(), SIZES, ONE)
    e = _residuals(1)
    rows = ROWS | {"navier_stokes": torch.tensor([1, 4])}
    rba.update(Batch(0, {}, rows, {}), e | {"navier_stokes": e["navier_stokes"][:2]})
    visited = rba.state["navier_stokes"].abs().sum(1) > 0
    assert visited.nonzero().flatten().tolist() == [1, 4]


def test_vanishing_residuals_give_finite_multipliers():
    rba = RBA(RBASettings(), SIZES, ONE)
    weights = rba.update(BATCH, {b: torch.zeros(s).double() for b, s in SIZES.items()})
    assert all(torch.isfinite(values).all() for values in weights.values())


def test_multipliers_carry_no_gradient():
    e = {block: values.requires_grad_() for block, values in _residuals(2).items()}
    weights = RBA(RBASettings(), SIZES, ONE).update(BATCH, e)
    assert not any(values.requires_grad for values in weights.values())


def test_none_is_all_ones():
    weights = ConstantMultipliers().update(BATCH, _residuals(0))
    assert all((values == 1).all() for values in weights.values())
