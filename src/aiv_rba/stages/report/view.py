"""Data of the view to turn: the wall and cuts of the lumen, and fields on them at all times."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass

import matplotlib
import numpy as np

from aiv_rba.files.formats import Array
from aiv_rba.pages import InteractiveView
from aiv_rba.scales import Scales
from aiv_rba.stages.report.field_figures import SIGNED, SPEED
from aiv_rba.stages.report.sheets import Sampled, Sheets
from aiv_rba.stages.report.style import symmetric
from aiv_rba.stages.report.units import unit_for
from aiv_rba.stages.report.unrolled import Unrolled
from aiv_rba.stages.report.wall_figures import STRESS

# With these the page stays below 12 MB, whatever the case.
MOST_TIMES = 24
WALL_STEP, SHEET_STEP = 2, 2
# Longest side of the vessel, in the units in which the camera is placed.
LONGEST = 1.7


@dataclass(frozen=True)
class Shown:
    """A field of the view: where it is ("wall" or "cuts"), and its values (T, I, J) there."""

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
    """The view, which opens at time number `start`.

    Of many times only every second, third, ... is taken, and of the points every second.
    """
    times = sampled.times
    every = -(-len(times) // MOST_TIMES)
    wall = [patch.points[::WALL_STEP, ::WALL_STEP] for patch in patches]
    sheets = [sheet.points[:, ::SHEET_STEP] for sheet in cut.all]

    def on_wall(values: Iterable[Array]) -> list[Array]:
        return [of_patch[::every, ::WALL_STEP, ::WALL_STEP] for of_patch in values]

    def on_cuts(values: Iterable[Array]) -> list[Array]:
        return [of_sheet[::every, :, ::SHEET_STEP] for of_sheet in values]

    flows = sampled.flows
    stress = [_size(values) for values in on_wall(patch.stress for patch in patches)]
    speed = [_size(values) for values in on_cuts(flow.velocity for flow in flows)]
    fields = [
        Shown("wall", "wall shear stress", "pressure", STRESS, stress),
        Shown("wall", "pressure", "pressure", SIGNED, on_wall(p.pressure for p in patches)),
        Shown("cuts", "speed", "speed", SPEED, speed),
        Shown("cuts", "pressure", "pressure", SIGNED, on_cuts(f.pressure for f in flows)),
        Shown("cuts", "vorticity", "rate", SPEED, on_cuts(f.vorticity for f in flows)),
    ]
    for name, label in (("stress", "wall shear stress"), ("pressure", "pressure")):
        found = on_wall(patch.spread[name] for patch in patches if patch.spread)
        fields.append(Shown("wall", f"standard deviation of {label}", "pressure", SPEED, found))
    for name, quantity in (("velocity", "speed"), ("pressure", "pressure")):
        found = on_cuts(flow.spread[name] for flow in flows if flow.spread)
        fields.append(Shown("cuts", f"standard deviation of {name}", quantity, SPEED, found))
    fields = [shown for shown in fields if shown.values]
    metre = unit_for("length", float(np.ptp(wall[0][..., axis])) / 4)
    surfaces = [("wall", points) for points in wall] + [("cuts", points) for points in sheets]
    along, up, aside = (np.eye(3)[(axis + i) % 3] for i in range(3))
    eye = 1.15 * aside + 0.6 * up + 0.35 * along
    sizes = np.ptp(np.concatenate([points.reshape(-1, 3) for points in wall]), axis=0)
    data = {
        "times": times[::every].tolist(),
        "span": {"periodic": "period", "steady": "", "unsteady": "window"}[scales.flow],
        "began": scales.start,
        "duration": scales.period,
        "start": min(round(start / every), len(times[::every]) - 1),
        "length": metre.name,
        "along": "xyz"[axis],
        "eye": dict(zip("xyz", eye.tolist(), strict=True)),
        "sizes": dict(zip("xyz", (LONGEST * sizes / sizes.max()).tolist(), strict=True)),
        "up": dict(zip("xyz", up.tolist(), strict=True)),
        "surfaces": [
            {
                "on": on,
                "rows": points.shape[0],
                "columns": points.shape[1],
                **{name: _packed(points[..., i] * metre.factor) for i, name in enumerate("xyz")},
            }
            for on, points in surfaces
        ],
        "fields": [_field(shown, [on for on, _ in surfaces]) for shown in fields],
    }
    thinned = (
        "" if every == 1 else f" Of the {len(times)} times of the output every {every}. is shown."
    )
    caption = (
        "Turn with the left button, zoom with the wheel, move with the right button. The wall "
        "carries wall shear stress or pressure; a cut along the vessel and five across it carry "
        "speed, pressure or vorticity; standard deviations come last. A colour means the same at "
        "all times. The grid is that of the maps above with every second point."
        f"{thinned} The files for ParaView have everything."
    )
    return InteractiveView(json.dumps(data), caption)


def _field(shown: Shown, on: list[str]) -> dict[str, object]:
    everything = np.concatenate([v.ravel() for v in shown.values])
    signed = shown.colours == SIGNED
    high = symmetric(everything)[1] if signed else float(everything.max()) or 1.0
    unit = unit_for(shown.quantity, high)
    limits = (-high, high) if signed else (0.0, high)
    values = iter(shown.values)
    texts = [_packed(next(values) * unit.factor) if o == shown.on else None for o in on]
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


def _packed(values: Array) -> str:
    """Single precision, little endian, base 64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _colours(name: str) -> list[tuple[float, str]]:
    shares = np.linspace(0, 1, 17)
    colours = matplotlib.colormaps[name](shares, bytes=True)[:, :3]
    return [
        (float(share), "rgb({},{},{})".format(*colour))
        for share, colour in zip(shares, colours.tolist(), strict=True)
    ]
