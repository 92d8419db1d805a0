"""Picture of the tracks in the wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import CenteredNorm, Normalize, to_rgba
from matplotlib.figure import Figure

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.scales import to_si
from aiv_rba.settings import IngestSettings

# Rows that are drawn, at random if there are more.
MOST_ROWS = 30_000


def draw(path: Path, config: IngestSettings, case: Case) -> None:
    """Draw the rows in the wall: two views from the side and one along the axis.

    In a lumen that is no tube the axis is that along which it is the longest. Colour is the
    velocity along the axis of a tube or, elsewhere or where that is not measured, the speed.

    Parameters
    ----------
    path
        PNG file to write, under any name.
    config, case
        Units of the axes; tracks and wall.
    """
    unit, speed_unit = config.units.length, config.units.velocity
    length = case.scales.length / to_si(unit, "[length]", "ingest.units.length")
    speed = case.scales.velocity / to_si(speed_unit, "[length]/[time]", "ingest.units.velocity")
    origin = np.array(case.scales.origin) / case.scales.length
    wall = (case.wall.points + origin) * length
    rows = len(case.tracks.row)
    drawn = np.arange(rows)
    if rows > MOST_ROWS:
        drawn = np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False)
    points = (case.tracks.points[drawn, 1:] + origin) * length
    velocity = {name: values[drawn] for name, values in case.tracks.velocity.items()}
    component = "uvw"[case.axis]
    if case.lumen != "general" and component in velocity:
        colour, label = velocity[component] * speed, f"axial velocity {component}"
    else:
        squares = [values**2 for values in velocity.values()]
        colour, label = np.sqrt(np.sum(squares, axis=0)) * speed, "measured speed"
    norm, colours = _colours(colour)

    first, second = (other for other in range(3) if other != case.axis)
    width, height, depth = np.ptp(case.corners, axis=0)[[case.axis, first, second]]
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplot_mosaic(
        [["first", "across"], ["second", "across"]],
        width_ratios=[width, 0.7 * width],
        height_ratios=[height, depth],
    )
    views = (
        ("first", case.axis, first),
        ("second", case.axis, second),
        ("across", first, second),
    )
    order = np.argsort(np.abs(colour))
    for name, horizontal, vertical in views:
        plane = [horizontal, vertical]
        _draw_wall(axes[name], wall[:, plane], case.wall.triangles)
        dots = axes[name].scatter(
            points[order, horizontal],
            points[order, vertical],
            c=colour[order],
            s=60 / len(points) ** 0.4,
            cmap=colours,
            norm=norm,
            linewidths=min(0.15, 200 / len(points)),
            edgecolors="0.25",
        )
        axes[name].set(
            aspect="equal",
            xlabel=f"{'xyz'[horizontal]} ({unit})",
            ylabel=f"{'xyz'[vertical]} ({unit})",
        )
    axis = f"along {'xyz'[case.axis]}" if case.lumen == "general" else "along the axis"
    axes["across"].set_title(axis, fontsize="medium")
    axes["first"].set_title("from the sides", fontsize="medium")
    figure.colorbar(dots, ax=list(axes.values()), label=f"{label} ({speed_unit})", extend="both")
    tracks = len(np.unique(case.tracks.track))
    part = f", {MOST_ROWS} of them drawn" if rows > MOST_ROWS else ""
    figure.suptitle(f"{rows} rows of {tracks} tracks in the wall{part}")
    figure.savefig(path, format="png", dpi=150, bbox_inches="tight")


def _colours(values: Array) -> tuple[Normalize, str]:
    """Diverging colours if the flow reverses, else sequential ones; both safe for colour-blind.

    One percent at each side is left out, so that outliers do not take the whole scale.
    """
    low, high = np.percentile(values, [1, 99])
    if min(-low, high) > 0.1 * max(-low, high):
        return CenteredNorm(0.0, max(-low, high)), "PuOr_r"
    return Normalize(low, high), "cividis"


def _draw_wall(axes: Axes, points: Array, triangles: IntArray) -> None:
    """The wall, see-through: the more of it lies behind a place, the darker."""
    walls = PolyCollection(
        list(points[triangles]),
        facecolors=to_rgba("#8fa9bf", 0.12),
        edgecolors=to_rgba("#6d8296", 0.25),
        linewidths=min(0.4, 400 / len(triangles)),
    )
    axes.add_collection(walls)
    axes.autoscale_view()
