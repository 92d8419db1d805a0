"""The camera of the twin against a flow in closed form, and the files of coarse twins."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from aiv_rba.cli import main
from aiv_rba.files.case import read_case
from aiv_rba.settings import load_stage
from aiv_rba.twin.axes import Axes
from aiv_rba.twin.generate import generate
from aiv_rba.twin.lobes import Lobe
from aiv_rba.twin.options import Truth, Twin, preset
from aiv_rba.twin.sampling import BEYOND, Interpolant
from aiv_rba.twin.shapes import Annulus, Tube
from aiv_rba.twin.surface import GivenWall
from aiv_rba.twin.tracers import SHORTEST_RUN, Camera, Scene, false_links, record
from tests.stages import prepare
from tests.twins import one_cycle

SPAN = (-1.0, 13.0)
SHAPE = (57, 48, 13)


def flow(points, phase):
    """A mean and one harmonic, smooth in space."""
    x, y, z = points.T
    swing = np.cos(2 * np.pi * phase)
    return np.stack([0.05 * swing * z, 1 + 0.5 * swing * (1 + 0.2 * x * z), 0.03 * np.sin(y)], 1)


@pytest.fixture(scope="module")
def interpolant():
    lobe = Lobe()
    y, theta, r = np.meshgrid(
        np.linspace(*SPAN, SHAPE[0]),
        2 * np.pi * np.arange(SHAPE[1]) / SHAPE[1],
        np.linspace(0, 1, SHAPE[2]),
        indexing="ij",
    )
    points = lobe.place(r.ravel(), theta.ravel(), y.ravel())
    # Three values of a mean and a cosine give both.
    mean = (flow(points, 0.0) + flow(points, 0.5)) / 2
    modes = np.stack([mean, flow(points, 0.0) - mean])
    return Interpolant(lobe, modes.reshape(2, *SHAPE, 3).astype(complex), SPAN)


def test_interpolated_flow_is_that_of_the_grid(interpolant):
    inside = Lobe().uniform(np.random.default_rng(0), 4000, 0.0, 12.0)
    for phase in (0.0, 0.3, 0.71):
        np.testing.assert_allclose(interpolant(inside, phase), flow(inside, phase), atol=1e-3)
    outside = inside + np.array([0, 0, 5.0])
    assert not interpolant(outside, 0.0).any()


def recorded(interpolant, **changes):
    """Table and truth of the same tracers, whatever the noise."""
    scene = Scene(Lobe(), interpolant, 1.0, Axes())
    return record(scene, Camera(rows=1000, **changes), seed=1)


@pytest.fixture(scope="module")
def clean(interpolant):
    return recorded(interpolant, noise_u=0, noise_v=0, outliers=0)


def test_tracks_without_noise_follow_the_flow(clean):
    table, truth = clean
    assert len(table) == 1000
    assert set(table.z_plane) == set(Camera().planes)
    assert table.t.between(0, 1, inclusive="left").all()
    at = table[["x", "y", "z_plane"]].to_numpy()
    expected = np.array([flow(p[None], t)[0] for p, t in zip(at, table.t, strict=True)])
    inside = np.hypot(*Lobe().unbend(*at.T)) < 0.98
    np.testing.assert_allclose(truth.velocity["tracks"][inside], expected[inside], atol=1e-3)
    assert not truth.mismatched.any()
    # Central differences over two frames err to second order in the interval, 1 / 75.7. This flow
    # does not end at the wall, so that tracers near it run out of it and stop.
    error = np.abs(table[["u", "v"]].to_numpy() - truth.velocity["tracers"][:, :2])
    assert error[inside].max() < 2e-3


def test_noise_and_mismatches_have_the_shares_asked_for(interpolant, clean):
    spoiled, truth = recorded(interpolant, noise_u=0.3, noise_v=0.1, outliers=0.1)
    for name, share in (("u", 0.3), ("v", 0.1)):
        error = spoiled[name] - clean[0][name]
        # Quartiles do not see the mismatched rows.
        spread = np.subtract(*np.quantile(error, [0.75, 0.25])) / 1.349
        assert spread / np.sqrt(np.mean(clean[0][name] ** 2)) == pytest.approx(share, rel=0.2)
    far = np.abs(spoiled["v"] - clean[0]["v"]) > 0.5
    assert 0.02 < far.mean() < 0.1
    # Noise is five times less; the flags know the others too.
    assert truth.mismatched[far].all()
    assert truth.mismatched.mean() == pytest.approx(0.1, abs=0.02)


def test_false_links_change_no_other_row(interpolant):
    """Whatever else is drawn stays the same to the last bit."""
    plain, flags = recorded(interpolant)
    linked, more = recorded(interpolant, false_links=0.3)
    taken = more.mismatched & ~flags.mismatched
    pd.testing.assert_frame_equal(linked[~more.mismatched], plain[~more.mismatched])
    assert (linked.loc[taken, "v"] != plain.loc[taken, "v"]).all()
    places = ["t", "x", "y", "z_plane", "track", "frame"]
    pd.testing.assert_frame_equal(linked[places], plain[places])
    for name in ("tracers", "tracks"):
        np.testing.assert_array_equal(more.velocity[name], flags.velocity[name])


def test_false_links_are_runs_of_one_other_track():
    track = np.repeat([4, 9, 2, 7, 5], [20, 2, 9, 15, 30])
    spoiled = set()
    for seed in range(40):
        taken, donors = false_links(track, 0.5, np.random.default_rng(seed))
        assert len(np.unique(track[taken])) == 2
        for one in np.unique(track[taken]):
            rows = taken[track[taken] == one]
            others = donors[track[taken] == one]
            assert len(rows) >= SHORTEST_RUN
            assert (np.diff(rows) == 1).all()
            assert (np.diff(others) == 1).all()
            assert set(track[others]) == {track[others[0]]} != {one}
            spoiled.add(int(one))
    # The track of two rows is too short.
    assert spoiled == {4, 2, 7, 5}
    assert len(false_links(track, 0.1, np.random.default_rng(0))[0]) == 0


def plug(points, phase):
    """A uniform flow along the axis."""
    return np.tile([0.0, 1.0, 0.0], (len(points), 1))


@pytest.fixture(scope="module")
def periodic_scene():
    """A plug flow in a tube of length 4 that repeats."""
    tube, shape = Tube(length=4.0), (4 * BEYOND + 1, 16, 5)
    beyond = BEYOND * tube.length / (shape[0] - 1 - 2 * BEYOND)
    modes = np.zeros((1, *shape, 3), dtype=complex)
    modes[..., 1] = 1
    return lambda axis: Scene(
        tube, Interpolant(tube, modes, (-beyond, 4.0 + beyond), wrap=4.0), 3.0, Axes(axis)
    )


@pytest.mark.parametrize(("axis", "axial"), [("y", "v"), ("x", "u"), ("z", "w")])
def test_tracers_of_a_periodic_flow_come_in_again(periodic_scene, axis, axial):
    """They travel three quarters of the length, and no track shows a jump."""
    # A camera that looks along the vessel sees a tracer while it crosses the slab.
    exact = Camera(depths=(0.3, 0.7), loss=0, noise_u=0, noise_v=0, noise_w=0, outliers=0)
    camera = replace(exact, rows=2000, thickness=0.5 if axis == "z" else 0.2)
    table, _ = record(periodic_scene(axis), camera, seed=2)
    assert list(table) == ["t", "x", "y", "z_plane", "u", "v", "w", "track", "frame"]
    np.testing.assert_allclose(table[axial], 1, atol=1e-9)
    still = [name for name in "uvw" if name != axial]
    np.testing.assert_allclose(table[still], 0, atol=1e-9)
    depth = {"y": (-0.4, 0.4), "x": (-0.4, 0.4), "z": (1.2, 2.8)}[axis]
    np.testing.assert_allclose(np.unique(table["z_plane"]), depth, atol=1e-3)
    if axis != "z":
        # All along the vessel, whatever the phase, there is something to see.
        late = table[table["t"] > 2]
        assert np.histogram(late[axis], bins=4, range=(0, 4))[0].min() > 0.15 * len(late)


def test_few_frames_average_the_velocity_between_them():
    """A plug flow 1 + cos(w t) / 2: a mean over two intervals D shrinks its swing by sinc(w D)."""
    tube, frames, period = Tube(length=4.0), 10.7, 3.0
    modes = np.zeros((2, 4 * BEYOND + 1, 16, 5, 3), dtype=complex)
    modes[..., 1] = np.array([1.0, 0.5])[:, None, None, None]
    beyond = BEYOND * tube.length / (2 * BEYOND)
    field = Interpolant(tube, modes, (-beyond, 4.0 + beyond), wrap=4.0)
    camera = Camera(depths=(0.5,), rows=500, frames=frames, noise_u=0, noise_v=0, outliers=0)
    table, _ = record(Scene(tube, field, period, Axes()), camera, seed=2)
    swing = 0.5 * np.sinc(2 / frames)
    expected = 1 + swing * np.cos(2 * np.pi * table["t"] / period)
    np.testing.assert_allclose(table["v"], expected, atol=3e-4)


COARSE = one_cycle(axial=10, steps=12, modes=3, lookup=(33, 24, 9))


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """A mesh that is far too coarse, to see that the files fit together."""
    out = tmp_path_factory.mktemp("twin")
    twin = replace(
        preset("physiological", 0),
        discretisation=COARSE,
        camera=Camera(rows=1500),
        truth=Truth(points=200, wall_points=100, at="vertices"),
    )
    report = generate(twin, out, "coarse")
    return twin, out, report


def ingested(out, folder):
    """Case of the experiment.yaml beside the tracks."""
    results = prepare(folder, out / "experiment.yaml")
    assert main(["ingest", str(folder)]) == 0
    return read_case(results.case)


def test_a_coarse_twin_can_be_ingested(coarse, tmp_path):
    twin, out, report = coarse
    assert report["mass_imbalance"] < 1e-6
    assert len(pd.read_csv(out / "tracks.csv")) == 1500
    case = ingested(out, tmp_path)
    assert len(case.tracks.row) > 1400
    assert load_stage(out / "experiment.yaml", "score").truth == str(out / "truth.h5")
    assert twin.scales.reynolds == pytest.approx(3.59e-3, rel=2e-3)


def test_the_truth_of_a_coarse_twin_hangs_together(coarse):
    twin, out, _ = coarse
    lobe, scales = twin.duct, twin.scales
    with h5py.File(out / "truth.h5") as truth:
        inside = truth["points/position"][:] / scales.length
        on_wall = truth["wall/position"][:] / scales.length
        assert len(inside) == 200
        assert (np.hypot(*lobe.unbend(*inside.T)) < 1).all()
        np.testing.assert_allclose(np.hypot(*lobe.unbend(*on_wall.T)), 1, atol=1e-9)
        stress, normals = truth["wall/wall_shear_stress"][:], truth["wall/normal"][:]
        size = np.abs(stress).max()
        assert np.abs(np.einsum("kni,ni->kn", stress, normals)).max() < 1e-5 * size
        # The flow goes up the vessel on average, and so drags its wall.
        assert truth["points/velocity"][0, :, 1].real.mean() > 0
        assert stress[0, :, 1].real.mean() > 0
        assert truth["tracks/v"].shape == (1500,)
        # Two percent of the rows.
        assert 10 < truth["tracks/mismatched"][:].sum() < 60


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """A coarse annulus along x in millimetres, with a coarse wall."""
    out = tmp_path_factory.mktemp("ring")
    twin = Twin(
        duct=Annulus(length=6.0),
        axis="x",
        unit="mm",
        womersley=2.0,
        discretisation=COARSE,
        camera=Camera(depths=(0.2, 0.5, 0.8), rows=1500),
        wall=GivenWall(around=24, along=21),
        truth=Truth(points=300, wall_points=200),
    )
    generate(twin, out, "ring")
    return twin, out


def test_an_annulus_along_x_can_be_ingested(ring, tmp_path):
    _, out = ring
    case = ingested(out, tmp_path)
    assert (case.lumen, case.axis) == ("annular", 0)
    assert len(case.tracks.row) > 1400
    settings = yaml.safe_load((out / "experiment.yaml").read_text())
    assert set(settings) == {"name", "ingest", "score"}


def test_the_truth_of_an_annulus_has_both_walls(ring):
    twin, out = ring
    ring_, length = twin.duct, twin.scales.length
    with h5py.File(out / "truth.h5") as truth:
        at = truth["wall/position"][:] / length
        inside = truth["points/position"][:] / length
        normals = truth["wall/normal"][:]
        given, facing = truth["given/position"][:] / length, truth["given/normal"][:]
        stress = truth["given/wall_shear_stress"][:]
    r = np.hypot(*ring_.unbend(at[:, 1], at[:, 0], at[:, 2]))
    inner = np.abs(r - ring_.core) < 1e-9
    np.testing.assert_allclose(r[~inner], 1, atol=1e-9)
    # Walls are met in proportion to their areas, 0.8 to 1.6.
    assert 0.2 < inner.mean() < 0.5
    # Shrunk along their normals both walls come to lie in the lumen.
    within = at - 1e-3 * normals
    assert ring_.contains(within[:, [1, 0, 2]]).all()
    assert ring_.contains(inside[:, [1, 0, 2]]).all()
    # 24 vertices round 1.6: triangles up to 1.6 (1 - cos(pi / 24)) = 0.014 inside the wall.
    assert 0 < np.linalg.norm(given - at, axis=1).max() < 0.03
    assert np.sum(facing * normals, axis=1).min() > 0.9
    assert np.abs(np.einsum("kni,ni->kn", stress, facing)).max() < 1e-5 * np.abs(stress).max()


def test_twin_refuses_an_unknown_preset(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["twin", "--preset", "elephant", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "elephant" in capsys.readouterr().err
