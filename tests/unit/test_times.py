"""Times of steady and unsteady flows: settings, window, degree of the polynomials, moments."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.special import jv

from aiv_rba.errors import UserError
from aiv_rba.files.case import Tracks, read_case
from aiv_rba.files.formats import open_h5
from aiv_rba.files.results import Results
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.scales import Scales
from aiv_rba.settings import FlowNetworkSettings, TrainSettings, load_stage
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.ingest.time_content import choose_modes
from aiv_rba.stages.points.generate import collocate
from aiv_rba.stages.report.phases import telling_phases
from aiv_rba.stages.score.median_test import THRESHOLD, median_test
from aiv_rba.time_modes import mean_over_time
from tests.exact import case_of, swirling
from tests.synthetic import DecayingSwirl, SteadyTube, write_tube_experiment
from tests.training_case import parabola

WINDOW = Scales(1.0, 1.0, 1.0, 1.0, 10.0, flow="unsteady", start=5.0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"period": None}, "ingest: found no period, expected one in s, or flow: steady or flow:"),
        ({"flow": "steady"}, "found period with flow: steady, expected it with flow: periodic"),
        ({"window": [0, 1]}, "found window with flow: periodic, expected it with flow: unsteady"),
        (
            {"period": None, "flow": "unsteady", "window": [2.0, 1.0]},
            r"found window \[2, 1\], expected the earlier time first",
        ),
        ({"flow": "pulsating"}, "ingest.flow: found 'pulsating'"),
    ],
)
def test_every_kind_of_flow_has_its_own_key(tmp_path, keys, message):
    path = write_tube_experiment(tmp_path, ingest=keys)
    with pytest.raises(UserError, match=message):
        load_stage(path, "ingest")


def test_scales_turn_seconds_into_times():
    periodic = replace(WINDOW, flow="periodic", start=0.0)
    steady = replace(periodic, flow="steady")
    assert (periodic.time_of(23.0), WINDOW.time_of(8.0), steady.time_of(None)) == (3.0, 3.0, 0.0)
    np.testing.assert_allclose(periodic.shares(4), [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(WINDOW.shares(5), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(steady.shares(5), [0])
    np.testing.assert_array_equal(WINDOW.shares(1), [0])
    # Rounding does not put the ends outside.
    assert WINDOW.time_of(15.0 + 1e-9) == 10.0
    for outside in (4.99, 15.01):
        with pytest.raises(UserError, match="expected one in the window of the recording, 5 to 15"):
            WINDOW.time_of(outside)
    assert Scales.from_dict(WINDOW.to_dict()) == WINDOW


def ingested(folder, tube, **keys):
    path = write_tube_experiment(folder, tube=tube, ingest=keys, tracks=90)
    ingest(load_stage(path, "ingest"), Results(folder))
    return read_case(Results(folder).case)


def test_rows_outside_the_window_are_dropped(tmp_path):
    tube = DecayingSwirl()
    case = ingested(tmp_path, tube, window=[12.01, 12.03])
    table = pd.read_csv(tmp_path / "tracks.csv")
    inside = table.t.between(12.01, 12.03)
    assert set(case.tracks.row) == set(np.flatnonzero(inside))
    assert (case.scales.start, case.scales.period) == pytest.approx((12.01, 0.02))
    seconds = case.scales.seconds(case.tracks.points[:, 0])
    np.testing.assert_allclose(seconds, table.t[case.tracks.row], rtol=1e-12)
    text = Results(tmp_path).ingestion.read_text()
    assert f"{np.sum(~inside)} rows outside the window from 12.01 to 12.03 s are dropped" in text
    assert "window                      12.01 to 12.03 s, 0.02 s = 0.2 L / U" in text
    with pytest.raises(UserError, match=r"found 0 rows from 1 to 2 s, expected at least 24 in ing"):
        ingested(tmp_path, tube, window=[1.0, 2.0])


def test_rows_of_a_recording_are_put_in_order_of_time(tmp_path):
    tube = DecayingSwirl()
    case = ingested(tmp_path, tube)
    table = pd.read_csv(tmp_path / "tracks.csv")
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "tracks.csv", index=False)
    ingest(load_stage(tmp_path / "experiment.yaml", "ingest"), Results(tmp_path))
    shuffled = read_case(Results(tmp_path).case)
    np.testing.assert_array_equal(shuffled.tracks.points, case.tracks.points)
    # Their noise is that of neighbours in time.
    assert shuffled.noise == case.noise


def test_times_of_a_steady_flow_are_ignored(tmp_path):
    tube = SteadyTube()
    case = ingested(tmp_path, tube)
    assert "are ignored" not in Results(tmp_path).ingestion.read_text()
    table = pd.read_csv(tmp_path / "tracks.csv")
    table.insert(0, "t", 7.0)
    table.to_csv(tmp_path / "tracks.csv", index=False)
    ingest(load_stage(tmp_path / "experiment.yaml", "ingest"), Results(tmp_path))
    again = read_case(Results(tmp_path).case)
    np.testing.assert_array_equal(again.tracks.points, case.tracks.points)
    text = Results(tmp_path).ingestion.read_text()
    assert "tracks.csv: times are ignored, since the flow is steady" in text
    experiment = yaml.safe_load((tmp_path / "experiment.yaml").read_text())
    experiment["ingest"]["flow"] = "unsteady"
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    with pytest.raises(UserError, match="found 7 s as the only time, expected several with flow:"):
        ingest(load_stage(tmp_path / "experiment.yaml", "ingest"), Results(tmp_path))


@pytest.mark.parametrize("tube", [SteadyTube(), DecayingSwirl()])
def test_points_fill_the_window(tmp_path, tube):
    case = ingested(tmp_path, tube)
    results = Results(tmp_path)
    collocate(load_stage(tmp_path / "experiment.yaml", "points"), results)
    with open_h5(results.points, "points") as file:
        times = np.unique(file["interior/points"][..., 0])
        shape = file["interior/points"].attrs["shape"]
    assert list(shape) == [3, 2, 4, 4]
    if case.flow == "steady":
        np.testing.assert_array_equal(times, [0])
    else:
        np.testing.assert_allclose(times, np.linspace(0, case.scales.nondimensional_period, 21))


def travelling(cycles, seed, tracks=300, noise=0.1, amplitude=0.3):
    """Tracks that drift along a tube in which waves run, so many in the window; and their noise."""
    rng = np.random.default_rng(seed)
    step = WINDOW.period / 400 * np.arange(10)
    time = rng.uniform(0, 0.97 * WINDOW.period, (tracks, 1)) + step
    radius = 0.5 * np.sqrt(rng.uniform(0, 0.95, (tracks, 1)))
    angle = rng.uniform(0, 2 * np.pi, (tracks, 1)) + 0 * step
    x, z = radius * np.cos(angle), radius * np.sin(angle)
    y = rng.uniform(0, 6, (tracks, 1)) + 0.8 * step
    phi, phase = 1 - 4 * radius**2, np.pi * y - 2 * np.pi * cycles / WINDOW.period * time
    waves = amplitude if cycles else 0.0
    velocity = {"u": phi * waves * np.sin(phase), "v": phi * (1 + 2 * waves * x * np.cos(phase))}
    points = np.stack([time, x, y, z], axis=-1).reshape(-1, 4)
    number = np.repeat(np.arange(tracks), 10)
    held_out = np.repeat(rng.uniform(size=tracks) > 0.6, 10)
    measured = {
        name: values.ravel() + noise * rng.standard_normal(values.size)
        for name, values in velocity.items()
    }
    rows = np.arange(len(number))
    tracks = Tracks(points, measured, number, 0 * number, rows, held_out)
    return tracks, dict.fromkeys(measured, noise)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cycles", [0, 3, 10])
def test_polynomials_follow_waves_that_travel(cycles, seed):
    """exp(i kappa s) on [-1, 1] is a series of energies (2 n + 1) j_n(kappa)^2, the sum of which
    is one.
    """
    tracks, noise = travelling(cycles, seed, tracks=1000)
    found, why = choose_modes(tracks, noise, parabola(0.5), WINDOW)
    assert f"up to degree {found}" in why
    if cycles == 0:
        assert found == 0
    else:
        degrees, kappa = np.arange(found + 1), np.pi * cycles
        bessel = np.sqrt(np.pi / 2 / kappa) * jv(degrees + 0.5, kappa)
        assert np.sum((2 * degrees + 1) * bessel**2) > 0.95
    few = replace(tracks, points=tracks.points * [0.0, 1, 1, 1])
    with pytest.raises(UserError, match=r"found 1, expected at least 4, .* or ingest.flow: steady"):
        choose_modes(few, noise, parabola(0.5), WINDOW)
    assert choose_modes(few, noise, parabola(0.5), replace(WINDOW, flow="steady"))[0] == 0


def test_polynomials_follow_a_flow_that_decays_at_once():
    """exp(-3 s) to one percent takes the degrees up to three."""
    tracks, noise = travelling(0, 1)
    decay = np.exp(-3 * tracks.points[:, 0] / WINDOW.nondimensional_period)
    slowing = replace(tracks, velocity={n: v * decay for n, v in tracks.velocity.items()})
    assert 2 <= choose_modes(slowing, noise, parabola(0.5), WINDOW)[0] <= 5


def test_more_polynomials_than_times_are_refused():
    case = case_of(swirling)
    asked = TrainSettings(network=FlowNetworkSettings(time_harmonics=20))
    few = replace(case.tracks, points=case.tracks.points * [0.0, 1, 1, 1])
    unsteady = replace(case, scales=replace(case.scales, flow="unsteady"), tracks=few)
    with pytest.raises(UserError, match=r"found 20 with 1 distinct times .* at least 42 times"):
        resolve(asked, unsteady)
    steady = replace(case, scales=replace(case.scales, flow="steady"))
    with pytest.raises(UserError, match="found 20 in a steady flow, expected auto or 0"):
        resolve(asked, steady)


def test_the_median_test_compares_rows_at_like_times():
    """A flow that reverses in its window is not suspicious, and its ends are not neighbours."""
    tracks, noise = travelling(0, 3, tracks=600, noise=0.2)
    sign = np.where(tracks.points[:, 0] < WINDOW.nondimensional_period / 2, 1, -1)
    reversing = replace(tracks, velocity={n: v * sign for n, v in tracks.velocity.items()})
    case = replace(
        case_of(swirling),
        scales=WINDOW,
        tracks=reversing,
        noise=noise,
        harmonics=12,
        radius=0.5,
    )
    far = np.abs(tracks.points[:, 0] / WINDOW.nondimensional_period - 0.5) > 0.2
    share = np.mean(median_test(case)[far] > THRESHOLD)
    same = np.mean(median_test(replace(case, tracks=tracks))[far] > THRESHOLD)
    assert share == pytest.approx(same, abs=0.02)
    steady = replace(case, scales=replace(WINDOW, flow="steady"), harmonics=0)
    assert np.mean(median_test(steady)[far] > THRESHOLD) > same + 0.1


def test_means_over_a_window_count_its_ends_half():
    times = np.linspace(2, 4, 5)
    np.testing.assert_allclose(mean_over_time(times**1, times, "unsteady"), 3)
    values = np.stack([times, 0 * times + 1], axis=1)
    np.testing.assert_allclose(mean_over_time(values, times, "unsteady"), [3, 1])
    assert mean_over_time(np.array([1.0, 2, 3]), np.arange(3.0), "periodic") == 2
    assert mean_over_time(np.array([5.0]), np.zeros(1), "unsteady") == 5


def test_moments_of_a_window_and_of_a_steady_flow():
    times = 5 + 10 * np.linspace(0, 1, 5)
    found = telling_phases(times, WINDOW, np.array([0.0, 1, 4, 6, 5.5]), "auto")
    assert [(phase.number, phase.name) for phase in found] == [
        (2, "speeding up"),
        (3, "fastest"),
        (0, "slowest"),
    ]
    assert found[0].title == "Speeding up: t = 10 s (0.50 of the window)"
    asked = telling_phases(times, WINDOW, np.ones(5), (0.97, 0.3))
    assert [phase.number for phase in asked] == [4, 1]
    steady = telling_phases(np.zeros(1), replace(WINDOW, flow="steady"), np.ones(1), (0.4,))
    assert [phase.title for phase in steady] == ["Steady flow"]
