"""The quality that stage score finds without a truth, on flows whose errors are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from aiv_rba.stages.score.quality import GRADES, KINDS, SECTIONS, Quantity, judge, quality
from aiv_rba.stages.score.tracks import on_tracks
from tests.exact import LENGTH, RADIUS, SCALES, ExactFlow, case_of, model_of, poiseuille

SIGMA = 0.1
EPSILON = 0.05


def measured(rows=4000, mismatches=0.0):
    """Tracks of Poiseuille flow with Gaussian noise, some of them with velocities of others."""
    case = case_of(poiseuille, rows)
    rng = np.random.default_rng(7)
    velocity = np.stack(list(case.tracks.velocity.values()))
    velocity += SIGMA * rng.standard_normal(velocity.shape)
    wrong = rng.uniform(size=rows) < mismatches
    velocity[:, wrong] = velocity[:, rng.permutation(rows)][:, wrong]
    tracks = replace(case.tracks, velocity=dict(zip("uv", velocity, strict=True)))
    return replace(case, tracks=tracks, noise={"u": SIGMA, "v": SIGMA})


def quality_of(function, case=None):
    """Verdict, reasons and quantities of a flow that was inferred from tracks of Poiseuille's."""
    case = case or measured(400)
    model = model_of(ExactFlow(function))
    return quality(case, model, on_tracks(case, model), {})


def values(function):
    return {name: found["value"] for name, found in quality_of(function)["quantities"].items()}


def test_exact_flow_meets_equations_and_wall_and_is_good():
    found = quality_of(poiseuille, measured())
    for name in ("momentum", "mass", "no_slip", "flow_rate_spread"):
        assert found["quantities"][name]["value"] < 1e-6
        assert "standard_error" not in found["quantities"][name]
    assert (found["verdict"], found["because"]) == ("good", [])
    missing = ("chi_squared_w", "missing_harmonics", "velocity_std", "mass_imbalance")
    assert list(found["quantities"]) == [name for name in KINDS if name not in missing]


def test_stretching_across_the_vessel_has_the_sizes_of_calculus():
    """A velocity eps x along x beside Poiseuille's.

    The divergence is eps and the squared gradient 4 r^2 / a^4 + eps^2. What is left of the
    momentum is the acceleration (eps^2 x, -2 eps x^2 / a^2, 0); pressure gradient and viscous term
    are 4 / (Re a^2) each. Means over the disc are a^2 / 4 of x^2 and a^4 / 8 of x^4.
    """

    def stretched(q):
        beside = torch.zeros(len(q), 4, dtype=q.dtype)
        beside[:, 0] = EPSILON * q[:, 1]
        return poiseuille(q) + beside

    found = values(stretched)
    assert found["mass"] == pytest.approx(100 * EPSILON / math.sqrt(2 / RADIUS**2 + EPSILON**2))
    acceleration = EPSILON**4 * RADIUS**2 / 4 + EPSILON**2 / 2
    balance = 2 * (4 / (SCALES.reynolds * RADIUS**2)) ** 2
    share = math.sqrt(acceleration / (acceleration + balance))
    assert found["momentum"] == pytest.approx(100 * share)
    at_wall, inside = EPSILON**2 * RADIUS**2 / 2, 1 / 3 + EPSILON**2 * RADIUS**2 / 4
    assert found["no_slip"] == pytest.approx(100 * math.sqrt(at_wall / inside))
    assert found["flow_rate_spread"] < 1e-6


def test_a_flow_that_grows_along_the_vessel_has_a_spread():
    """Sections lie evenly over the length, whose standard deviation is that of n equal steps."""

    def growing(q):
        factor = 1 + EPSILON * (q[:, 2:3] / LENGTH - 0.5)
        return poiseuille(q) * factor

    expected = 100 * EPSILON * math.sqrt((1 - 1 / SECTIONS**2) / 12)
    assert values(growing)["flow_rate_spread"] == pytest.approx(expected)


@pytest.mark.parametrize("mismatches", [0.0, 0.05])
def test_chi_squared_is_one_at_the_noise_whatever_the_mismatches(mismatches):
    """Counted like the others, mismatches of v, uniform in (0, 1), add 1 / 6 to its square."""
    case = measured(8000, mismatches)
    found = quality_of(poiseuille, case)["quantities"]
    for name in "uv":
        chi = found[f"chi_squared_{name}"]
        rows = case.tracks.validation.sum()
        assert chi["standard_error"] == pytest.approx(math.sqrt(2 / rows), rel=0.1)
        assert chi["value"] == pytest.approx(1, abs=4 * chi["standard_error"] + mismatches)
    residual = case.tracks.velocity["v"] - case_of(poiseuille, 8000).tracks.velocity["v"]
    assert np.mean((residual / SIGMA) ** 2) == pytest.approx(1 + mismatches / 6 / SIGMA**2, rel=0.1)


def test_chi_squared_is_that_of_a_wrong_noise():
    case = replace(measured(), noise={"u": SIGMA / 2, "v": SIGMA / 2})
    found = quality_of(poiseuille, case)
    assert found["quantities"]["chi_squared_v"]["value"] == pytest.approx(4, rel=0.1)
    assert found["because"] == ["chi_squared_u", "chi_squared_v"]


def test_a_flow_that_is_too_slow_is_poor_although_it_meets_the_equations():
    found = quality_of(lambda q: 0.95 * poiseuille(q), measured())
    assert (found["verdict"], found["because"]) == ("poor", ["amplitude_bias"])
    bias = found["quantities"]["amplitude_bias"]
    assert bias["value"] == pytest.approx(100 * (1 / 0.95 - 1), abs=4 * bias["standard_error"])


def test_amplitudes_that_were_fitted_to_the_tracks_do_not_hide_a_wrong_vessel():
    case = measured()
    model = replace(model_of(ExactFlow(poiseuille)), raised=0.05)
    found = quality(case, model, on_tracks(case, model), {})
    assert (found["verdict"], found["because"]) == ("poor", ["amplitude_bias"])
    bias = found["quantities"]["amplitude_bias"]
    assert bias["value"] == pytest.approx(5, abs=4 * bias["standard_error"])


def test_the_bias_is_that_along_the_axis_or_else_of_the_largest_component():
    case = measured(50)
    assert case.main_component == "v"
    across = {"u": case.tracks.velocity["u"], "w": 3 * case.tracks.velocity["u"]}
    assert replace(case, tracks=replace(case.tracks, velocity=across)).main_component == "w"


@pytest.mark.parametrize(
    ("value", "error", "grade"),
    [
        (1.0, None, "good"),
        (-1.1, None, "fair"),
        (-1.1, 0.06, "good"),
        (3.0, 0.5, "fair"),
        (3.1, None, "poor"),
        (9.0, 2.9, "poor"),
        (math.nan, None, "poor"),
    ],
)
def test_grades_leave_two_standard_errors_to_chance(value, error, grade):
    """The limits of the amplitude bias are given here, whatever the table says."""
    kind = replace(KINDS["amplitude_bias"], good=1.0, fair=3.0)
    assert Quantity(kind, value, error).grade == grade


@pytest.mark.parametrize(
    ("grades", "verdict", "because"),
    [
        (("good", "good", "good"), "good", []),
        (("good", "fair", "good"), "fair", ["mass"]),
        (("fair", "good", "fair"), "fair", ["momentum", "no_slip"]),
        (("poor", "fair", "good"), "poor", ["momentum"]),
    ],
)
def test_verdict_is_the_worst_grade_and_says_whose(grades, verdict, because):
    quantities = {}
    for name, grade in zip(("momentum", "mass", "no_slip"), grades, strict=True):
        kind = KINDS[name]
        value = (kind.good / 2, (kind.good + kind.fair) / 2, 2 * kind.fair)[GRADES.index(grade)]
        quantities[name] = Quantity(kind, value)
    found = judge(quantities)
    assert (found["verdict"], found["because"]) == (verdict, because)


def test_limits_of_good_are_stricter_than_those_of_fair():
    assert all(0 < kind.good < kind.fair for kind in KINDS.values())


@pytest.mark.parametrize(("share", "verdict"), [(0.01, "good"), (0.03, "fair"), (0.2, "poor")])
def test_wide_standard_deviations_lower_the_verdict(share, verdict):
    case = measured(400)
    model = model_of(ExactFlow(poiseuille))
    found = quality(case, model, on_tracks(case, model), {"velocity": share})
    assert found["quantities"]["velocity_std"]["value"] == pytest.approx(100 * share)
    assert found["verdict"] == verdict
