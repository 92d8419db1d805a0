"""The camera of the twin against a flow in closed form, and the files of a coarse twin."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from aiv_rba.cli import main
from aiv_rba.store import read_case
from aiv_rba.twin.generate import SCALES, Twin, generate
from aiv_rba.twin.geometry import Lobe
from aiv_rba.twin.sampling import Interpolant, _place
from aiv_rba.twin.solver import Discretisation
from aiv_rba.twin.tracers import Camera, in_lumen, record

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
    points = _place(lobe, r.ravel(), theta.ravel(), y.ravel())
    # Three values of a mean and a cosine give both.
    mean = (flow(points, 0.0) + flow(points, 0.5)) / 2
    modes = np.stack([mean, flow(points, 0.0) - mean])
    return Interpolant(lobe, modes.reshape(2, *SHAPE, 3).astype(complex), SPAN)


def test_interpolated_flow_is_that_of_the_grid(interpolant):
    inside = in_lumen(Lobe(), np.random.default_rng(0), 4000, 0.0, 12.0)
    for phase in (0.0, 0.3, 0.71):
        np.testing.assert_allclose(interpolant(inside, phase), flow(inside, phase), atol=1e-3)
    outside = inside + np.array([0, 0, 5.0])
    assert not interpolant(outside, 0.0).any()


def recorded(interpolant, **changes):
    """Table and truth of the same tracers, whatever the noise."""
    return record(Lobe(), interpolant, 1.0, Camera(rows=1000, **changes), seed=1)


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
    np.testing.assert_allclose(truth["tracks"][inside], expected[inside], atol=1e-3)
    # Central differences over two frames err to second order in the interval, 1 / 75.7. This flow
    # does not end at the wall, so that tracers near it run out of it and stop.
    error = np.abs(table[["u", "v"]].to_numpy() - truth["tracers"][:, :2])
    assert error[inside].max() < 2e-3


def test_noise_and_mismatches_have_the_shares_asked_for(interpolant, clean):
    spoiled, _ = recorded(interpolant, noise_u=0.3, noise_v=0.1, outliers=0.1)
    for name, share in (("u", 0.3), ("v", 0.1)):
        error = spoiled[name] - clean[0][name]
        # Quartiles do not see the mismatched rows.
        spread = np.subtract(*np.quantile(error, [0.75, 0.25])) / 1.349
        assert spread / np.sqrt(np.mean(clean[0][name] ** 2)) == pytest.approx(share, rel=0.2)
    far = np.abs(spoiled["v"] - clean[0]["v"]) > 0.5
    assert 0.02 < far.mean() < 0.1


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """A mesh that is far too coarse, to see that the files fit together."""
    out = tmp_path_factory.mktemp("twin")
    twin = Twin(
        preset="physiological",
        discretisation=Discretisation(section=2, rings=1, axial=10, order=2, steps=12, cycles=1),
        camera=Camera(rows=1500),
        points=200,
        wall_points=100,
    )
    report = generate(twin, out)
    return twin, out, report


def test_a_coarse_twin_can_be_ingested(coarse, tmp_path):
    twin, out, report = coarse
    assert report["mass_imbalance"] < 1e-6
    assert len(pd.read_csv(out / "tracks.csv")) == 1500
    scales = SCALES[twin.preset]
    section = {
        "tracks": str(out / "tracks.csv"),
        "wall": str(out / "wall.stl"),
        "fluid": {"density": scales.density, "viscosity": scales.viscosity},
        "period": scales.period,
        "length_scale": scales.length,
        "velocity_scale": scales.velocity,
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"ingest": section}))
    files = {"case": "case.h5", "summary": "s.txt", "picture": "p.png", "config": "a.yaml"}
    options = [text for key, f in files.items() for text in (f"--{key}", str(tmp_path / f))]
    assert main(["ingest", *options]) == 0
    case = read_case(tmp_path / "case.h5")
    assert len(case.tracks.row) > 1400
    assert case.scales.reynolds == pytest.approx(3.59e-3, rel=2e-3)


def test_the_truth_of_a_coarse_twin_hangs_together(coarse):
    twin, out, _ = coarse
    lobe, scales = twin.duct, SCALES[twin.preset]
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


def test_twin_refuses_an_unknown_preset(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["twin", "--preset", "elephant", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "elephant" in capsys.readouterr().err
