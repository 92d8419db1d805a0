"""Regions of simple shapes: boxes and cylinders, some of whose faces are open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.settings.ingest import Box, Cylinder, WallShape
from aiv_rba.stages.ingest.faces import Face, polygon
from aiv_rba.stages.ingest.walls import Surface, open_edges

# Edges of the mesh along the shortest edge of a box, and round a cylinder; most edges along any.
ALONG_EDGE, AROUND, MOST = 16, 64, 100


def make_shape(shape: WallShape) -> tuple[Surface, list[Face]]:
    """The closed surface of a shape and its faces: all open of a box, the ends of a cylinder."""
    if shape.box is not None:
        return _box(shape.box)
    assert shape.cylinder is not None
    return _cylinder(shape.cylinder)


def _box(box: Box) -> tuple[Surface, list[Face]]:
    """Six faces, each a grid of its own, which share the vertices of their edges."""
    spans = np.array([box.x, box.y, box.z])
    edges = spans[:, 1] - spans[:, 0]
    counts = np.round(edges / edges.min() * ALONG_EDGE).astype(int).clip(1, MOST)
    ticks = [
        np.linspace(span[0], span[1], count + 1) for span, count in zip(spans, counts, strict=True)
    ]
    points: list[Array] = []
    triangles: list[IntArray] = []
    names: list[str] = []
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        for side, at in (("min", 0), ("max", 1)):
            a, b = np.meshgrid(ticks[first], ticks[second], indexing="ij")
            grid = np.full((a.size, 3), spans[axis, at])
            grid[:, first], grid[:, second] = a.ravel(), b.ravel()
            # Wound about the positive direction, which is outwards on the upper side.
            cells = _cells(np.arange(a.size).reshape(a.shape))
            triangles.append((cells if at else cells[:, ::-1]) + sum(len(p) for p in points))
            points.append(grid)
            names.append(f"{'xyz'[axis]}_{side}")
    joined, number = np.unique(np.concatenate(points), axis=0, return_inverse=True)
    triangles = [number.ravel()[cells] for cells in triangles]
    faces, count = [], 0
    for name, cells in zip(names, triangles, strict=True):
        (loop,) = open_edges(cells)
        face = polygon(joined, loop[::-1], count + np.arange(len(cells)), is_open=True)
        faces.append(replace(face, name=name))
        count += len(cells)
    return Surface(joined, np.concatenate(triangles), (), goes_on=False), faces


def _cylinder(cylinder: Cylinder) -> tuple[Surface, list[Face]]:
    """A round side and two round ends of rings."""
    axis, radius = "xyz".index(cylinder.axis), cylinder.radius
    length = cylinder.to - cylinder.from_
    spacing = 2 * np.pi * radius / AROUND
    stations = int(np.clip(np.round(length / spacing), 1, MOST))
    rings = int(np.round(radius / spacing))
    angle = 2 * np.pi * np.arange(AROUND) / AROUND
    # Every ring of vertices from the middle of the lower end to that of the upper one.
    inwards = np.arange(1, rings) / rings
    radii = np.concatenate([inwards, np.ones(stations + 1), inwards[::-1]]) * radius
    heights = np.concatenate(
        [
            np.full(rings - 1, cylinder.from_),
            np.linspace(cylinder.from_, cylinder.to, stations + 1),
            np.full(rings - 1, cylinder.to),
        ]
    )
    points = np.zeros((len(radii), AROUND, 3))
    points[..., axis] = heights[:, None]
    points[..., (axis + 1) % 3] = radii[:, None] * np.cos(angle)
    points[..., (axis + 2) % 3] = radii[:, None] * np.sin(angle)
    middles = np.zeros((2, 3))
    middles[:, axis] = cylinder.from_, cylinder.to
    points = np.concatenate([points.reshape(-1, 3), middles])
    others = [other for other in range(3) if other != axis]
    points[:, others] += cylinder.centre

    number = np.arange(len(radii) * AROUND).reshape(-1, AROUND)
    closed = np.column_stack([number, number[:, 0]]).T
    low, high = rings - 1, rings - 1 + stations
    fans = [
        np.column_stack([ring, after, np.full(AROUND, len(points) - 2 + upper)])
        for upper, ring, after in (
            (0, np.roll(number[0], -1), number[0]),
            (1, number[-1], np.roll(number[-1], -1)),
        )
    ]
    parts = {
        f"{cylinder.axis}_min": np.concatenate([_cells(closed[:, : low + 1]), fans[0]]),
        f"{cylinder.axis}_max": np.concatenate([_cells(closed[:, high:]), fans[1]]),
        "side": _cells(closed[:, low : high + 1]),
    }
    strips = np.stack(
        [closed[1:, low], closed[:-1, low], closed[:-1, high], closed[1:, high]], axis=1
    )
    faces, count = [], 0
    for name, cells in parts.items():
        on_it = count + np.arange(len(cells))
        count += len(cells)
        if name == "side":
            area, centre = 2 * np.pi * radius * length, middles.mean(axis=0)
            faces.append(Face(tuple(strips), on_it, area, centre, np.zeros(3), False, name))
        else:
            (loop,) = open_edges(cells)
            faces.append(replace(polygon(points, loop[::-1], on_it, is_open=True), name=name))
    triangles = np.concatenate(list(parts.values()))
    return Surface(points, triangles, (), goes_on=False), faces


def _cells(number: IntArray) -> IntArray:
    """Triangles (M, 3) of a grid of vertex numbers (I, J), wound from I to J."""
    a, b = number[:-1, :-1].ravel(), number[1:, :-1].ravel()
    c, d = number[1:, 1:].ravel(), number[:-1, 1:].ravel()
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
