"""The bifurcation: its wall, its mesh, and its flow against Poiseuille's in every branch."""

import numpy as np
import pandas as pd
import pytest
import pyvista as pv
import yaml

from aiv_rba.twin.bifurcation import generate_bifurcation, solve_bifurcation
from aiv_rba.twin.branches import Branches, Daughter
from tests.twins import bifurcation

BRANCHES = Branches(right=Daughter(angle=45.0, radius=0.7))


def test_branches_are_round_beyond_the_junction():
    angle = np.linspace(0, 2 * np.pi, 20)
    for direction, radius in zip(BRANCHES.directions, BRANCHES.radii, strict=True):
        across = np.cross([0, 0, 1], direction)
        radial = np.outer(np.cos(angle), across) + np.outer(np.sin(angle), [0, 0, 1])
        found, normals = BRANCHES.onto_wall(4.5 * direction + 0.9 * radius * radial)
        np.testing.assert_allclose(found, 4.5 * direction + radius * radial, atol=1e-4)
        np.testing.assert_allclose(normals, radial, atol=1e-3)


def test_slope_of_the_level_is_its_gradient():
    points = BRANCHES.uniform(np.random.default_rng(0), 50, 3.0)
    _, slope = BRANCHES.level(*points.T)
    for i, step in enumerate(1e-5 * np.eye(3)):
        ahead, behind = (BRANCHES.level(*(points + s).T)[0] for s in (step, -step))
        np.testing.assert_allclose(slope[i], (ahead - behind) / 2e-5, atol=1e-6)


def test_given_wall_has_three_open_ends_and_the_volume_of_the_lumen():
    surface = BRANCHES.surface(0.15)
    rims = surface.mesh.extract_feature_edges(
        boundary_edges=True, feature_edges=False, non_manifold_edges=True, manifold_edges=False
    )
    assert len(np.unique(rims.connectivity()["RegionId"])) == 3
    assert (np.sum(surface.faces * surface.normals[surface.triangles[:, 0]], axis=1) > 0).all()
    # The ends lie across their branches, at the measured length, so that their part of the
    # integral of position times normal is length times area.
    centres = surface.points[surface.triangles].mean(axis=1)
    ends = BRANCHES.length * np.pi * np.sum(BRANCHES.radii**2)
    volume = (np.sum(centres * surface.faces) + ends) / 3
    corner = np.array([5.0, 5.0, 1.2])
    points = np.random.default_rng(0).uniform(-corner, corner, size=(400_000, 3))
    inside = BRANCHES.level(*points.T)[0] < 0
    inside &= (points @ BRANCHES.directions.T < BRANCHES.length).all(axis=1)
    assert volume == pytest.approx(inside.mean() * 8 * np.prod(corner), rel=0.01)


@pytest.fixture(scope="module")
def steady():
    twin = bifurcation(steady=True)
    return twin, solve_bifurcation(twin)


def test_points_are_found_where_the_mesh_bends_them_to(steady):
    twin, flow = steady
    points = twin.branches.uniform(np.random.default_rng(0), 500, twin.branches.length)
    straight = flow.mesh.look_up(points)
    found = np.isfinite(straight).all(axis=1)
    # Not in the layer between straight sides and the wall, of which there is much in this mesh.
    assert found.mean() > 0.9
    assert -twin.branches.level(*points[~found].T)[0].min() < 0.12
    np.testing.assert_allclose(flow.mesh.places(straight[found]), points[found], atol=1e-3)


def test_flow_is_shared_by_equal_daughters_and_none_is_lost(steady):
    _, flow = steady
    parent, left, right = flow.outflows()[:, 0].real
    assert parent == pytest.approx(-np.pi, rel=1e-2)
    assert left + right == pytest.approx(np.pi, rel=1e-2)
    assert left == pytest.approx(right, rel=1e-2)


def test_branches_have_the_flow_of_poiseuille(steady):
    """Far from the junction: mean velocities 1 and 0.5 / 0.64, and a gradient of 8 v / (Re R^2)."""
    twin, flow = steady
    angle = np.linspace(0.1, 6, 12)
    for direction, radius in zip(twin.branches.directions, twin.branches.radii, strict=True):
        outwards = 1 if direction[0] > 0 else -1
        mean = outwards * (1 if radius == 1 else 0.5 / radius**2)
        across = np.outer(np.cos(angle), np.cross([0, 0, 1], direction))
        across[:, 2] = np.sin(angle)
        for share in (0.0, 0.5, 0.8):
            points = 4.5 * direction + share * radius * across
            velocity = flow.velocity(points, 0.0) @ direction
            exact = 2 * mean * (1 - share**2)
            np.testing.assert_allclose(velocity, exact, atol=0.04 * abs(mean))
        two = np.outer([3.5, 7.5], direction)
        _, pressure, _ = flow.solution.evaluate(flow.mesh.look_up(two))
        drop = pressure[0, 0].real - pressure[0, 1].real
        assert drop == pytest.approx(8 * mean * 4.0 / (twin.reynolds * radius**2), rel=0.06)


def test_the_files_of_a_bifurcation_hang_together(tmp_path):
    twin = bifurcation(rows=800)
    report = generate_bifurcation(twin, tmp_path, "y")
    assert report["share_left"] + report["share_right"] == pytest.approx(1, abs=0.01)
    tracks = pd.read_csv(tmp_path / "tracks.csv")
    assert list(tracks) == ["t", "x", "y", "z_plane", "u", "v", "track", "frame"]
    assert len(tracks) == 800
    assert tracks.t.between(0, twin.scales.period, inclusive="left").all()
    assert set(tracks.z_plane) == {-0.2, 0.0, 0.2}
    ingest = yaml.safe_load((tmp_path / "experiment.yaml").read_text())["ingest"]
    assert ingest["period"] == pytest.approx(twin.scales.period)
    wall = pv.read(tmp_path / "wall.stl")
    with np.load(tmp_path / "truth.npz") as truth:
        table = {name: truth[name] for name in truth}
    on_wall = np.isfinite(table["wss_x"])
    assert on_wall.sum() == 3 * 100
    assert (np.isfinite(table["u"]) != on_wall).all()
    places = 1e3 * np.stack([table[name] for name in "xyz"], axis=1)[on_wall]
    _, nearest = wall.find_closest_cell(places, return_closest_point=True)
    # Half a radius of a millimetre, and triangles of a quarter of it.
    assert np.linalg.norm(nearest - places, axis=1).max() < 0.02
