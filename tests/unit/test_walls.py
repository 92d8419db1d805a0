"""Walls: reading, repair, ends, lumen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvista as pv
from matplotlib.path import Path as Polygon

from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.tubes import tube_along
from aiv_rba.stages.ingest.walls import Surface, read_surfaces
from tests.synthetic import Tube

AROUND = 24


def saved(mesh: pv.PolyData, path: Path) -> Path:
    mesh.save(path, recompute_normals=False)  # that would wind the triangles alike
    return path


def read(
    mesh: pv.PolyData,
    folder: Path,
    axis: int = 1,
    extension: str = "stl",
    *,
    inner: bool = False,
) -> Surface:
    """Write a mesh to a file and read it as a tube."""
    (surface,) = read_surfaces(saved(mesh, folder / f"wall.{extension}"), "m", inner=inner)
    tube = tube_along(surface, axis)
    assert tube is not None
    return tube


def outward(wall: Surface, tube: Tube) -> np.ndarray:
    """Cosine between the vertex normals and the direction away from the axis."""
    away = wall.points - np.array(tube.centre)
    away[:, tube.along] = 0
    return np.einsum("ij,ij->i", wall.normals, away / np.linalg.norm(away, axis=1)[:, None])


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("extension", ["stl", "ply", "obj", "vtp", "vtk"])
def test_a_tube_of_every_kind(axis: str, extension: str, tmp_path: Path) -> None:
    tube = Tube(axis=axis)
    wall = read(tube.wall(), tmp_path, tube.along, extension)
    assert wall.points.shape == (480, 3)
    assert wall.triangles.shape == (912, 3)
    assert wall.notes == ()
    assert outward(wall, tube).min() > 0.99
    inlet, outlet = (wall.points[loop, tube.along] for loop in wall.loops)
    np.testing.assert_allclose(inlet, tube.centre[tube.along], atol=1e-9)
    np.testing.assert_allclose(outlet, tube.centre[tube.along] + tube.length, atol=1e-9)
    # VTK's tolerances suit lengths of order one.
    wall = replace(wall, points=wall.points * 1e3)
    tube = replace(tube, radius=tube.radius * 1e3, length=tube.length * 1e3)
    enclosure = Enclosure(wall, axis=tube.along)
    section = AROUND / 2 * np.sin(2 * np.pi / AROUND) * tube.radius**2
    perimeter = 2 * AROUND * np.sin(np.pi / AROUND) * tube.radius
    assert enclosure.volume == pytest.approx(section * tube.length, rel=1e-5)
    assert enclosure.area == pytest.approx(perimeter * tube.length, rel=1e-5)
    assert enclosure.radius == pytest.approx(tube.radius * np.cos(np.pi / AROUND), rel=1e-5)


def test_inverted_normals_are_turned(tmp_path: Path) -> None:
    tube = Tube()
    wall = read(tube.wall().flip_faces(), tmp_path)
    assert outward(wall, tube).min() > 0.99
    assert wall.notes == ("normals pointed into the lumen; turned outwards",)


def test_mixed_normals_are_made_consistent(tmp_path: Path) -> None:
    tube = Tube()
    faces = tube.wall().regular_faces.copy()
    chosen = np.random.default_rng(0).choice(len(faces), 100, replace=False)
    faces[chosen] = faces[chosen, ::-1]
    wall = read(pv.PolyData.from_regular_faces(tube.wall().points, faces), tmp_path)
    assert outward(wall, tube).min() > 0.99
    assert wall.notes == ("100 of 912 triangles were wound against the others; turned",)


def test_collapsed_triangles_are_dropped(tmp_path: Path) -> None:
    mesh = Tube().wall()
    faces = np.vstack([mesh.regular_faces, [[7, 7, 8], [3, 3, 3]]])
    mesh = pv.PolyData.from_regular_faces(mesh.points, faces)
    wall = read(mesh, tmp_path, extension="vtp")
    assert wall.triangles.shape == (912, 3)
    assert wall.notes == ("2 degenerate triangles dropped",)


@pytest.mark.parametrize("axis", ["x", "z"])
def test_flat_ends_are_taken_away(axis: str, tmp_path: Path) -> None:
    tube = Tube(axis=axis)
    closed = tube.wall().fill_holes(1.0).triangulate()
    assert closed.n_open_edges == 0
    wall = read(closed, tmp_path, tube.along)
    plain = read(tube.wall(), tmp_path, tube.along)
    assert wall.triangles.shape == plain.triangles.shape
    volumes = [Enclosure(w, axis=tube.along).volume for w in (wall, plain)]
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-6)
    assert wall.notes[-1] == "44 triangles closed the ends; taken away as inlet and outlet"


def test_normals_point_out_of_an_annular_lumen(tmp_path: Path) -> None:
    tube = Tube(inner=0.4)
    outer = read(tube.wall(), tmp_path)
    for mesh in (tube.wall(0.4), tube.wall(0.4).flip_faces()):
        inner = read(mesh, tmp_path, inner=True)
        assert outward(inner, tube).max() < -0.99
        enclosure = Enclosure(outer, (inner,), axis=1)
        whole = Enclosure(outer, axis=1).volume
        assert enclosure.volume == pytest.approx(whole * (1 - 0.4**2), rel=1e-5)
        radial = np.array([0.2, 0.3, 0.45, 0.7, 0.95, 1.1])
        points = np.tile(tube.centre, (6, 1))
        points[:, 0] += radial * tube.radius
        points[:, 1] += tube.length / 2
        gap = np.maximum(0.4 - radial, radial - 1) * tube.radius
        found = enclosure.distance_outside(points)
        np.testing.assert_allclose(found, gap, atol=0.01 * tube.radius)


def test_no_end_is_near_to_a_point_inside_the_inner_wall(tmp_path: Path) -> None:
    """Close to an end such a point is as far outside the lumen as the inner wall is away."""
    tube = Tube(inner=0.4)
    walls = read(tube.wall(), tmp_path), read(tube.wall(0.4), tmp_path, inner=True)
    # VTK's tolerances suit lengths of order one.
    outer, inner = (wall.scaled(np.array(tube.centre), tube.radius) for wall in walls)
    length = tube.length / tube.radius
    depth = np.array([-0.005, 0.0, 0.005, 0.3])
    points = np.array([[0.15, y, 0.0] for y in (*depth, *(length - depth))])
    to_wall = 0.4 * np.cos(np.pi / AROUND) - 0.15
    outside = np.tile(np.hypot(to_wall, np.minimum(depth, 0)), 2)
    found = Enclosure(outer, (inner,), axis=1).distance_outside(points)
    np.testing.assert_allclose(found, outside, atol=0.01)


def test_what_lies_inside_a_bent_kidney_shaped_lumen(tmp_path: Path) -> None:
    """A lobe bent round an artery, checked against the point-in-polygon test of its sections."""
    around, stations = 48, 30
    theta = np.linspace(0, 2 * np.pi, around, endpoint=False)
    angle = 1.9 * np.cos(theta)
    radius = 1 + 0.35 * np.sin(theta)
    section = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    s = np.linspace(0, 6, stations)
    points = np.empty((stations, around, 3))
    points[..., 0] = section[:, 0] + 0.3 * s[:, None]
    points[..., 1] = s[:, None]
    points[..., 2] = section[:, 1]
    number = np.arange(stations * around).reshape(stations, around)
    a, b = number[:-1], np.roll(number[:-1], -1, axis=1)
    c, d = number[1:], np.roll(number[1:], -1, axis=1)
    faces = np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)
    wall = read(pv.PolyData.from_regular_faces(points.reshape(-1, 3), faces), tmp_path)

    random = np.random.default_rng(1).uniform([-2, -0.5, -2], [4, 6.5, 2], (20000, 3))
    sheared = np.stack([random[:, 0] - 0.3 * random[:, 1], random[:, 2]], axis=1)
    inside = Polygon(section).contains_points(sheared) & (abs(random[:, 1] - 3) < 3)
    distance = Enclosure(wall, axis=1).distance_outside(random)
    assert 0.05 < inside.mean() < 0.5
    # Points on the very wall may fall on either side.
    clear = np.abs(distance) > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal((distance < 0)[clear], inside[clear])
