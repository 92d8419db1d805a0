"""Data of the view to turn: the wall and cuts of the lumen, and fields on them at all times."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pyvista as pv
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.pages import InteractiveView
from aiv_rba.scales import Scales
from aiv_rba.stages.report.cuts import Cut
from aiv_rba.stages.report.field_figures import SIGNED, SPEED
from aiv_rba.stages.report.sampling import Sampled, SampledFlow
from aiv_rba.stages.report.sheets import Sheets
from aiv_rba.stages.report.style import symmetric
from aiv_rba.stages.report.units import unit_for
from aiv_rba.stages.report.unrolled import Unrolled
from aiv_rba.stages.report.wall_figures import STRESS
from aiv_rba.stages.report.wall_series import WallSeries

# With these the page stays below 12 MB, whatever the case.
MOST_TIMES = 24
WALL_STEP, SHEET_STEP = 2, 2
# Longest side of the vessel, in the units in which the camera is placed.
LONGEST = 1.7
# A vessel that is not slender is seen from further away.
AWAY = 1.6
# Vertices of a wall of any shape.
MOST_VERTICES = 4_000
HOW_TO_TURN = "Turn with the left button, zoom with the wheel, move with the right button."
REST = (
    "speed, pressure or vorticity; standard deviations come last. A colour means the same at all "
    "times."
)
EVERYTHING = "The files for ParaView have everything."


@dataclass(frozen=True)
class Piece:
    """A surface of the view.

    Attributes
    ----------
    on
        What it belongs to: "wall" or "cuts".
    points
        (I, J, 3) of a structured surface or (P, 3) of a triangulated one, m.
    triangles
        (M, 3): point numbers; None for a structured surface.
    """

    on: str
    points: Array
    triangles: IntArray | None = None


@dataclass(frozen=True)
class Shown:
    """A field of the view: on which pieces it is, and its values (T, ...) on each of them."""

    on: str
    name: str
    quantity: str
    colours: str
    values: list[Array]


def view(
    patches: list[Unrolled],
    cut: Sheets,
    sampled: Sampled,
    scales: Scales,
    start: int,
    axis: int,
) -> InteractiveView:
    """The view of a tube, which opens at time number `start`.

    Of many times only every second, third, ... is taken, and of the points every second.
    """
    every = _every(sampled)
    pieces = [Piece("wall", patch.points[::WALL_STEP, ::WALL_STEP]) for patch in patches]
    pieces += [Piece("cuts", sheet.points[:, ::SHEET_STEP]) for sheet in cut.all]

    def on_wall(values: Iterable[Array]) -> list[Array]:
        return [of_patch[::every, ::WALL_STEP, ::WALL_STEP] for of_patch in values]

    def on_cuts(values: Iterable[Array]) -> list[Array]:
        return [of_sheet[::every, :, ::SHEET_STEP] for of_sheet in values]

    fields = _fields(patches, sampled.flows, on_wall, on_cuts)
    data = _data(pieces, fields, sampled, scales, start, axis) | {"along": "xyz"[axis]}
    caption = (
        f"{HOW_TO_TURN} The wall carries wall shear stress or pressure; a cut along the vessel and "
        f"five across it carry {REST} The grid is that of the maps above with every second point."
    )
    return InteractiveView(json.dumps(data), f"{caption}{_thinned(sampled)} {EVERYTHING}")


def general_view(
    wall: WallSeries, cuts: list[Cut], sampled: Sampled, scales: Scales, start: int, axis: int
) -> InteractiveView:
    """The view of a vessel of any shape, longest along an axis.

    A wall of many triangles is made coarser.
    """
    every = _every(sampled)
    kept, triangles = coarsened(wall)
    pieces = [Piece("wall", wall.points[kept], triangles)]
    pieces += [Piece("cuts", cut.points, cut.triangles) for cut in cuts]

    def on_wall(values: Iterable[Array]) -> list[Array]:
        return [of_wall[::every, kept] for of_wall in values]

    def on_cuts(values: Iterable[Array]) -> list[Array]:
        return [of_cut[::every] for of_cut in values]

    fields = _fields([wall], sampled.flows, on_wall, on_cuts)
    data = _data(pieces, fields, sampled, scales, start, axis, AWAY) | {"along": "xyz"}
    caption = (
        f"{HOW_TO_TURN} The wall carries wall shear stress or pressure; the cuts by coordinate "
        f"planes carry {REST}"
    )
    return InteractiveView(json.dumps(data), f"{caption}{_thinned(sampled)} {EVERYTHING}")


def coarsened(wall: WallSeries) -> tuple[IntArray, IntArray]:
    """Numbers (K,) of vertices of a wall, and triangles (M, 3) that have them as corners."""
    if len(wall.points) <= MOST_VERTICES:
        return np.arange(len(wall.points)), wall.triangles
    mesh = pv.PolyData(wall.points, np.insert(wall.triangles, 0, 3, axis=1))
    fewer = mesh.decimate(1 - MOST_VERTICES / len(wall.points))
    _, nearest = KDTree(wall.points).query(fewer.points)
    return np.asarray(nearest), np.asarray(fewer.regular_faces, dtype=np.int64)


def _every(sampled: Sampled) -> int:
    return -(-len(sampled.times) // MOST_TIMES)


def _thinned(sampled: Sampled) -> str:
    every, times = _every(sampled), len(sampled.times)
    return "" if every == 1 else f" Of the {times} times of the output every {every}. is shown."


def _fields(
    walls: Sequence[Unrolled | WallSeries],
    flows: list[SampledFlow],
    on_wall: Callable[[Iterable[Array]], list[Array]],
    on_cuts: Callable[[Iterable[Array]], list[Array]],
) -> list[Shown]:
    """Fields on walls and cuts, of which `on_wall` and `on_cuts` take the part that is shown."""
    stress = [_size(values) for values in on_wall(wall.stress for wall in walls)]
    speed = [_size(values) for values in on_cuts(flow.velocity for flow in flows)]
    fields = [
        Shown("wall", "wall shear stress", "pressure", STRESS, stress),
        Shown("wall", "pressure", "pressure", SIGNED, on_wall(w.pressure for w in walls)),
        Shown("cuts", "speed", "speed", SPEED, speed),
        Shown("cuts", "pressure", "pressure", SIGNED, on_cuts(f.pressure for f in flows)),
        Shown("cuts", "vorticity", "rate", SPEED, on_cuts(f.vorticity for f in flows)),
    ]
    for name, label in (("stress", "wall shear stress"), ("pressure", "pressure")):
        found = on_wall(wall.spread[name] for wall in walls if wall.spread)
        fields.append(Shown("wall", f"standard deviation of {label}", "pressure", SPEED, found))
    for name, quantity in (("velocity", "speed"), ("pressure", "pressure")):
        found = on_cuts(flow.spread[name] for flow in flows if flow.spread)
        fields.append(Shown("cuts", f"standard deviation of {name}", quantity, SPEED, found))
    return [shown for shown in fields if shown.values]


def _data(
    pieces: list[Piece],
    fields: list[Shown],
    sampled: Sampled,
    scales: Scales,
    start: int,
    axis: int,
    away: float = 1.0,
) -> dict[str, object]:
    """What view.js draws; `away` is how far the eye is, over its distance from a tube."""
    every = _every(sampled)
    times = sampled.times[::every]
    everywhere = np.concatenate([piece.points.reshape(-1, 3) for piece in pieces])
    low, high = everywhere.min(axis=0), everywhere.max(axis=0)
    sizes = high - low
    metre = unit_for("length", float(sizes[axis]) / 4)
    along, up, aside = (np.eye(3)[(axis + i) % 3] for i in range(3))
    eye = away * (1.15 * aside + 0.6 * up + 0.35 * along)
    return {
        "times": times.tolist(),
        "span": {"periodic": "period", "steady": "", "unsteady": "window"}[scales.flow],
        "began": scales.start,
        "duration": scales.period,
        "start": min(round(start / every), len(times) - 1),
        "length": metre.name,
        "eye": dict(zip("xyz", eye.tolist(), strict=True)),
        # A wall alone may be smaller than the cuts.
        "ranges": {
            name: [low[i] * metre.factor, high[i] * metre.factor] for i, name in enumerate("xyz")
        },
        "sizes": dict(zip("xyz", (LONGEST * sizes / sizes.max()).tolist(), strict=True)),
        "up": dict(zip("xyz", up.tolist(), strict=True)),
        "surfaces": [_surface(piece, metre.factor) for piece in pieces],
        "fields": [_field(shown, [piece.on for piece in pieces]) for shown in fields],
    }


def _surface(piece: Piece, metre: float) -> dict[str, object]:
    places = {name: _packed(piece.points[..., i] * metre, "<f4") for i, name in enumerate("xyz")}
    if piece.triangles is None:
        rows, columns = piece.points.shape[:2]
        return {"on": piece.on, "rows": rows, "columns": columns, **places}
    corners = {name: _packed(piece.triangles[:, i], "<i4") for i, name in enumerate("ijk")}
    return {"on": piece.on, "points": len(piece.points), **places, **corners}


def _field(shown: Shown, on: list[str]) -> dict[str, object]:
    everything = np.concatenate([v.ravel() for v in shown.values])
    signed = shown.colours == SIGNED
    high = symmetric(everything)[1] if signed else float(everything.max()) or 1.0
    unit = unit_for(shown.quantity, high)
    limits = (-high, high) if signed else (0.0, high)
    values = iter(shown.values)
    texts = [_packed(next(values) * unit.factor, "<f4") if o == shown.on else None for o in on]
    return {
        "on": shown.on,
        "title": f"{shown.name}, {'on the wall' if shown.on == 'wall' else 'inside'}",
        "name": shown.name,
        "unit": unit.name,
        "colours": _colours(shown.colours),
        "limits": [limit * unit.factor for limit in limits],
        "first": on.index(shown.on),
        "values": texts,
    }


def _size(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=-1))


def _packed(values: NDArray[Any], kind: str) -> str:
    """Of a kind of number, in base 64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def _colours(name: str) -> list[tuple[float, str]]:
    shares = np.linspace(0, 1, 17)
    colours = matplotlib.colormaps[name](shares, bytes=True)[:, :3]
    return [
        (float(share), "rgb({},{},{})".format(*colour))
        for share, colour in zip(shares, colours.tolist(), strict=True)
    ]
