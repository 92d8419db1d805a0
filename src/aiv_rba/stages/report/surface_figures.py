"""Wall shear stress on a wall of any shape, seen from its sides, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.tri import Triangulation

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import across
from aiv_rba.stages.report.phases import Phase
from aiv_rba.stages.report.style import DIFFERENCE, WIDTH, image, styled, symmetric
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.units import unit_for
from aiv_rba.stages.report.wall_figures import STRESS
from aiv_rba.stages.report.wall_series import WallSeries

# Largest height of a row, inches.
HIGHEST = 3.2


@dataclass(frozen=True)
class Side:
    """A direction from which the wall is seen.

    Attributes
    ----------
    towards
        Coordinate axis along which one looks.
    sign
        1 if one looks from its positive end.
    first, second
        Coordinates across and up in the picture.
    """

    towards: int
    sign: int
    first: int
    second: int

    @property
    def mirrored(self) -> bool:
        """Whether the first coordinate runs to the left."""
        return ((self.first, self.second) == across(self.towards)) != (self.sign > 0)

    @property
    def title(self) -> str:
        """Where the eye is."""
        return f"seen from {'+' if self.sign > 0 else '-'}{'xyz'[self.towards]}"


def wall_views(
    wall: WallSeries, rims: list[Array], phases: list[Phase], truth: TrueFields | None
) -> bytes:
    """Magnitude of the wall shear stress, a row for each phase, which has its own colours.

    With the truth inferred, truth and difference, each from two sides; without it from three.

    Parameters
    ----------
    wall
        The wall and its stress.
    rims
        Edges (E, 2, 3) of the openings, m.
    phases, truth
        What is drawn.
    """
    everything = np.concatenate([wall.points, *(rim.reshape(-1, 3) for rim in rims)])
    seen = sides(everything)
    names = ("inferred",) if truth is None else ("inferred", "truth", "difference")
    seen = seen if truth is None else seen[:2]
    sizes = np.array([np.ptp(everything[:, [s.first, s.second]], axis=0) for s in seen])
    widths = sizes[:, 0].tolist() * len(names)
    height = min(HIGHEST, 0.8 * WIDTH * sizes[:, 1].max() / sum(widths))
    with styled():
        figure, axes = plt.subplots(
            len(phases),
            len(widths),
            figsize=(WIDTH, 0.8 + len(phases) * (height + 0.5)),
            squeeze=False,
            layout="constrained",
            width_ratios=widths,
        )
        for line, phase in zip(axes, phases, strict=True):
            shown: dict[str, Any] = {}
            fields = _fields(wall, phase, truth)
            most = max(float(fields[name].max()) for name in names[:2]) or 1.0
            for number, name in enumerate(names):
                limits = symmetric(fields[name]) if name == "difference" else (0.0, most)
                panels = line[number * len(seen) : (number + 1) * len(seen)]
                for panel, side in zip(panels, seen, strict=True):
                    shown[name] = _panel(panel, wall, rims, side, fields[name], limits)
                    if phase is phases[0]:
                        panel.set_title(side.title if truth is None else f"{name}\n{side.title}")
            line[0].set_ylabel(f"{phase.name}\n{line[0].get_ylabel()}")
            own = line[: len(seen) * min(len(names), 2)]
            drawn, unit = shown["inferred"]
            figure.colorbar(drawn, ax=list(own), label=f"wall shear stress ({unit})", pad=0.01)
            if truth is not None:
                drawn, unit = shown["difference"]
                bar = f"difference ({unit})"
                figure.colorbar(drawn, ax=list(line[len(own) :]), label=bar, pad=0.01)
        return image(figure)


def sides(points: Array) -> list[Side]:
    """Three sides: both along the direction in which points are least spread, and another one.

    The longer side of a picture lies across.
    """
    thin, middle, long = (int(i) for i in np.argsort(np.ptp(points, axis=0), kind="stable"))
    return [Side(thin, 1, long, middle), Side(thin, -1, long, middle), Side(middle, 1, long, thin)]


def in_front(points: Array, triangles: IntArray, side: Side) -> IntArray:
    """Triangles (M, 3) from the most distant to the nearest one, so that these hide those."""
    depth = side.sign * points[:, side.towards]
    return np.asarray(triangles[np.argsort(depth[triangles].mean(axis=1), kind="stable")])


def _fields(wall: WallSeries, phase: Phase, truth: TrueFields | None) -> dict[str, Array]:
    stress = wall.stress[phase.number]
    fields = {"inferred": np.linalg.norm(stress, axis=1)}
    if truth is not None:
        true = stress - truth.on_vertices(wall.points, phase.share)
        fields["truth"] = np.linalg.norm(true, axis=1)
        fields["difference"] = fields["inferred"] - fields["truth"]
    return fields


def _panel(
    axes: Axes,
    wall: WallSeries,
    rims: list[Array],
    side: Side,
    values: Array,
    limits: tuple[float, float],
) -> tuple[Any, str]:
    """Draw one view; what is drawn and the unit of its colours."""
    unit = unit_for("pressure", limits[1])
    metre = unit_for("length", float(np.ptp(wall.points, axis=0).max()) / 4)
    plane = [side.first, side.second]
    at = wall.points[:, plane] * metre.factor
    drawn = axes.tripcolor(
        Triangulation(at[:, 0], at[:, 1], in_front(wall.points, wall.triangles, side)),
        values * unit.factor,
        shading="gouraud",
        cmap=DIFFERENCE if limits[0] < 0 else STRESS,
        vmin=limits[0] * unit.factor,
        vmax=limits[1] * unit.factor,
        rasterized=True,
    )
    for rim in rims:
        edges = list(rim[..., plane] * metre.factor)
        axes.add_collection(LineCollection(edges, colors="0.6", linewidths=0.6))
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.set(
        xlabel=f"{'xyz'[side.first]} ({metre.name})", ylabel=f"{'xyz'[side.second]} ({metre.name})"
    )
    axes.autoscale_view()
    if side.mirrored:
        axes.invert_xaxis()
    return drawn, unit.name
