"""Walls of several kinds for tests: with branches, in any direction, round bodies, in units of 1.

Each function returns a `Shape`: its `wall` and `openings` as they stand in a case, and `save`
writes the wall as a file for the ingestion.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyvista as pv
import yaml

from aiv_rba.files.case import Opening, Wall
from aiv_rba.geometry import Region

SLANT = np.array([1.0, 2.0, 2.0]) / 3
SLANTED_RADIUS, SLANTED_LENGTH = 1.0, 6.0
# Direction, radius and length of the three branches of the bifurcation; the first is the parent.
BRANCHES = (
    (np.array([0.0, -1.0, 0.0]), 1.0, 4.0),
    (np.array([-0.6, 0.8, 0.0]), 0.8, 4.0),
    (np.array([0.6, 0.64, 0.48]), 0.7, 4.0),
)
# Half edges of the box, and centre and radius of the sphere in it.
BOX, CENTRE, SPHERE = np.array([3.0, 2.0, 2.0]), np.array([-0.5, 0.2, 0.0]), 0.7


@dataclass(frozen=True)
class Shape:
    """A wall and the openings that close it."""

    wall: Wall
    openings: tuple[Opening, ...]

    @property
    def mesh(self) -> pv.PolyData:
        """The wall alone."""
        return pv.PolyData.from_regular_faces(self.wall.points, self.wall.triangles)

    def save(self, path: Path) -> Path:
        """Write the wall alone, in any format of pyvista."""
        self.mesh.save(path)
        return path


def slanted_tube(around: int = 36, stations: int = 31) -> Shape:
    """A round tube along `SLANT` about the origin, open at both ends."""
    return _opened(
        tube(around, stations),
        {"start": -SLANT * SLANTED_LENGTH / 2, "end": SLANT * SLANTED_LENGTH / 2},
    )


def bifurcation(spacing: float = 0.2) -> Shape:
    """Three round branches that meet at the origin, open at their ends, named after them."""
    mesh = implicit(
        lambda x: _smooth_minimum(
            [_segment(x, np.zeros(3), 1.5 * h * d) - r for d, r, h in BRANCHES], 0.3
        ),
        # Shifted, so that no end goes just through a vertex.
        (-5.03, 5.0, -6.53, 6.5, -2.53, 4.5),
        spacing,
    )
    for direction, _, length in BRANCHES:
        mesh = mesh.clip(normal=direction, origin=length * direction)
    return _opened(
        mesh.triangulate().clean(),
        {
            name: length * direction
            for name, (direction, _, length) in zip(
                ("parent", "left", "right"), BRANCHES, strict=True
            )
        },
    )


def box_with_sphere() -> Shape:
    """A box with all six faces open round a sphere, which is patch 1."""
    sphere = pv.Sphere(radius=SPHERE, center=CENTRE, theta_resolution=24, phi_resolution=24)
    wall = Wall(
        points=sphere.points.astype(float),
        normals=(CENTRE - sphere.points) / SPHERE,
        triangles=sphere.regular_faces[:, ::-1].astype(np.int64),
        patch=np.ones(sphere.n_cells, dtype=np.int64),
    )
    openings = []
    for axis in range(3):
        for side, sign in (("min", -1.0), ("max", 1.0)):
            across = (axis + 1) % 3, (axis + 2) % 3
            points = np.zeros((4, 3))
            points[:, axis] = sign
            points[:, across] = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
            triangles = np.array([[0, 1, 2], [0, 2, 3]])[:, :: int(sign)]
            normal = sign * np.eye(3)[axis]
            openings.append(Opening(f"{'xyz'[axis]}_{side}", points * BOX, triangles, normal))
    return Shape(wall, tuple(openings))


def tube(around: int, stations: int) -> pv.PolyData:
    """The slanted tube, every vertex on its circle."""
    first = np.cross(SLANT, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    second = np.cross(SLANT, first)
    angle = 2 * np.pi * np.arange(around) / around
    circle = SLANTED_RADIUS * (np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second)
    s = np.linspace(-0.5, 0.5, stations) * SLANTED_LENGTH
    points = (s[:, None, None] * SLANT + circle).reshape(-1, 3)
    number = np.arange(len(points)).reshape(stations, around)
    a, b = number[:-1], np.roll(number[:-1], -1, axis=1)
    c, d = number[1:], np.roll(number[1:], -1, axis=1)
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)
    return pv.PolyData.from_regular_faces(points, triangles)


def implicit(function, bounds, spacing) -> pv.PolyData:
    """The surface on which a function of points (N, 3) is zero, by marching cubes."""
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    grid = pv.ImageData(dimensions=shape, spacing=(spacing,) * 3, origin=low)
    surface = grid.contour([0.0], scalars=function(np.asarray(grid.points, dtype=float)))
    # Marching cubes winds against the slope of the function.
    surface = surface.flip_faces()
    surface.clear_data()
    surface.points = surface.points.astype(float)
    return surface


def _segment(x: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of points (N, 3) from a segment."""
    along = end - start
    share = np.clip((x - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(x - start - share[:, None] * along, axis=1)


def _smooth_minimum(values: list[np.ndarray], width: float) -> np.ndarray:
    return -width * np.log(sum(np.exp(-value / width) for value in values))


def _opened(mesh: pv.PolyData, ends: dict[str, np.ndarray]) -> Shape:
    """A mesh wound outwards, its open edges closed by fans round the middle of each end."""
    points, triangles = mesh.points.astype(float), mesh.regular_faces.astype(np.int64)
    a, b, c = points[triangles].transpose(1, 0, 2)
    areas = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for corner in triangles.T:
        np.add.at(normals, corner, areas)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    wall = Wall(points, normals, triangles, np.zeros(len(triangles), dtype=np.int64))

    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = set(map(tuple, edges.tolist()))
    rim = np.array([(a, b) for a, b in pairs if (b, a) not in pairs])
    nearest = np.argmin(
        [np.linalg.norm(points[rim[:, 0]] - middle, axis=1) for middle in ends.values()], axis=0
    )
    openings = []
    for number, (name, middle) in enumerate(ends.items()):
        used, fan = np.unique(rim[nearest == number], return_inverse=True)
        fan = fan.reshape(-1, 2)[:, ::-1]
        corners = np.vstack([points[used], middle])
        faces = np.column_stack([fan, np.full(len(fan), len(used))])
        a, b, c = corners[faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a).sum(axis=0)
        openings.append(Opening(name, corners, faces, normal / np.linalg.norm(normal)))
    return Shape(wall, tuple(openings))


def write_vessel_experiment(folder: Path, wall: Any, inside: Shape, **ingest: Any) -> Path:
    """Write tracks in a shape and an experiment with them, lengths in mm; return its path.

    Every tracer moves along (1, 2, 2) / 3, the faster the farther it is from the wall.

    Parameters
    ----------
    folder
        Made if it is not there.
    wall
        The value of `ingest.wall`, such as the name of a file.
    inside
        The shape in which the tracks lie.
    ingest
        More keys of the section.
    """
    folder.mkdir(parents=True, exist_ok=True)
    region = Region(inside.wall, inside.openings)
    rng = np.random.default_rng(0)
    starts = rng.uniform(*region.bounds, (4000, 3))
    starts = starts[region.distance(starts) < -0.1][:60]
    speed = 1 - np.exp(-region.wall_distance(starts))
    time = np.arange(10) / 50
    points = starts[:, None] + 0.1 * time[:, None] * (speed[:, None] * SLANT)[:, None]
    table = pd.DataFrame(
        {
            "track": np.repeat(np.arange(len(starts)), len(time)),
            "t": np.tile(time, len(starts)),
            **dict(zip("xyz", points.reshape(-1, 3).T, strict=True)),
            **dict(zip("uvw", np.outer(SLANT, np.repeat(speed, len(time))), strict=True)),
        }
    )
    table.to_csv(folder / "tracks.csv", index=False)
    units = {"length": "mm", "velocity": "mm/s", "wall": "mm"}
    experiment = {
        "name": "vessel",
        "ingest": {
            "tracks": str(folder / "tracks.csv"),
            "wall": wall,
            "fluid": {"density": 1060.0, "viscosity": 3.5e-3},
            "period": 1.0,
            "units": units,
            **ingest,
        },
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return path
