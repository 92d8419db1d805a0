"""Vessels as they are: in any direction, with branches, bodies, open faces, from images."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista as pv
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkIOImage import vtkNIFTIImageWriter

from aiv_rba.errors import UserError
from aiv_rba.files.case import Opening, WallFunction, read_case
from aiv_rba.files.results import Results
from aiv_rba.geometry import Region
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.settings import Fluid, IngestSettings, TrainSettings, Units, load_stage
from aiv_rba.settings.ingest import Box, Cylinder, WallShape
from aiv_rba.stages.ingest.continuation import continued
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.lumen import Walls, read_walls
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.ingest.vessel import Vessel
from aiv_rba.stages.ingest.wall_function import fit_wall_function
from tests import walls as shapes
from tests.walls import SLANT, implicit

CUBE = WallShape(box=Box(*((-x, x) for x in shapes.BOX.tolist())))


def walls(wall: Any, *inner: Path, **keys: Any) -> Walls:
    """Read walls in metres, bodies and inner walls after the outer one."""
    if inner:
        keys["inner_wall"] = tuple(map(str, inner))
    return read_walls(
        IngestSettings(
            tracks="",
            wall=wall if isinstance(wall, WallShape) else str(wall),
            fluid=Fluid(density=1.0, viscosity=1.0),
            period=1.0,
            units=Units(wall="m"),
            **keys,
        )
    )


def saved(mesh: pv.PolyData, path: Path) -> Path:
    mesh.save(path)
    return path


def ball(folder: Path, radius: float = 0.7, centre: Any = shapes.CENTRE, detail: int = 24) -> Path:
    """The surface of a ball."""
    sphere = pv.Sphere(radius=radius, center=centre, theta_resolution=detail, phi_resolution=detail)
    return saved(sphere, folder / f"ball_{radius}.vtp")


def boundary(enclosure: Enclosure) -> pv.PolyData:
    """Walls and openings as the case has them, which must be closed."""
    vessel = Vessel(enclosure, None)
    mesh = Region(vessel.wall, vessel.openings).boundary
    assert mesh.n_open_edges == 0
    assert mesh.is_manifold
    return mesh


def signed_volume(mesh: pv.PolyData) -> float:
    """By the divergence of x / 3, which needs normals outwards."""
    a, b, c = np.asarray(mesh.points, dtype=float)[mesh.regular_faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def areas(enclosure: Enclosure) -> dict[str, float]:
    return {o.name: float(np.linalg.norm(o.areas, axis=1).sum()) for o in enclosure.openings}


def inside(enclosure: Enclosure, count: int = 4000) -> np.ndarray:
    """Random points of the lumen, two percent of the radius from the wall."""
    low, high = enclosure.outer.points.min(axis=0), enclosure.outer.points.max(axis=0)
    points = np.random.default_rng(0).uniform(low, high, (count, 3))
    return points[enclosure.distance_outside(points) < -0.02 * enclosure.radius]


def slope_through(function: WallFunction, opening: Opening) -> float:
    """Largest slope of phi along the normal of an opening, over its mean slope on the wall."""
    middles = opening.points[opening.triangles].mean(axis=1)
    return float(np.abs(function.gradient(middles) @ opening.normal).max() / function.slope)


def closed(shape: shapes.Shape) -> pv.PolyData:
    """A shape with flat caps, as one closed surface."""
    return Region(shape.wall, shape.openings).boundary


def test_a_slanted_tube_needs_no_rotation(tmp_path: Path) -> None:
    found = walls(shapes.slanted_tube().save(tmp_path / "wall.ply"))
    enclosure = found.enclosure
    assert enclosure.axis is None
    assert found.reason.startswith("general, since")
    exact = 18 * np.sin(np.pi / 18) * shapes.SLANTED_LENGTH
    assert enclosure.volume == pytest.approx(exact, rel=1e-6)
    assert signed_volume(boundary(enclosure)) == pytest.approx(exact, rel=1e-6)
    assert sorted(o.normal @ SLANT for o in enclosure.openings) == pytest.approx([-1, 1])

    function = fit_wall_function(continued(enclosure), enclosure)
    points = inside(enclosure)
    across = points - np.outer(points @ SLANT, SLANT)
    phi = (1 - np.sum(across**2, axis=1)) / 4
    assert np.abs(function(points) - phi).max() < 1e-6
    assert function.unit == pytest.approx(0.25, rel=0.02)
    assert function.slope == pytest.approx(0.5, rel=0.01)


def test_a_tube_that_is_seen_whole_stays_a_tube(tmp_path: Path) -> None:
    pipe = pv.Cylinder(height=5, direction=(0, 0, 1), resolution=40, capping=False)
    wall = saved(pipe.triangulate().subdivide(2), tmp_path / "wall.stl")
    assert walls(wall).enclosure.axis == 2
    assert walls(wall).reason == "tube along z, whose sections are seen whole from their centres"
    assert walls(wall, vessel="general").enclosure.axis is None
    assert areas(walls(wall, vessel="general").enclosure) == {
        "z_min": pytest.approx(np.pi / 4, rel=0.01),
        "z_max": pytest.approx(np.pi / 4, rel=0.01),
    }
    with pytest.raises(UserError, match=r"wall lie along z, expected ingest\.axis: z"):
        walls(wall, axis="x")
    # The facets at the sides of a flat disc are not its ends.
    disc = pv.Cylinder(radius=2, height=1, direction=(0, 0, 1), resolution=64).triangulate()
    assert walls(saved(disc, tmp_path / "disc.stl")).enclosure.axis == 2


def test_a_bifurcation(tmp_path: Path) -> None:
    shape = shapes.bifurcation()
    path = shape.save(tmp_path / "wall.stl")
    enclosure = walls(path).enclosure
    assert areas(enclosure) == {
        "y_min": pytest.approx(np.pi, rel=0.02),
        "opening_1": pytest.approx(0.64 * np.pi, rel=0.02),
        "opening_2": pytest.approx(0.49 * np.pi, rel=0.02),
    }
    assert signed_volume(boundary(enclosure)) == pytest.approx(closed(shape).volume, rel=1e-5)

    function = fit_wall_function(continued(enclosure), enclosure)
    assert function.misfit < 0.01
    assert function(inside(enclosure)).min() > 0
    # Far up the parent it is the parabola of a tube.
    radius = np.linspace(0, 0.9, 5)
    parent = np.stack([radius, np.full(5, -3.5), 0 * radius], axis=1)
    np.testing.assert_allclose(function(parent), (1 - radius**2) / 4, atol=0.01)
    for opening in enclosure.openings:
        assert slope_through(function, opening) < 0.1


def test_flat_ends_of_branches_are_openings_unless_the_user_closes_them(tmp_path: Path) -> None:
    shape = shapes.bifurcation()
    wall = saved(closed(shape), tmp_path / "wall.stl")
    plain = walls(shape.save(tmp_path / "open.stl")).enclosure
    found = walls(wall)
    assert areas(found.enclosure) == pytest.approx(areas(plain), rel=1e-5)
    assert found.enclosure.volume == pytest.approx(plain.volume, rel=1e-5)
    for file in (wall, tmp_path / "open.stl"):
        dead_end = walls(file, boundaries={"opening_2": "wall"})
        assert areas(dead_end.enclosure).keys() == {"y_min", "opening_1"}
        assert [face.name for face in dead_end.faces if not face.open] == ["opening_2"]
        assert signed_volume(boundary(dead_end.enclosure)) == pytest.approx(plain.volume, rel=1e-5)
    with pytest.raises(UserError, match=r"inlet: found no such face .* y_min, opening_1"):
        walls(wall, boundaries={"inlet": "open"})


def test_the_sides_of_a_closed_duct_are_no_openings(tmp_path: Path) -> None:
    duct = pv.Box((-1, 1, -0.5, 0.5, -6, 6)).triangulate().subdivide(3)
    turned = duct.rotate_x(30).rotate_y(20)
    wall = saved(turned, tmp_path / "wall.ply")
    found = walls(wall)
    assert found.enclosure.axis is None
    assert sorted(areas(found.enclosure).values()) == pytest.approx([2, 2], rel=1e-5)
    assert sum(not face.open for face in found.faces) == 4
    assert found.enclosure.volume == pytest.approx(24, rel=1e-5)
    cube = pv.Cube().triangulate().subdivide(3).rotate_x(30).rotate_y(20)
    with pytest.raises(UserError, match=r"the wall is closed, .* or one of face_1, face_2"):
        walls(saved(cube, tmp_path / "cube.ply"))


def test_openings_on_one_side_have_numbers(tmp_path: Path) -> None:
    """A bend by 180 degrees: both ends look the same way."""

    def bend(x: np.ndarray) -> np.ndarray:
        from_ring = np.hypot(np.hypot(x[:, 0], np.maximum(x[:, 1], 0)) - 2, x[:, 2])
        return from_ring - 0.7

    mesh = implicit(bend, (-3.5, 3.5, -3.0, 3.5, -1.5, 1.5), 0.15).clip("-y", origin=(0, -2.5, 0))
    wall = saved(mesh.triangulate().clean(), tmp_path / "wall.stl")
    enclosure = walls(wall).enclosure
    assert enclosure.axis is None
    assert areas(enclosure).keys() == {"opening_1", "opening_2"}
    exact = np.pi * 0.49 * (2 * np.pi + 2 * 2.5)
    assert signed_volume(boundary(enclosure)) == pytest.approx(exact, rel=0.02)
    function = fit_wall_function(continued(enclosure), enclosure)
    assert function.misfit < 0.01
    assert function(inside(enclosure)).min() > 0


def test_an_aneurysm_is_not_seen_whole(tmp_path: Path) -> None:
    def sac(x: np.ndarray) -> np.ndarray:
        tube = np.hypot(x[:, 0], x[:, 2]) - 0.7
        return np.minimum(tube, np.linalg.norm(x - [1.3, 0, 0], axis=1) - 1.0)

    mesh = implicit(sac, (-1.5, 3, -3, 3, -1.5, 1.5), 0.15)
    found = walls(saved(mesh, tmp_path / "wall.stl"))
    assert found.enclosure.axis is None
    assert "of its wall cannot be seen from the centres of sections across y" in found.reason
    assert areas(found.enclosure).keys() == {"y_min", "y_max"}
    boundary(found.enclosure)


def test_inner_walls_and_bodies_leave_rings_open(tmp_path: Path) -> None:
    """Round tubes of regular polygons, whose areas are known."""

    def pipe(radius: float, x: float, count: int = 24) -> pv.PolyData:
        options = {"height": 6.0, "direction": (0, 0, 1), "resolution": count, "capping": False}
        return pv.Cylinder(center=(x, 0, 0), radius=radius, **options).triangulate().subdivide(2)

    section = 12 * np.sin(np.pi / 12)
    outer = saved(pipe(1.0, 0.0), tmp_path / "outer.ply")
    inner = [saved(pipe(0.25, x), tmp_path / f"inner_{x}.ply") for x in (-0.5, 0.4)]
    found = walls(outer, *inner)
    assert found.reason == "general, since it has 2 inner walls"
    ring = section * (1 - 2 * 0.25**2)
    assert areas(found.enclosure) == {"z_min": pytest.approx(ring), "z_max": pytest.approx(ring)}
    assert found.enclosure.volume == pytest.approx(6 * ring)
    assert signed_volume(boundary(found.enclosure)) == pytest.approx(6 * ring)
    assert np.unique(Vessel(found.enclosure, None).wall.patch).tolist() == [0, 1, 2]

    # One inner wall beside the centre, where the outer one is seen through it.
    beside = walls(outer, inner[0])
    assert beside.enclosure.axis is None
    assert walls(outer, saved(pipe(0.25, 0.1), tmp_path / "core.ply")).enclosure.axis == 2

    function = fit_wall_function(continued(found.enclosure), found.enclosure)
    assert function.misfit < 0.02
    assert function(inside(found.enclosure)).min() > 0

    body = ball(tmp_path, 0.3, (0.5, 0, 0))
    with_body = walls(outer, inner[0], body)
    assert len(with_body.enclosure.inner) == 2
    boundary(with_body.enclosure)
    assert walls(outer, body).reason == "general, since there is a body in it"
    # Closed by flat ends, which lie on the openings.
    capped = saved(pv.read(inner[0]).fill_holes(1.0).triangulate(), tmp_path / "capped.ply")
    assert areas(walls(outer, capped, body).enclosure) == pytest.approx(areas(with_body.enclosure))
    # Bodies and inner walls may stand in the file of the outer wall.
    whole = pv.read(outer).merge(pv.read(inner[0])).merge(pv.read(body))
    together = walls(saved(whole.extract_surface(algorithm=None), tmp_path / "whole.ply"))
    assert together.enclosure.volume == pytest.approx(with_body.enclosure.volume)


def test_a_body_must_lie_in_the_wall_and_end_where_it_is_open(tmp_path: Path) -> None:
    outer = shapes.bifurcation().save(tmp_path / "wall.stl")
    with pytest.raises(UserError, match="of the inner wall lie outside the outer wall"):
        walls(outer, ball(tmp_path, 0.5, (1.0, -2.0, 0.0)))
    torn = pv.read(ball(tmp_path, 0.5, (0.0, -2.0, 0.0))).clip("z", origin=(0, -2, 0.2))
    with pytest.raises(UserError, match=r"has an opening of \d+ edges where the outer wall"):
        walls(outer, saved(torn.extract_surface(algorithm=None), tmp_path / "torn.ply"))


def test_phi_between_two_spheres_is_exact(tmp_path: Path) -> None:
    """-lap phi = 1 in a shell: phi = a + b / r - r^2 / 6; a region without any opening."""
    outer, inner = (ball(tmp_path, radius, (0.2, 0, 0), 60) for radius in (2.0, 0.5))
    enclosure = walls(outer, inner, vessel="general").enclosure
    assert enclosure.openings == ()
    assert signed_volume(boundary(enclosure)) == pytest.approx(enclosure.volume, rel=1e-6)
    function = fit_wall_function(continued(enclosure), enclosure)
    points = inside(enclosure)
    r = np.linalg.norm(points - [0.2, 0, 0], axis=1)
    b = (0.5**2 - 2.0**2) / 6 / (1 / 0.5 - 1 / 2.0)
    phi = (2.0**2 - r**2) / 6 + b * (1 / r - 1 / 2.0)
    assert np.abs(function(points) - phi).max() < 1e-4 * phi.max()
    with pytest.raises(UserError, match="the wall is closed, expected an opening or a flat"):
        walls(outer)


def test_a_body_in_a_box_of_open_faces(tmp_path: Path) -> None:
    """Phi is what its values on the ball and its slopes through the faces make it."""
    enclosure = walls(CUBE, ball(tmp_path)).enclosure
    sides = {"x": 16, "y": 24, "z": 24}
    assert areas(enclosure) == pytest.approx(
        {f"{axis}_{side}": area for axis, area in sides.items() for side in ("min", "max")}
    )
    sphere = pv.read(tmp_path / "ball_0.7.vtp")
    assert signed_volume(boundary(enclosure)) == pytest.approx(96 - sphere.volume, rel=1e-6)
    assert np.unique(Vessel(enclosure, None).wall.patch).tolist() == [1]
    assert enclosure.radius == 2

    assert continued(enclosure) is enclosure
    function = fit_wall_function(enclosure, enclosure)
    directions = np.random.default_rng(0).normal(size=(500, 3))
    on_ball = shapes.CENTRE + 0.7 * directions / np.linalg.norm(directions, axis=1)[:, None]
    assert np.abs(function(on_ball)).max() < 1e-3 * function.unit
    for opening in enclosure.openings:
        assert slope_through(function, opening) < 2e-3
    assert function(inside(enclosure)).min() > 0


def test_faces_of_boxes_and_cylinders_are_open_or_walls(tmp_path: Path) -> None:
    duct = walls(
        CUBE, boundaries={f"{axis}_{side}": "wall" for axis in "yz" for side in ("min", "max")}
    )
    assert duct.reason == "tube along x, whose sections are seen whole from their centres"
    assert duct.enclosure.area == pytest.approx(96)
    floor = walls(CUBE, ball(tmp_path), boundaries={"z_min": "wall"})
    assert len(areas(floor.enclosure)) == 5
    assert boundary(floor.enclosure).volume == pytest.approx(floor.enclosure.volume, rel=1e-6)
    with pytest.raises(UserError, match="the box: all its faces are open, expected a wall among"):
        walls(CUBE)

    keys = {"axis": "y", "radius": 2.0, "from": -1.0, "to": 3.0, "centre": (1.0, 5.0)}
    cylinder = WallShape(cylinder=Cylinder(**keys))
    pipe = walls(cylinder).enclosure
    assert pipe.axis == 1
    np.testing.assert_allclose(pipe.outer.points.mean(axis=0), [1, 1, 5], atol=1e-9)
    assert pipe.radius == pytest.approx(2, rel=0.01)
    ends = {"y_min": "wall", "y_max": "wall", "side": "open"}
    disc = walls(cylinder, boundaries=ends).enclosure
    assert areas(disc) == {"side": pytest.approx(4 * np.pi * 4, rel=0.01)}
    assert not disc.openings[0].normal.any()
    assert signed_volume(boundary(disc)) == pytest.approx(16 * np.pi, rel=0.01)
    # Between two discs phi is that between two plates.
    function = fit_wall_function(continued(disc), disc)
    y = np.linspace(-1, 3, 9)
    found = function(np.stack([np.full(9, 1.3), y, np.full(9, 5.2)], axis=1))
    np.testing.assert_allclose(found, (y + 1) * (3 - y) / 2, atol=1e-3)


def label_image(spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of voxels in the slanted tube between z = -1 and 1, and the first voxel's place."""
    low, high = np.array([-2.5, -2.5, -1.0]), np.array([2.5, 2.5, 1.0])
    ticks = [np.arange(low[i], high[i] + spacing / 2, spacing) for i in range(3)]
    x = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)
    across = np.linalg.norm(x - (x @ SLANT)[..., None] * SLANT, axis=-1)
    return 3 * (across < 0.8).astype(np.uint8), low


def write_nifti(path: Path, labels: np.ndarray, spacing: float, origin: np.ndarray) -> None:
    grid = pv.ImageData(dimensions=labels.shape, spacing=(spacing,) * 3)
    grid["label"] = labels.ravel(order="F")
    place = vtkMatrix4x4()
    for i in range(3):
        place.SetElement(i, 3, origin[i])
    writer = vtkNIFTIImageWriter()
    writer.SetInputData(grid)
    writer.SetFileName(str(path))
    writer.SetSFormMatrix(place)
    writer.Write()


def write_nrrd(path: Path, labels: np.ndarray, spacing: float, origin: np.ndarray) -> None:
    """With the axes of the voxels in the order y, z, x."""
    turned = labels.transpose(1, 2, 0)
    header = [
        "NRRD0004",
        "type: uint8",
        "dimension: 3",
        "space: right-anterior-superior",
        f"sizes: {' '.join(map(str, turned.shape))}",
        f"space directions: (0,{spacing},0) (0,0,{spacing}) ({spacing},0,0)",
        "encoding: gzip",
        f"space origin: ({','.join(map(str, origin))})",
    ]
    text = "\n".join(header) + "\n\n"
    path.write_bytes(text.encode() + gzip.compress(turned.tobytes(order="F")))


@pytest.mark.parametrize("extension", ["nii", "nii.gz", "nrrd"])
def test_a_label_image_is_open_where_its_border_cuts_the_vessel(
    extension: str, tmp_path: Path
) -> None:
    spacing = 0.1
    labels, origin = label_image(spacing)
    # A speck that is not connected is left out.
    labels[1:3, -3:-1, 1:3] = 1
    path = tmp_path / f"wall.{extension}"
    write = write_nrrd if extension == "nrrd" else write_nifti
    write(path, labels, spacing, origin)
    enclosure = walls(path).enclosure
    assert enclosure.outer.resolution == pytest.approx(spacing)
    mesh = boundary(enclosure)
    wall = enclosure.outer.points
    clear = np.abs(wall[:, 2]) < 1 - spacing
    away = np.linalg.norm(wall - np.outer(wall @ SLANT, SLANT), axis=1) - 0.8
    assert np.sqrt(np.mean(away[clear] ** 2)) < 0.15 * spacing
    # The section across z is an ellipse.
    assert areas(enclosure) == pytest.approx(
        {"z_min": np.pi * 0.64 * 1.5, "z_max": np.pi * 0.64 * 1.5}, rel=0.03
    )
    assert signed_volume(mesh) == pytest.approx(2 * np.pi * 0.64 * 1.5, rel=0.02)


def test_the_case_of_a_bifurcation(tmp_path: Path) -> None:
    shape = shapes.bifurcation()
    wall = str(shape.save(tmp_path / "wall.stl"))
    experiment = shapes.write_vessel_experiment(tmp_path, wall, shape)
    results = Results(tmp_path)
    ingest(load_stage(experiment, "ingest"), results)
    case = read_case(results.case)
    assert case.lumen == "general"
    assert case.axis == 1
    # The tracers of the file move twice as fast along y and z as along x.
    assert case.main_component in "vw"
    assert [opening.name for opening in case.openings] == ["y_min", "opening_1", "opening_2"]
    assert Region(case.wall, case.openings).boundary.n_open_edges == 0
    assert case.chosen["vessel"].startswith("general, since it does not have just two openings")
    assert case.chosen["velocity scale"].endswith("rms of u, v, w on the tracks")
    summary = results.ingestion.read_text()
    assert re.search(
        r"opening_2 +1.5\d+ mm\^2 round \(2.4.*\) mm, outwards is \(0.60, 0.64", summary
    )
    # No direction is slow, and no component is small for being across.
    resolved = resolve(TrainSettings(), case)
    assert len(set(resolved.global_weights.momentum)) == 1
