"""What ingestion and training choose by themselves."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from aiv_rba.errors import UserError
from aiv_rba.files.case import Tracks, read_case
from aiv_rba.files.results import Results
from aiv_rba.problems.velocimetry.choices import chosen, resolve
from aiv_rba.settings import FlowNetworkSettings, TrainSettings, load_stage
from aiv_rba.stages.ingest import choices
from aiv_rba.stages.ingest.choices import (
    SHAPES,
    _correlation,
    _decorrelated,
    choose_harmonics,
    choose_noise,
)
from aiv_rba.stages.ingest.columns import MINIMUM_ROWS
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.ingest.tracks import TrackTable
from aiv_rba.time_modes import distinct_times, fewest_times
from tests.exact import case_of, swirling
from tests.synthetic import tube_of, write_tube_experiment
from tests.training_case import parabola

PERIOD = 2.0


def pulsating_tracks(harmonics, noise, rows=3000, outliers=0.0, phases=None):
    """Tracks of a parabola that pulsates with so many harmonics, and their noise."""
    rng = np.random.default_rng(11)
    time = rng.uniform(0, PERIOD, rows) if phases is None else rng.choice(phases, rows)
    angle, radius = rng.uniform(0, 2 * np.pi, rows), 0.5 * np.sqrt(rng.uniform(0, 0.9, rows))
    points = np.stack(
        [time, radius * np.cos(angle), rng.uniform(0, 3, rows), radius * np.sin(angle)], axis=1
    )
    pulse = 1 + sum(
        0.5 / k * np.cos(2 * np.pi * k * time / PERIOD + k) for k in range(1, harmonics + 1)
    )
    v = (1 - (radius / 0.5) ** 2) * pulse + noise * rng.standard_normal(rows)
    wrong = rng.uniform(size=rows) < outliers
    v[wrong] = rng.permutation(v)[wrong]
    row = np.arange(rows)
    tracks = Tracks(points, {"v": v}, row, 0 * row, row, rng.uniform(size=rows) > 0.6)
    return tracks, {"v": max(noise, 1e-3)}


@pytest.mark.parametrize("harmonics", [0, 1, 3, 5])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_harmonics_are_those_of_the_flow(harmonics, noise):
    tracks, sigma = pulsating_tracks(harmonics, noise)
    assert choose_harmonics(tracks, sigma, parabola(0.5), PERIOD)[0] == harmonics


def test_weak_fast_harmonics_show_beside_a_misfit_that_changes_slowly():
    """Every track is too fast or too slow by a fifth, which no shape fits."""
    rng = np.random.default_rng(3)
    tracks, rows = 300, 22
    track = np.repeat(np.arange(tracks), rows)
    time = (rng.uniform(0, PERIOD, tracks)[track] + np.tile(np.arange(rows), tracks) / 38) % PERIOD
    radius = 0.5 * np.sqrt(rng.uniform(0, 0.9, tracks))[track]
    height = rng.uniform(0, 3, tracks)[track]
    points = np.stack([time, radius, height, 0 * time], axis=1)
    strengths = {1: 0.5, 2: 0.25, 3: 0.15, 4: 0.06}
    pulse = 1 + sum(a * np.cos(2 * np.pi * k * time / PERIOD + k) for k, a in strengths.items())
    v = (1 - (radius / 0.5) ** 2) * pulse * (1 + 0.2 * rng.standard_normal(tracks))[track]
    v += 0.05 * rng.standard_normal(len(v))
    row = np.arange(len(v))
    seen = Tracks(points, {"v": v}, row, track, row, np.zeros(len(v), dtype=bool))
    assert choose_harmonics(seen, {"v": 0.05}, parabola(0.5), PERIOD)[0] == 4


@pytest.mark.parametrize("seen_as_they_are", [True, False])
def test_a_harmonic_counts_that_one_of_the_two_fits_sees(monkeypatch, seen_as_they_are):
    """Rows as they are, and rows less what follows from the one before; the sizes are made up."""

    def misfit(shapes, waves, values, alike=None):
        sees = (alike is None) == seen_as_they_are
        needed = 5 if sees else 3
        size = 0.5 if waves.shape[1] >= needed else 1.0
        return size * np.random.default_rng(0).choice([-1.0, 1.0], len(values))

    monkeypatch.setattr(choices, "misfit", misfit)
    tracks, sigma = pulsating_tracks(1, 0.1)
    assert choose_harmonics(tracks, sigma, parabola(0.5), PERIOD)[0] == 2


def test_rows_are_decorrelated_within_their_tracks():
    """Rows of a first-order autoregression become independent, of their innovations' variance."""
    rng = np.random.default_rng(5)
    track = np.repeat(np.arange(200), 50)
    rows = np.empty((200, 50))
    rows[:, 0] = rng.standard_normal(200)
    for i in range(1, 50):
        rows[:, i] = 0.8 * rows[:, i - 1] + 0.6 * rng.standard_normal(200)
    assert _correlation(rows.ravel(), track) == pytest.approx(0.8, abs=0.02)
    found = _decorrelated(rows.ravel(), track, 0.8)
    assert found.std() == pytest.approx(0.6, rel=0.02)
    assert _correlation(found, track) < 0.03
    # The first row of a track has none before it.
    np.testing.assert_allclose(found[::50], 0.6 * rows[:, 0])


def test_harmonics_bear_outliers():
    tracks, sigma = pulsating_tracks(2, 0.1, outliers=0.05)
    assert choose_harmonics(tracks, sigma, parabola(0.5), PERIOD)[0] == 2


def test_harmonics_need_two_phases_for_each_coefficient():
    tracks, sigma = pulsating_tracks(3, 0.01, phases=np.arange(7) / 7 * PERIOD)
    found, why = choose_harmonics(tracks, sigma, parabola(0.5), PERIOD)
    assert found <= 1
    assert why.endswith("among 0 to 1, as many as 7 distinct times support")
    tracks, sigma = pulsating_tracks(0, 0.01, phases=np.arange(5) / 5 * PERIOD)
    with pytest.raises(UserError, match=r"distinct times .* found 5, expected at least 6, two for"):
        choose_harmonics(tracks, sigma, parabola(0.5), PERIOD)


def test_rounding_makes_no_new_phases():
    """Of frames of many beats, whole periods are taken away."""
    tracks, sigma = pulsating_tracks(3, 0.01, phases=np.arange(7000) / 7 * PERIOD)
    time = np.mod(tracks.points[:, 0], PERIOD)
    assert len(np.unique(time)) > 20
    assert distinct_times(time, PERIOD) in (7, 8)
    whole = np.column_stack([time, tracks.points[:, 1:]])
    found = choose_harmonics(replace(tracks, points=whole), sigma, parabola(0.5), PERIOD)
    assert "among 0 to 1" in found[1]


def test_harmonics_need_two_rows_for_each_coefficient_of_each_shape():
    tracks, sigma = pulsating_tracks(3, 0.01, rows=3000)
    training = np.flatnonzero(~tracks.validation)
    # 68 rows are 17 for each of four shapes, of which three harmonics take 14.
    for rows, most in ((68, 3), (MINIMUM_ROWS, 1)):
        part = tracks.rows(training[:rows])
        why = choose_harmonics(part, sigma, parabola(0.5), PERIOD)[1]
        assert f"among 0 to {most}" in why
    assert SHAPES * fewest_times("periodic", 1) == MINIMUM_ROWS


def table_of(v, track):
    row = np.arange(len(v))
    position = np.zeros((len(v), 3))
    return TrackTable(row, row / len(v), position, {"v": v}, track, 0 * row, False)


def test_noise_is_that_of_the_tracks_within_bounds():
    rng = np.random.default_rng(0)
    smooth = 1 + np.sin(np.linspace(0, 20, 6000))
    noisy = smooth + 0.2 * rng.standard_normal(6000)
    tracks = np.arange(6000) // 50
    assert choose_noise(table_of(noisy, tracks), 2.0)["v"] == pytest.approx(0.1, rel=0.05)
    rms = np.sqrt(np.mean(smooth**2))
    assert choose_noise(table_of(smooth, tracks), 2.0)["v"] == pytest.approx(0.02 * rms / 2)
    lone = choose_noise(table_of(noisy, np.arange(6000)), 2.0)["v"]
    assert lone == pytest.approx(0.1 * np.sqrt(np.mean(noisy**2)) / 2)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("inner", [0.0, 0.5])
def test_scales_and_wall_function_of_a_tube_along_any_axis(tmp_path, axis, inner):
    tube = tube_of(axis=axis, inner=inner)
    path = write_tube_experiment(tmp_path, axis=axis, inner=inner, ingest={"outside": "keep"})
    experiment = yaml.safe_load(path.read_text())
    for key in ("length_scale", "velocity_scale"):
        del experiment["ingest"][key]
    path.write_text(yaml.safe_dump(experiment))
    results = Results(tmp_path)
    ingest(load_stage(path, "ingest"), results)
    case = read_case(results.case)
    assert "length scale" in results.ingestion.read_text()
    # The radius of a tube, the gap of an annulus; flat triangles cut about one percent.
    assert case.scales.length == pytest.approx((1 - inner) * tube.radius, rel=0.02)
    assert case.radius == pytest.approx(1, rel=1e-6)
    axial = case.tracks.velocity["uvw"[tube.along]]
    assert np.sqrt(np.mean(axial**2)) == pytest.approx(1)
    # Without noise a few shapes of space do not meet the profile of an annulus exactly.
    assert 1 <= case.harmonics <= (3 if inner else 1)
    assert json.dumps(case.chosen)

    # -lap phi = 1 in the section, phi = 0 on the wall: developed flow in a straight duct.
    r = np.linspace(inner, 1, 9)
    exact = (1 - r**2) / 4
    if inner:
        exact = (1 - r**2 - (1 - inner**2) * np.log(r) / np.log(inner)) / 4
    at = np.zeros((9, 3))
    at[:, (tube.along + 1) % 3] = r * tube.radius / case.scales.length
    found = case.wall_function(at) * (case.scales.length / tube.radius) ** 2
    np.testing.assert_allclose(found, exact, atol=0.02 * exact.max())
    assert case.wall_function.misfit < 0.05


def test_training_resolves_every_auto():
    case = replace(case_of(swirling), harmonics=2)
    settings = TrainSettings()
    resolved = resolve(settings, case)
    assert resolved.network.time_harmonics == 2
    assert resolved.global_weights.tracks[0] == pytest.approx(1 / case.noise["u"] ** 2)
    assert len(resolved.optimiser.rows) == 2
    choices = chosen(settings, resolved, case)
    assert {"network.output_scales", "global_weights.mass"} <= choices.keys()
    assert choices["optimiser.rows"] == "2000, 1200, points of one step, the same for every case"
    assert "global_weights.no_slip" not in choices
    given = replace(settings, global_weights=replace(settings.global_weights, mass=2.0))
    assert "global_weights.mass" not in chosen(given, resolve(given, case), case)
    soft = TrainSettings(
        network=FlowNetworkSettings(no_slip="soft", time="input", time_harmonics=3)
    )
    assert len(resolve(soft, case).optimiser.rows) == 3
    found = chosen(soft, resolve(soft, case), case)
    assert found["global_weights.no_slip"].startswith("2500, 2500, 2500, inverse squares of 0.02")


@pytest.mark.parametrize(("reynolds", "width"), [(29.0, 32), (31.0, 48)])
def test_the_network_is_wider_where_convection_is_strong(reynolds, width):
    case = case_of(swirling)
    scales = replace(case.scales, viscosity=1.0, density=1.0, length=1.0)
    case = replace(case, scales=replace(scales, velocity=reynolds / case.radius))
    settings = TrainSettings()
    resolved = resolve(settings, case)
    assert resolved.network.width == width
    assert chosen(settings, resolved, case)["network.width"] == (
        f"{width}, at a Reynolds number of {reynolds:.0f} of the hydraulic radius"
    )
    given = TrainSettings(network=FlowNetworkSettings(width=20))
    assert resolve(given, case).network.width == 20


def test_what_cannot_be_resolved_is_one_line():
    case = case_of(swirling)
    bad = replace(case, wall_function=replace(case.wall_function, misfit=0.2))
    with pytest.raises(UserError, match="no_slip: the wall function is 20 %"):
        resolve(TrainSettings(), bad)
    few = replace(case.tracks, points=case.tracks.points * [0.0, 1, 1, 1])
    settings = TrainSettings(network=FlowNetworkSettings(time_harmonics=2))
    with pytest.raises(UserError, match="found 2 with 1 distinct times"):
        resolve(settings, replace(case, tracks=few))
