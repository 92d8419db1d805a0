"""The wall on a regular grid of angle and axial coordinate, and its fields there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.tri import Triangulation
from scipy.spatial import cKDTree

from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, across
from aiv_rba.scales import Scales
from aiv_rba.stages.report.wall_series import read_wall

AROUND, ALONG = 97, 121
# A triangle with less than this share of the median area is flat.
FLAT = 1e-6


@dataclass(frozen=True)
class Unrolled:
    """One patch of the wall, unrolled.

    Attributes
    ----------
    angle, height
        (A,) in rad about the centre line, from -pi to pi; (H,) nondimensional.
    points
        (A, H, 3), m.
    stress, pressure
        Wall shear stress (T, A, H, 3) and pressure (T, A, H), Pa.
    spread
        Standard deviations (T, A, H) of both, Pa, that of the stress being the root of the sum of
        squares of its components'; empty if there are none.
    """

    angle: Array
    height: Array
    points: Array
    stress: Array
    pressure: Array
    spread: dict[str, Array]


def unroll(path: Path, lumen: Lumen, scales: Scales) -> list[Unrolled]:
    """The outer wall, and the inner wall of an annular lumen, with the fields of a wall series."""
    series = read_wall(path)
    fields = np.concatenate(
        [
            series.stress,
            series.pressure[..., None],
            *(v[..., None] for v in series.spread.values()),
        ],
        axis=2,
    )
    return [_patch(lumen, scales, patch, fields) for patch in ((0, 1) if lumen.annular else (0,))]


def _patch(lumen: Lumen, scales: Scales, patch: int, fields: Array) -> Unrolled:
    vertices = np.unique(lumen.wall.triangles[lumen.wall.patch == patch])
    at = lumen.wall.points[vertices]
    heights = at[:, lumen.axis]
    angle = np.linspace(-np.pi, np.pi, AROUND)
    height = np.linspace(heights.min(), heights.max(), ALONG)
    radius = lumen.polar(at)[2]
    values = np.concatenate(
        [radius[:, None], np.moveaxis(fields[:, vertices], 1, 0).reshape(len(vertices), -1)], axis=1
    )
    grid = on_grid(lumen, at, values, angle, height)
    points = np.empty((AROUND, ALONG, 3))
    points[..., lumen.axis] = height
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points[..., across(lumen.axis)] = lumen.centre(height) + (grid[..., :1] * direction[:, None])
    found = np.moveaxis(grid[..., 1:].reshape(AROUND, ALONG, *fields.shape[::2]), 2, 0)
    spread = dict(zip(("stress", "pressure"), np.moveaxis(found[..., 4:], -1, 0), strict=False))
    return Unrolled(
        angle,
        height,
        points * scales.length + np.array(scales.origin),
        found[..., :3],
        found[..., 3],
        spread,
    )


def on_grid(lumen: Lumen, at: Array, values: Array, angle: Array, height: Array) -> Array:
    """Values (N, C) at wall points (N, 3) on the grid (A, H, C) of angles and heights.

    Linear between the points, periodic in the angle; beyond the last point the nearest value.
    """
    theta, along, _ = lumen.polar(at)
    # Angles in units of the vessel's length: triangles are to know no preferred direction.
    size = float(np.ptp(lumen.wall.points[:, lumen.axis])) / (2 * np.pi)
    turns = (-2 * np.pi, 0.0, 2 * np.pi)
    known = np.concatenate([np.stack([(theta + turn) * size, along], axis=1) for turn in turns])
    # A quarter of a turn beyond both sides is enough.
    near = np.abs(known[:, 0]) < 1.5 * np.pi * size
    known, values = known[near], np.tile(values, (3, 1))[near]
    # The ends themselves may be rounded to beyond the last triangle.
    middle = height.mean()
    shrunk = middle + (height - middle) * (1 - 1e-9)
    wanted = np.stack(np.meshgrid(angle * size, shrunk, indexing="ij"), axis=-1).reshape(-1, 2)
    mesh = Triangulation(known[:, 0], known[:, 1])
    # Points in a row at the rim make triangles without area, which cannot be searched.
    sides = np.diff(known[mesh.triangles], axis=1)
    area = np.abs(np.linalg.det(sides))
    mesh.set_mask(area < FLAT * np.median(area))
    triangle = np.asarray(mesh.get_trifinder()(wanted[:, 0], wanted[:, 1]))
    inside = triangle >= 0
    corners = mesh.triangles[triangle[inside]]
    # Barycentric coordinates: (x, y, 1) is the mean of the corners' with these weights.
    columns = np.insert(known[corners], 2, 1.0, axis=2).swapaxes(1, 2)
    weights = np.linalg.solve(columns, np.insert(wanted[inside], 2, 1.0, axis=1)[..., None])
    result = np.empty((len(wanted), values.shape[1]))
    result[inside] = np.sum(weights * values[corners], axis=1)
    _, nearest = cKDTree(known).query(wanted[~inside])
    result[~inside] = values[nearest]
    return result.reshape(len(angle), len(height), -1)
