"""The wake: its solver against slow flow in a tube and measured drag, its splines and files."""

import numpy as np
import pandas as pd
import pytest
import yaml

from aiv_rba.statistics import relative_l2
from aiv_rba.twin.axisymmetric import SphereInStream, Triangles
from aiv_rba.twin.runs import Scenery, record_runs
from aiv_rba.twin.sampling import vorticity
from aiv_rba.twin.tracers import Tracking
from aiv_rba.twin.wake import SphereFlow, generate_wake, solve_wake
from tests.twins import wake


def slow_drag(size, order):
    """Drag in a tube of ten radii over 6 pi mu R U, without inertia."""
    resolution = Triangles(size=size, near=2 * size, reach=10.0, order=order, step=1e9)
    flow = SphereInStream(lambda time: 1.0, 1e-6, resolution)
    flow.advance()
    assert flow.flux("outlet") == pytest.approx(-flow.flux("inlet"), rel=1e-6)
    return flow.drag * 1e-6 / (6 * np.pi)


def test_slow_drag_is_that_of_stokes_with_the_correction_of_haberman():
    """A sphere on the axis of a tube that moves with the stream, to 0.1 percent for this ratio."""
    k = 0.1
    exact = (1 - 0.75857 * k**5) / (1 - 2.1050 * k + 2.0865 * k**3 - 1.7068 * k**5 + 0.72603 * k**6)
    coarse, fine = (abs(slow_drag(size, 2) / exact - 1) for size in (0.5, 0.25))
    assert coarse < 0.06
    assert fine < coarse / 3
    assert slow_drag(0.25, 3) == pytest.approx(exact, rel=3e-3)


@pytest.fixture(scope="module")
def flow():
    return solve_wake(wake())


def test_drag_coefficient_is_that_of_the_literature(flow):
    """1.81 at Reynolds number 40 (Dennis and Walker 1971), when the flow hardly changes."""
    assert flow.report["drag_coefficient"] == pytest.approx(1.81, rel=0.02)
    assert flow.report["mass_imbalance"] < 1e-6


def test_stress_and_pressure_on_the_sphere_make_up_the_drag(flow):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    points = np.column_stack([nodes, np.sqrt(1 - nodes**2), np.zeros(60)])
    time = flow.fields.t[-1]
    stress, pressure = flow.on_sphere(points, time)
    drag = 2 * np.pi * np.sum(weights * (stress[:, 0] - pressure * points[:, 0]))
    assert 2 * drag / np.pi == pytest.approx(flow.report["drag_coefficient"], rel=0.02)


def test_the_flow_is_divergence_free_has_its_curl_and_is_still_on_the_sphere(flow):
    rng = np.random.default_rng(0)
    points = rng.uniform([-2.5, -2, -2], [4, 2, 2], size=(400, 3))
    points = points[np.linalg.norm(points, axis=1) > 1.3]
    gradient = np.stack(
        [
            (flow.velocity(points + step, 9.0) - flow.velocity(points - step, 9.0)) / 2e-3
            for step in 1e-3 * np.eye(3)
        ],
        axis=-1,
    )
    divergence = np.trace(gradient, axis1=1, axis2=2)
    assert np.sqrt(np.mean(divergence**2)) < 0.02
    _, curl = flow.pressure_and_vorticity(points, 9.0)
    assert relative_l2(curl, vorticity(gradient)) < 0.05
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert np.abs(flow.velocity(1.001 * unit, 9.0)).max() < 0.01
    assert np.isnan(flow.velocity(0.9 * unit, 9.0)).all()


def test_runs_of_tracers_follow_the_flow_at_all_times():
    """A stream that turns and grows with time."""

    def velocity(points, time):
        x, y, _ = points.T
        return np.stack([1 + time - y, x, 0.1 * x], axis=1)

    scenery = Scenery(
        velocity,
        seeds=lambda rng, count: rng.uniform(-2, 2, size=(count, 3)),
        slab=lambda points: np.where((np.abs(points) < 1).all(axis=-1), 0, -1),
        interval=0.01,
        window=(2.0, 5.0),
    )
    tracking = Tracking(rows=6000, loss=0, noise_u=0, noise_v=0, noise_w=0, outliers=0)
    table, slab = record_runs(scenery, tracking, seed=1)
    assert list(table) == ["t", "x", "y", "z", "u", "v", "w", "track", "frame"]
    assert (slab == 0).all()
    assert table.t.between(2, 5, inclusive="left").all()
    assert table.t.min() < 2.5
    assert table.t.max() > 4.5
    places = table[["x", "y", "z"]].to_numpy()
    exact = np.array([velocity(p[None], t)[0] for p, t in zip(places, table.t, strict=True)])
    np.testing.assert_allclose(table[["u", "v", "w"]], exact, atol=2e-3)
    assert (table.groupby("track")["frame"].diff().dropna() == 1).all()


def test_the_files_of_a_wake_hang_together(tmp_path, flow: SphereFlow, monkeypatch):
    monkeypatch.setattr("aiv_rba.twin.wake.solve_wake", lambda twin: flow)
    twin = wake(rows=600)
    generate_wake(twin, tmp_path, "wake")
    tracks = pd.read_csv(tmp_path / "tracks.csv")
    assert list(tracks) == ["t", "x", "y", "z", "u", "v", "w", "track", "frame"]
    assert tracks.x.between(-1.5, 3).all()
    # The speed in the end is 27.9 mm/s, the unit of time 17.9 ms.
    assert twin.scales.velocity == pytest.approx(40 * 6.92e-4 / 993.3 / 1e-3)
    assert tracks.t.between(3 * twin.scales.time, 14 * twin.scales.time).all()
    ingest = yaml.safe_load((tmp_path / "experiment.yaml").read_text())["ingest"]
    assert ingest["wall"] == {"box": {"x": [-1.5, 3.0], "y": [-1.2, 1.2], "z": [-1.2, 1.2]}}
    assert ingest["flow"] == "unsteady"
    with np.load(tmp_path / "truth.npz") as truth:
        on_wall = np.isfinite(truth["wss_x"])
        distance = np.linalg.norm([truth[name] for name in "xyz"], axis=0)
        np.testing.assert_allclose(distance[on_wall], 5e-4)
        assert (distance[~on_wall] > 5e-4).all()
        assert np.isfinite(truth["p"]).all()
        assert (np.isfinite(truth["vorticity_y"]) != on_wall).all()
        assert len(np.unique(truth["t"])) == 3
