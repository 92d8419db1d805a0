"""The CFD solver against exact flows in a tube; geometry, tracers and bundled files of the twin."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.special import jv

from aiv_rba.twin.geometry import Lobe, Tube, disc_to_square
from aiv_rba.twin.sampling import flow_at, wall_shear_stress, wall_surface
from aiv_rba.twin.solver import Discretisation, solve

DATA = "data/perivascular"


def womersley_error(rings):
    """Relative errors of the first harmonic in a tube, Re = 4: velocity, wall shear, pressure."""
    reynolds = 4.0
    omega = 2 * np.pi
    s = np.sqrt(-1j * omega * reynolds)
    gradient = 10.0
    rate = np.pi * gradient / (1j * omega) * (1 - 2 * jv(1, s) / (s * jv(0, s)))
    discretisation = Discretisation(
        section=rings, rings=rings, axial=1, order=2, steps=40, cycles=4, modes=1
    )
    solution = solve(
        Tube(length=1.0),
        lambda t: float(np.real(rate * np.exp(1j * omega * t))),
        reynolds=reynolds,
        period=1.0,
        span=(0.0, 1.0),
        discretisation=discretisation,
        progress=lambda line: None,
    )
    r = np.linspace(0.05, 0.95, 30)
    points = np.stack([r * np.cos(0.7), np.full(30, 0.5), r * np.sin(0.7)], axis=1)
    velocity, _, _ = flow_at(Tube(), solution, points)
    exact = gradient / (1j * omega) * (1 - jv(0, s * r) / jv(0, s))
    error = np.linalg.norm(velocity[1, :, 1] - exact) / np.linalg.norm(exact)

    ends = np.array([[0.3, 0.1, 0.2], [0.3, 0.9, 0.2]])
    pressure = flow_at(Tube(), solution, ends)[1][1]
    drop_error = abs((pressure[0] - pressure[1]) / (0.8 * gradient) - 1)

    wall = np.array([[np.cos(a), 0.5, np.sin(a)] for a in np.linspace(0.1, 6, 40)])
    normals = wall * [1, 0, 1]
    _, _, velocity_gradient = flow_at(Tube(), solution, wall)
    stress = wall_shear_stress(velocity_gradient, normals)[1, :, 1]
    exact_stress = -gradient / (1j * omega) * s * jv(1, s) / jv(0, s)
    return error, np.abs(stress / exact_stress - 1).mean(), drop_error, solution.report


def test_tube_converges_to_womersley_flow():
    """Quadratic elements: velocity to third order, shear and pressure to second, or better."""
    coarse, fine = womersley_error(1), womersley_error(2)
    assert fine[0] < 0.01
    assert fine[1] < 0.1
    assert np.log2(coarse[0] / fine[0]) > 2.5
    assert np.log2(coarse[1] / fine[1]) > 1.5
    assert fine[2] < 0.01
    assert np.log2(coarse[2] / fine[2]) > 1.5
    assert fine[3]["mass_imbalance"] < 1e-6


def test_lobe_unbends():
    lobe = Lobe()
    rng = np.random.default_rng(0)
    r, theta, y = np.sqrt(rng.random(500)), 2 * np.pi * rng.random(500), 12 * rng.random(500)
    a, b = r * np.cos(theta), r * np.sin(theta)
    x, z = lobe.bend(a, b, y)
    back = lobe.unbend(x, y, z)
    np.testing.assert_allclose(back, (a, b), atol=1e-12)
    xi, zeta = disc_to_square(r, theta)
    assert np.abs([xi, zeta]).max() <= 1


def cross(a, b):
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def test_sections_of_the_lobe_can_be_seen_whole_from_their_centroid():
    lobe, theta = Lobe(), np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    for y in np.linspace(0, lobe.length, 61):
        rim = np.stack(lobe.bend(np.cos(theta), np.sin(theta), np.full_like(theta, y)), axis=1)
        following = np.roll(rim, -1, axis=0)
        triangles = cross(rim, following)
        centroid = ((rim + following) * triangles[:, None]).sum(0) / (3 * triangles.sum())
        turning = cross(rim - centroid, following - rim) * np.sign(triangles.sum())
        assert turning.min() > 0


def test_wall_normals_point_out_of_the_lumen():
    points, normals, triangles = wall_surface(Lobe(), 24, 31, (0.0, 12.0))
    a, b = Lobe().unbend(*(points + 1e-3 * normals).T)
    assert (np.hypot(a, b) > 1).all()
    corners = points[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.sum(faces * normals[triangles[:, 0]], axis=1) > 0).all()


def test_bundled_tracks_have_the_noise_that_the_readme_states():
    tracks = pd.read_csv(f"{DATA}/tracks.csv")
    assert list(tracks) == ["t", "x", "y", "z_plane", "u", "v", "track", "frame"]
    assert len(tracks) == 23_400
    assert tracks.t.between(0, 0.303, inclusive="left").all()
    assert tracks.z_plane.nunique() == 3
    with h5py.File(f"{DATA}/truth.h5") as truth:
        for name, share in (("u", 0.15), ("v", 0.12)):
            true = truth[f"tracers/{name}"][:] * 1e6
            error = tracks[name] - true
            # The interquartile range does not see the two percent of mismatched rows.
            spread = np.subtract(*np.quantile(error, [0.75, 0.25])) / 1.349
            assert spread / np.sqrt(np.mean(true**2)) == pytest.approx(share, rel=0.08)
        flow_rate = truth["flow_rate"][:]
    phase = 2j * np.pi * np.arange(len(flow_rate)) * 0.33
    assert np.sum(np.exp(phase) * flow_rate).real < 0
