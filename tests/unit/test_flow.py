"""The finished flow in SI units against an exact one."""

import numpy as np
import pandas as pd
import pytest
import torch

from aiv_rba.errors import UserError
from aiv_rba.fields import derived
from aiv_rba.fields.derived import at_time, sample, sample_series
from aiv_rba.fields.flow import Flow, example_flow, open_flow
from aiv_rba.fields.probe import probe
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.settings import FlowNetworkSettings
from aiv_rba.stages.score.suspicious import suspect
from aiv_rba.stages.score.tracks import on_tracks
from tests.exact import (
    RADIUS,
    SCALES,
    SPIN,
    ExactFlow,
    case_of,
    model_of,
    swirling,
    write_trained,
)
from tests.synthetic import tube_of

TIME = 0.3 * SCALES.period
PULSE = 1 + 0.5 * np.cos(2 * np.pi * 0.3)


@pytest.fixture(scope="module")
def flow():
    return Flow(case_of(swirling), model_of(ExactFlow(swirling)), layers=4)


def places(n=30, share=0.9):
    """Nondimensional positions within a share of the radius, and the same in m."""
    rng = np.random.default_rng(8)
    angle, r = rng.uniform(0, 2 * np.pi, n), share * RADIUS * np.sqrt(rng.uniform(0, 1, n))
    at = np.stack([r * np.cos(angle), rng.uniform(0.5, 3.5, n), r * np.sin(angle)], axis=1)
    return at, at * SCALES.length + np.array(SCALES.origin)


def test_velocity_and_vorticity_at_any_points_and_times(flow):
    (x, _, z), points = places()[0].T, places()[1]
    expected = PULSE * np.stack([SPIN * z, 1 - (x**2 + z**2) / RADIUS**2, -SPIN * x], axis=1)
    for time in (TIME, TIME + SCALES.period, TIME - 2 * SCALES.period):
        np.testing.assert_allclose(
            flow.velocity(points, time), expected * SCALES.velocity, atol=1e-9 * SCALES.velocity
        )
    curl = PULSE * np.stack([2 * z, 2 * SPIN * RADIUS**2 + 0 * x, -2 * x], axis=1) / RADIUS**2
    np.testing.assert_allclose(
        flow.vorticity(points, TIME), curl * SCALES.shear_rate, atol=1e-9 * SCALES.shear_rate
    )


def test_pressure_has_no_mean_and_the_right_differences(flow):
    points = places()[1]
    pressure = flow.pressure(points, TIME)
    y = places()[0][:, 1]
    np.testing.assert_allclose(
        pressure - pressure[0], -2 * PULSE * (y - y[0]) * SCALES.pressure, atol=1e-9
    )
    assert abs(flow.volume(TIME)["pressure"].mean()) < 1e-9 * np.abs(pressure).max()


def test_wall_shear_stress_is_that_of_the_parabola(flow):
    stress = flow.wall_shear_stress(flow.wall_points, TIME)
    expected = 2 / RADIUS * PULSE * SCALES.viscosity * SCALES.shear_rate
    np.testing.assert_allclose(stress[:, 1], expected, rtol=1e-9)
    np.testing.assert_allclose(flow.wall(TIME)["wall_shear_stress"], stress, atol=1e-12)
    # On the wall the strain is that of the parabola alone.
    np.testing.assert_allclose(flow.wall(TIME)["viscous_stress_magnitude"], expected, rtol=1e-9)


def test_flow_rate_through_any_plane_and_pressure_drop(flow):
    expected = np.pi / 2 * RADIUS**2 * PULSE * SCALES.flow_rate
    assert flow.flow_rate(TIME) == pytest.approx(expected, rel=0.01)
    middle = SCALES.origin[1] + 2.0 * SCALES.length
    assert flow.flow_rate(TIME, at=middle) == pytest.approx(expected, rel=0.01)
    drop = 2 * PULSE * 4.0 * SCALES.pressure
    assert flow.pressure_drop(TIME) == pytest.approx(drop, rel=1e-6)


def test_points_of_another_shape_are_refused(flow):
    with pytest.raises(ValueError, match=r"points: found shape \(3,\), expected \(N, 3\)"):
        flow.velocity([0.0, 0.0, 0.0], TIME)


def test_a_folder_opens_and_a_foreign_network_does_not(tmp_path):
    network = write_trained(tmp_path)
    opened = open_flow(tmp_path)
    points = places()[1]
    assert opened.velocity(points, TIME).shape == (30, 3)
    assert sum(p.numel() for p in opened.model.network.parameters()) == sum(
        p.numel() for p in network.parameters()
    )
    write_trained(tmp_path, "other")
    with pytest.raises(UserError, match="belongs to case other"):
        open_flow(tmp_path)


def test_the_flow_that_comes_with_the_package_is_that_of_its_tube():
    """900 rows with noise and a small network: a few percent of the exact flow."""
    flow, tube = example_flow(), tube_of()
    rng = np.random.default_rng(2)
    angle, r = rng.uniform(0, 2 * np.pi, 200), 0.9 * tube.radius * np.sqrt(rng.uniform(0, 1, 200))
    y = tube.length * rng.uniform(0.1, 0.9, 200)
    points = tube.centre + np.stack([r * np.cos(angle), y, r * np.sin(angle)], axis=1)
    time = 0.4 * tube.period
    exact = tube.velocity(np.full(200, time), points)
    inferred = flow.velocity(points, time)
    assert np.linalg.norm(inferred - exact) < 0.05 * np.linalg.norm(exact)


@pytest.mark.parametrize("time", ["coefficients", "input"])
def test_a_series_is_what_single_times_give(time, monkeypatch):
    settings = FlowNetworkSettings(
        time=time,
        no_slip="soft",
        layers=2,
        width=7,
        time_harmonics=2,
        output_scales=(0.1, 1.0, 0.2, 5.0),
    )
    box = torch.tensor([[0.0, -1, -1, -1], [SCALES.nondimensional_period, 1, 1, 1]]).double()
    network = FlowNetwork(settings, *box).double()
    # More points and times than are held at once.
    monkeypatch.setitem(derived.NUMBERS_AT_ONCE, "cpu", 6 * 10 * 8)
    monkeypatch.setattr(derived, "TIMES_AT_ONCE", 2)
    positions, times = places(20)[0], np.array([0.0, 0.4, 1.1])
    assert derived.points_at_once(network) < len(positions)
    for order in (0, 1):
        series = sample_series(network, SCALES, positions, times, order)
        for at, found in zip(times, series, strict=True):
            expected = sample(network, SCALES, at_time(positions, at))
            for name in ("velocity", "pressure", "gradient")[: 2 + order]:
                np.testing.assert_allclose(
                    getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-13
                )


def test_nobody_asks_for_derivatives_that_are_not_needed():
    """Orders of the jets that each question takes, of a flow that notes them."""

    class Noting(ExactFlow):
        def jet(self, points, order=2):
            orders.add(order)
            return super().jet(points, order)

    flow, orders = Flow(case_of(swirling), model_of(Noting(swirling)), layers=2), set()
    points = places(3)[1]
    table = pd.DataFrame({"t": [TIME, 0.0, 0.0]} | dict(zip("xyz", points.T, strict=True)))
    questions = {
        0: (
            lambda: flow.velocity(points, TIME),
            lambda: flow.pressure(points, TIME),
            lambda: flow.flow_rate(TIME),
            lambda: flow.flow_rate(TIME, at=SCALES.origin[1] + SCALES.length),
            lambda: flow.hydraulics(flow.times(2)),
            lambda: on_tracks(flow.case, flow.model),
            lambda: suspect(flow.case, flow.model),
        ),
        1: (
            lambda: flow.vorticity(points, TIME),
            lambda: flow.wall_shear_stress(points, TIME),
            lambda: flow.volume(TIME),
            lambda: probe(flow, table),
        ),
    }
    for order, asked in questions.items():
        for question in asked:
            orders.clear()
            question()
            assert max(orders) == order


def test_a_gpu_that_is_not_there_is_refused(tmp_path, monkeypatch):
    write_trained(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="found cuda, but no GPU is visible"):
        open_flow(tmp_path, device="cuda")
