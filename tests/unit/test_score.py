"""Stage score on flows whose errors are known."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from aiv_rba.errors import UserError
from aiv_rba.fields.flow import Flow
from aiv_rba.files.differences import read_differences
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen
from aiv_rba.harmonics import fourier, modes_of
from aiv_rba.settings import ScoreSettings
from aiv_rba.stages.score.run import score
from aiv_rba.stages.score.spread import EVERY, coverage, errors_and_deviations
from aiv_rba.stages.score.tracks import as_measured, noise_floor, on_tracks
from aiv_rba.stages.score.truth import PHASES, against_truth, pressure_drop
from aiv_rba.statistics import relative_l2
from tests.exact import (
    LENGTH,
    RADIUS,
    SCALES,
    ExactFlow,
    case_of,
    model_of,
    noisy,
    pulse,
    swirling,
    tube,
    value,
    write_trained,
    write_truth,
)


def test_relative_l2():
    """|(3, 4) - (0, 4)| / |(0, 4)| = 3 / 4."""
    assert relative_l2(np.array([3.0, 4.0]), np.array([0.0, 4.0])) == pytest.approx(0.75)


def test_fourier_sums_the_modes(tmp_path):
    """Modes 2, 1 - i are 2 + cos(2 pi s) + sin(2 pi s)."""
    with h5py.File(tmp_path / "modes.h5", "w") as file:
        file["c"] = np.array([[2.0], [1 - 1j]])
        for phase in (0.0, 0.2, 0.7):
            angle = 2 * np.pi * phase
            expected = 2 + np.cos(angle) + np.sin(angle)
            assert fourier(file["c"], phase)[0] == pytest.approx(expected)


def compared(path, flow, wall=None):
    """The truth of `swirling` against a flow, in a case whose wall may be another one."""
    case = case_of(swirling)
    if wall is not None:
        case = replace(case, wall=wall)
    with h5py.File(path) as file:
        return against_truth(file, case, model_of(flow))


def fine(radius=RADIUS):
    """A tube whose triangles are 6e-5 off the wall."""
    return tube(256, 3, radius)


def test_exact_flow_scores_nothing(tmp_path):
    """Every error of the exact flow is rounding: the truth is in single precision.

    The stress is read on the triangles of the given wall.
    """
    write_truth(tmp_path / "truth.h5")
    found = compared(tmp_path / "truth.h5", ExactFlow(swirling), fine())
    assert set(found.errors) == {
        *("velocity", "u", "v", "w", "pressure", "vorticity", "wss", "flow_rate")
    }
    for name in ("wss", "flow_rate"):
        assert found.errors.pop(name) < 3e-4
    assert max(found.errors.values()) < 1e-6
    assert found.wall_share is None


def test_flow_that_is_too_fast_by_a_tenth(tmp_path):
    """Ten percent of the flow is ten percent of error in every field; the gauge costs nothing."""
    write_truth(tmp_path / "truth.h5")
    flow = ExactFlow(lambda q: 1.1 * swirling(q) + torch.tensor([0.0, 0.0, 0.0, 50.0]))
    found = compared(tmp_path / "truth.h5", flow, fine())
    np.testing.assert_allclose(list(found.errors.values()), 0.1, rtol=3e-3)


def test_points_outside_the_given_wall_are_counted_and_left_out(tmp_path):
    """A wall of 0.9 radius holds 0.81 of the points; the flow is wrong only beyond it."""
    write_truth(tmp_path / "truth.h5")
    given = fine(0.9 * RADIUS)

    def wrong_beyond(q):
        beyond = torch.hypot(q[:, 1], q[:, 3]) > 0.9 * RADIUS
        return swirling(q) + 5.0 * beyond[:, None]

    with h5py.File(tmp_path / "truth.h5") as file:
        position = (file["points/position"][:] - SCALES.origin) / SCALES.length
    outside = np.hypot(position[:, 0], position[:, 2]) > 0.9 * RADIUS
    found = compared(tmp_path / "truth.h5", ExactFlow(wrong_beyond), given)
    assert 30 < outside.sum() < 90
    counts = {"of": 300, "wall_points": 300, "wall_of": 300}
    # Chords leave a few more outside than the circle does.
    assert found.outside == {"points": pytest.approx(outside.sum(), abs=2)} | counts
    for name in ("velocity", "pressure", "vorticity"):
        assert found.errors[name] < 1e-6
    # Shear grows with the radius: read on the given wall it is a tenth too small.
    assert found.errors["wss"] == pytest.approx(0.1, rel=1e-3)


def test_share_of_the_wall_in_the_error_of_the_shear_stress(tmp_path):
    """The true flow on the given triangles has a stress a fifth too large."""
    write_truth(tmp_path / "truth.h5")
    with h5py.File(tmp_path / "truth.h5", "a") as file:
        file["given/wall_shear_stress"] = 1.2 * file["wall/wall_shear_stress"][:]
    found = compared(tmp_path / "truth.h5", ExactFlow(swirling))
    assert found.wall_share == pytest.approx(0.2, rel=1e-5)


def test_truth_of_another_place_is_refused(tmp_path):
    write_truth(tmp_path / "truth.h5")
    with h5py.File(tmp_path / "truth.h5", "a") as file:
        file["points/position"][:] += 1.0
    with pytest.raises(UserError, match="none of 300 truth points inside the given wall"):
        compared(tmp_path / "truth.h5", ExactFlow(swirling))


def test_errors_on_tracks():
    """Measurements twice the flow: the error is |1 - 2| / 2, on each side of the split."""
    case = noisy(case_of(swirling), 2.0)
    result = on_tracks(case, model_of(ExactFlow(swirling)))
    for side in ("validation", "train"):
        assert result[side] == pytest.approx({"u": 0.5, "v": 0.5})
    assert result["rows"]["train"] + result["rows"]["validation"] == 200
    assert result["rows"]["validation"] == case.tracks.validation.sum()


def test_chi_squared_counts_the_depths_of_particles():
    """Tracks that lie off the middle of the sheet, and noise of the stated size."""
    rng, rows, spread = np.random.default_rng(8), 4000, 0.05
    case = case_of(swirling, rows)
    there = case.tracks.points.copy()
    there[:, 3] += spread * rng.choice([-1.0, 1.0], rows // 5)[case.tracks.track]
    true = value(swirling, there)
    for column, name in enumerate("uv"):
        case.noise[name] = 0.01
        case.tracks.velocity[name][:] = true[:, column] + 0.01 * rng.standard_normal(rows)

    def chi_squared(depth_spread):
        model = replace(model_of(ExactFlow(swirling)), depth_spread=depth_spread)
        return on_tracks(case, model)["chi_squared"]["v"]["value"]

    assert chi_squared(0.0) > 1.5
    assert chi_squared(spread) == pytest.approx(1, abs=0.1)


def test_velocities_of_the_tracks_are_means_over_their_interval():
    """A wave of which the interval takes a known part."""
    case = case_of(swirling)
    case = replace(case, interval=0.2 * case.scales.nondimensional_period)
    model = model_of(ExactFlow(swirling))
    mean, change = as_measured(case, model)
    exact = value(swirling, case.tracks.points)[:, :3] * SCALES.velocity
    # Second order in the interval, so that a tenth of it has a hundredth of the effect.
    tenth, _ = as_measured(replace(case, interval=case.interval / 10), model)
    assert not change.any()
    effect = np.abs(mean - exact).max()
    assert effect > 0.01 * np.abs(exact).max()
    assert np.abs(tenth - exact).max() == pytest.approx(effect / 100, rel=0.05)


def test_validation_ignores_the_training_rows():
    case = case_of(swirling)
    for values in case.tracks.velocity.values():
        values[~case.tracks.validation] *= 3
    result = on_tracks(case, model_of(ExactFlow(swirling)))
    assert max(result["validation"].values()) < 1e-12
    assert result["train"]["v"] == pytest.approx(2 / 3)


def test_histograms_count_the_validation_rows():
    """The exact flow has the histogram of the measurements, in m/s."""
    case = case_of(swirling, rows=2000)
    histogram = on_tracks(case, model_of(ExactFlow(swirling)))["histograms"]["v"]
    measured = case.tracks.velocity["v"][case.tracks.validation] * SCALES.velocity
    edges = np.array(histogram["edges"])
    within = (measured >= edges[0]) & (measured <= edges[-1])
    assert sum(histogram["measured"]) == within.sum()
    assert np.abs(np.subtract(histogram["measured"], histogram["predicted"])).sum() <= 4


def test_noise_floor_finds_the_rows_of_the_file(tmp_path):
    """True velocities lie in the order of the file; kept rows are scattered over it."""
    case = noisy(case_of(swirling), 1.25)
    path = tmp_path / "truth.h5"
    with h5py.File(path, "w") as file:
        for name, measured in case.tracks.velocity.items():
            true = np.full(220, np.nan)
            true[case.tracks.row] = measured / 1.25 * SCALES.velocity
            file[f"tracks/{name}"] = true
        assert noise_floor(path, file, case) == pytest.approx({"u": 0.2, "v": 0.2})


@pytest.mark.parametrize("known", [False, True])
def test_stage_writes_scores(tmp_path, known):
    write_trained(tmp_path)
    write_truth(tmp_path / "truth.h5")
    settings = ScoreSettings(truth=str(tmp_path / "truth.h5") if known else None)
    results = Results(tmp_path)
    score(settings, results)
    result = json.loads(results.scores.read_text())
    for name in ("truth", "truth_outside", "noise_floor"):
        assert (name in result) == known
    assert "wss_wall_share" not in result
    uncertainty = result["uncertainty"]
    assert uncertainty["method"] == "curvature"
    assert set(uncertainty["relative"]) >= {"velocity", "pressure", "wss", "flow_rate"}
    for field in ("velocity", "wss"):
        assert sum(share[field] for share in uncertainty["shares"].values()) == pytest.approx(1)
    assert ("coverage" in uncertainty) == known
    record = json.loads(results.record("score").read_text())
    assert record["seconds"] > 0
    assert len(record["inputs"]) == 3 + known


class Off:
    """Deviations of a flow by normal multiples of 5 percent of itself."""

    method, sources = "curvature", ()

    def jets(self, network, positions, times, *, source=None, order=2):
        points = [
            torch.cat([torch.full_like(positions[:, :1], float(t)), positions], 1) for t in times
        ]
        flow = torch.stack([network.jet(at, order) for at in points])
        return torch.stack([0.05 * flow, -0.05 * flow])


@pytest.mark.parametrize(
    ("factor", "within"), [(1.02, (1.0, 1.0)), (1.075, (0.0, 1.0)), (1.2, (0.0, 0.0))]
)
def test_coverage_is_the_share_of_errors_within_the_interval(tmp_path, factor, within):
    path = tmp_path / "truth.h5"
    write_truth(path)
    found = compared(path, ExactFlow(lambda q: factor * swirling(q)))
    model = model_of(ExactFlow(lambda q: factor * swirling(q)))
    shares = coverage(Flow(case_of(swirling), model, Off()), found)
    one, two = shares["nominal"].index(0.6827), shares["nominal"].index(0.9545)
    for name in ("v", "flow_rate"):
        assert shares[name][one] == pytest.approx(within[0], abs=0.01)
        assert shares[name][two] == pytest.approx(within[1], abs=0.01)


def test_coverage_counts_the_flow_rate_at_all_phases(tmp_path):
    path = tmp_path / "truth.h5"
    write_truth(path)
    found = compared(path, ExactFlow(swirling))
    flow = Flow(case_of(swirling), model_of(ExactFlow(swirling)), Off())
    pairs = errors_and_deviations(flow, found)
    for values in pairs["flow_rate"]:
        assert values.shape == found.places.times.shape == (PHASES,)
    assert len(pairs["v"][0]) == len(pairs["v"][1]) == PHASES // EVERY


def test_differences_are_those_of_the_fields(tmp_path):
    """A flow that is the true one and a uniform pulsating stream along y."""
    path = tmp_path / "truth.h5"
    write_truth(path)

    def beside(q):
        stream = torch.zeros(len(q), 4, dtype=q.dtype)
        stream[:, 1] = 0.1 * pulse(q[:, 0])
        return swirling(q) + stream

    found = compared(path, ExactFlow(beside)).differences
    for phase in (0.0, 0.3):
        velocity = fourier(found.velocity, phase) / SCALES.velocity
        factor = 1 + 0.5 * np.cos(2 * np.pi * phase)
        np.testing.assert_allclose(
            velocity, np.tile([0, 0.1 * factor, 0], (len(velocity), 1)), atol=1e-6
        )
        # The exact pressure falls by 2 for each unit of length; points are few.
        drop = fourier(found.pressure_drop, phase) / SCALES.pressure
        assert drop == pytest.approx(2 * LENGTH * factor, rel=0.02)
    np.testing.assert_allclose(np.abs(found.pressure).max(), 0, atol=1e-5 * SCALES.pressure)


def test_no_pressure_drop_is_known_without_points_at_the_ends():
    lumen = Lumen.from_wall(tube(), 1)
    middle = np.array([[0.0, LENGTH / 2, 0.0]])
    assert np.isnan(pressure_drop(lumen, middle, np.ones((3, 1)))).all()


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_modes_pass_through_their_samples(count):
    samples = np.random.default_rng(0).normal(size=(count, 3))
    modes = modes_of(samples)
    again = [fourier(modes, k / count) for k in range(count)]
    np.testing.assert_allclose(again, samples, atol=1e-12)


def test_differences_are_written_and_read_again(tmp_path):
    path = tmp_path / "truth.h5"
    write_truth(path)
    write_trained(tmp_path)
    score(ScoreSettings(truth=str(path)), Results(tmp_path))
    found = read_differences(tmp_path / "differences.h5", "exact")
    assert found.velocity.shape[1:] == found.points.shape
    with pytest.raises(UserError, match="belongs to case exact, expected case other"):
        read_differences(tmp_path / "differences.h5", "other")
