"""Steady and unsteady flows with exact solutions, from the tracks to the page."""

import json

import numpy as np
import pandas as pd
import pytest
import pyvista as pv
import torch

import aiv_rba
from aiv_rba.files.case import read_case
from aiv_rba.files.results import Results
from tests.synthetic import DecayingSwirl, SteadyTube, write_tube_experiment

FALSE_TRACKS = 3


def inside(tube, count=400):
    """Random points (count, 3) of the tube, m."""
    rng = np.random.default_rng(8)
    points = np.tile(np.array(tube.centre), (count, 1))
    radius = 0.95 * tube.radius * np.sqrt(rng.uniform(size=count))
    angle = rng.uniform(0, 2 * np.pi, count)
    points += np.column_stack(
        [radius * np.cos(angle), tube.length * rng.uniform(size=count), radius * np.sin(angle)]
    )
    return points


def relative(found, exact):
    return np.linalg.norm(np.subtract(found, exact)) / np.linalg.norm(exact)


def infer(folder, tube, iterations, change=None):
    path = write_tube_experiment(
        folder,
        tube=tube,
        noise=0.02,
        tracks=120,
        train={
            "network": {"layers": 2, "width": 12},
            "optimiser": {"name": "gauss_newton", "iterations": iterations},
            "uncertainty": {"samples": 8},
        },
        fields={"times": 5},
    )
    if change is not None:
        table = pd.read_csv(folder / "tracks.csv")
        change(table)
        table.to_csv(folder / "tracks.csv", index=False)
    results = Results(folder / "results")
    experiment = aiv_rba.read_experiment(path)
    flow = aiv_rba.infer(experiment, results.folder)
    for stage in (aiv_rba.write_fields, aiv_rba.score, aiv_rba.report):
        stage(experiment, results.folder)
    return flow, results


def take_other_velocities(table):
    """Give the last tracks the velocities of the first ones, as where a tracker follows wrongly."""
    rows = FALSE_TRACKS * 10
    for name in "uvw":
        table.loc[len(table) - rows :, name] = -table[name].iloc[:rows].to_numpy()


@pytest.fixture(scope="module")
def decaying(tmp_path_factory):
    tube = DecayingSwirl()
    folder = tmp_path_factory.mktemp("decaying")
    return tube, *infer(folder, tube, 40, take_other_velocities)


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    tube = SteadyTube()
    folder = tmp_path_factory.mktemp("steady")
    return tube, *infer(folder, tube, 20)


def test_an_unsteady_flow_is_inferred_in_its_window(decaying):
    tube, flow, _ = decaying
    assert flow.window == pytest.approx((12.0, 12.06))
    assert (flow.case.flow, set(flow.case.tracks.velocity)) == ("unsteady", {"u", "v", "w"})
    points = inside(tube)
    times = flow.times(9)
    assert times[[0, -1]] == pytest.approx(flow.window)
    found = np.array([flow.velocity(points, time) for time in times])
    exact = np.array([tube.velocity(time, points) for time in times])
    assert relative(found, exact) < 0.05
    # What the particles do in depth is measured as well as the rest.
    assert relative(found[..., 2], exact[..., 2]) < 0.15
    rates = [flow.flow_rate(time) for time in times]
    assert relative(rates, [tube.flow_rate(time) for time in times]) < 0.02
    # Beside the viscous drop of such a flow, if a pressure drove it.
    driving = 8 * tube.viscosity * tube.length * tube.flow_rate(12.0) / (np.pi * tube.radius**4)
    assert abs(flow.pressure_drop(12.03)) < 0.05 * driving


def test_times_are_those_of_the_recording(decaying):
    _, flow, results = decaying
    points = flow.wall_points[:2]
    with pytest.raises(aiv_rba.UserError, match=r"found 0.01 s, expected one in the window of"):
        flow.velocity(points, 0.01)
    with pytest.raises(aiv_rba.UserError, match=r"time: found none, expected one in s"):
        flow.flow_rate()
    table = pd.read_csv(results.hydraulics)
    np.testing.assert_allclose(table.t_s, np.linspace(12, 12.06, 5), rtol=1e-12)
    assert pv.PVDReader(results.volume).time_values == pytest.approx(table.t_s.to_list())
    # Both ends count half.
    mean = np.average(table.pressure_drop_pa, weights=[1, 2, 2, 2, 1])
    rate = np.average(table.flow_rate_m3_s, weights=[1, 2, 2, 2, 1])
    assert table.hydraulic_resistance_pa_s_m3[0] == pytest.approx(mean / rate)
    page = results.page.read_text()
    assert "Unsteady flow from 12 to 12.1 s" in page
    assert "measurements of u, v and w" in page
    assert "of the window" in page
    assert "Womersley" not in page


def test_false_links_of_moving_tracks_are_found(decaying):
    _, flow, results = decaying
    rows = pd.read_csv(results.suspicious_rows)
    last = flow.case.tracks.row.max()
    false = rows.row > last - 10 * FALSE_TRACKS
    assert false.sum() > 0.8 * 10 * FALSE_TRACKS
    assert rows.t_s.between(12, 12.06).all()
    assert set(rows.columns) >= {"w_measured_m_s", "w_inferred_m_s"}
    # The depth is measured.
    spread = json.loads(results.scores.read_text())["suspicious"]["depth_spread_m"]
    assert spread == 0


def test_a_steady_flow_needs_no_times(steady):
    tube, flow, _ = steady
    assert (flow.case.flow, flow.case.harmonics) == ("steady", 0)
    points = inside(tube)
    exact = np.zeros_like(points)
    exact[:, 1] = tube.axial_velocity(0.0, tube.radius_of(points))
    assert relative(flow.velocity(points), exact) < 0.02
    np.testing.assert_array_equal(flow.velocity(points), flow.velocity(points, 7.0))
    assert not flow.model.network.jet(torch.tensor(flow.case.tracks.points[:5]))[1].any()
    assert flow.flow_rate() == pytest.approx(np.pi * tube.radius**2 * tube.speed / 2, rel=0.02)
    assert flow.pressure_drop() == pytest.approx(tube.mean_gradient * tube.length, rel=0.05)
    assert flow.std.velocity(points).shape == points.shape
    assert (flow.volume()["velocity"] == flow.volume(0.1)["velocity"]).all()


def test_a_steady_flow_has_one_picture(steady):
    *_, results = steady
    assert len(pd.read_csv(results.hydraulics)) == 1
    assert pv.PVDReader(results.volume).time_values == [0.0]
    page = results.page.read_text()
    assert "Steady flow, Reynolds" in page
    assert "Flow rate and pressure drop" not in page
    assert "none, the flow is steady" in results.ingestion.read_text()


@pytest.mark.parametrize("tube", [SteadyTube(), DecayingSwirl()])
def test_velocities_are_differences_of_positions(tmp_path, tube):
    """Those of a steady flow need the times, which then are dropped."""
    path = write_tube_experiment(tmp_path, tube=tube, ingest={"velocities": "differences"})
    experiment = aiv_rba.read_experiment(path)
    table = pd.read_csv(tmp_path / "tracks.csv")
    if "t" not in table:
        with pytest.raises(aiv_rba.UserError, match=r"line 1: column 't' is missing"):
            aiv_rba.ingest(experiment, tmp_path)
        table["t"] = 3.0 + tube.period / 50 * (np.arange(len(table)) % 10)
        table.to_csv(tmp_path / "tracks.csv", index=False)
    aiv_rba.ingest(experiment, tmp_path)
    case = read_case(Results(tmp_path).case)
    assert list(case.tracks.velocity) == tube.measured
    assert case.tracks.points[:, 0].any() == (case.flow == "unsteady")
    exact = table.iloc[case.tracks.row]
    for name, values in case.tracks.velocity.items():
        np.testing.assert_allclose(values, exact[name] / (1e6 * tube.speed), atol=2e-3)
