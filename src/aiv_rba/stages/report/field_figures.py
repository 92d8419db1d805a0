"""Speed and pressure on cuts, beside the truth and the difference where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from aiv_rba.files.formats import Array
from aiv_rba.geometry import across
from aiv_rba.stages.report.phases import Phase
from aiv_rba.stages.report.sampling import SampledFlow
from aiv_rba.stages.report.sheets import Sheets
from aiv_rba.stages.report.style import DIFFERENCE, WIDTH, image, styled, symmetric
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.units import Unit, unit_for

SPEED, SIGNED = "viridis", "PuOr_r"
ARROWS_ALONG, ARROWS_OUT = 9, 3


@dataclass(frozen=True)
class Row:
    """One row of panels: a scalar field on every sheet or cut.

    Attributes
    ----------
    name
        "inferred", "truth" or "difference".
    values
        The field on each of them, SI units.
    limits
        Range of the colours, SI units.
    unit
        Unit of the colour bar.
    colours
        Colour map.
    velocity
        Velocity on each of them for the arrows, or None.
    """

    name: str
    values: list[Array]
    limits: tuple[float, float]
    unit: Unit
    colours: str
    velocity: list[Array] | None = None

    @property
    def norm(self) -> Normalize:
        """Range of the colours, in the unit."""
        low, high = self.limits
        return Normalize(low * self.unit.factor, high * self.unit.factor)


def fields_at(
    cut: Sheets, flows: list[SampledFlow], phase: Phase, axis: int, truth: TrueFields | None
) -> bytes:
    """Speed and pressure on the cut along the vessel and on cross-sections.

    Rows: inferred and, where it is known, the truth and the difference.
    """
    halves = halves_of([sheet.points for sheet in cut.all], flows, phase, truth)
    with styled():
        height = 0.95 + 1.3 * len(halves["speed"])
        figure = plt.figure(figsize=(WIDTH, height), layout="constrained")
        parts: Any = figure.subfigures(1, 2, width_ratios=[1.25, 1], wspace=0.03)
        for part, (label, rows), shown in zip(parts, halves.items(), ((1, 3), (3,)), strict=True):
            part.suptitle(label, fontweight="bold", fontsize=11)
            _draw(part, cut, rows, label, axis, shown)
        return image(figure)


def halves_of(
    pieces: list[Array], flows: list[SampledFlow], phase: Phase, truth: TrueFields | None
) -> dict[str, list[Row]]:
    """Rows of speed and of pressure, at the points (..., 3), m, of every piece."""
    velocity = [flow.velocity[phase.number] for flow in flows]
    pressure = [flow.pressure[phase.number] for flow in flows]
    true_velocity, true_pressure = None, None
    if truth is not None:
        wrong = [truth.on_points(points, phase.share) for points in pieces]
        true_velocity = [v - dv for v, (dv, _) in zip(velocity, wrong, strict=True)]
        true_pressure = [p - dp for p, (_, dp) in zip(pressure, wrong, strict=True)]
    speeds = [None if v is None else _speed(v) for v in (velocity, true_velocity)]
    return {
        "speed": _rows("speed", SPEED, speeds[0], speeds[1], (velocity, true_velocity)),
        "pressure": _rows("pressure", SIGNED, pressure, true_pressure, (None, None)),
    }


def _speed(velocity: list[Array]) -> list[Array]:
    return [np.linalg.norm(v, axis=-1) for v in velocity]


def _rows(
    quantity: str,
    colours: str,
    inferred: Any,
    true: Any,
    velocities: tuple[Any, Any],
) -> list[Row]:
    """Inferred and true field on one scale, and the difference on its own."""
    both = np.concatenate([v.ravel() for v in [*inferred, *(true or [])]])
    limits = symmetric(both) if colours == SIGNED else (0.0, float(both.max()) or 1.0)
    unit = unit_for(quantity, limits[1])
    rows = [Row("inferred", inferred, limits, unit, colours, velocities[0])]
    if true is not None:
        rows.append(Row("truth", true, limits, unit, colours, velocities[1]))
        difference = [a - b for a, b in zip(inferred, true, strict=True)]
        limits = symmetric(np.concatenate([v.ravel() for v in difference]))
        unit = unit_for(quantity, limits[1])
        rows.append(Row("difference", difference, limits, unit, DIFFERENCE))
    return rows


def _draw(
    figure: Any, cut: Sheets, rows: list[Row], label: str, axis: int, shown: tuple[int, ...]
) -> None:
    """One half of the figure; `shown` are the cross-sections beside the lengthwise cut."""
    metre = unit_for("length", float(np.ptp([sheet.across for sheet in cut.lengthwise])))
    axes = figure.subplots(
        len(rows), 1 + len(shown), squeeze=False, width_ratios=[2.7, *[1.0] * len(shown)]
    )
    for line, row in zip(axes, rows, strict=True):
        drawn = _lengthwise(line[0], cut, row, axis, metre)
        line[0].set_ylabel(f"{row.name}\nacross ({metre.name})")
        line[0].tick_params(labelbottom=row is rows[-1])
        for panel, number in zip(line[1:], shown, strict=True):
            _section(panel, cut, number, row, axis)
            place = float(cut.sections[number].points[0, 0, axis]) * metre.factor
            line[0].axvline(place, color="0.15", lw=0.7, ls=(0, (4, 3)))
            if row is rows[0]:
                at = ("data", "axes fraction")
                line[0].annotate(_letter(number), (place, 1.03), xycoords=at, ha="center")
                panel.set_title(_letter(number))
        if row.name != "inferred":
            continue
        bar = axes[:2] if len(rows) > 1 else axes
        figure.colorbar(drawn, ax=bar, label=f"{label} ({row.unit.name})", aspect=24, pad=0.02)
    if len(rows) > 1:
        name = f"difference ({rows[-1].unit.name})"
        figure.colorbar(drawn, ax=axes[-1], label=name, aspect=12, pad=0.02)
    axes[-1, 0].set_xlabel(f"{'xyz'[axis]} ({metre.name})")


def _letter(number: int) -> str:
    return {1: "A", 3: "B"}[number]


def _lengthwise(axes: Axes, cut: Sheets, row: Row, axis: int, metre: Unit) -> Any:
    """The cut along the vessel, with the direction of the flow."""
    for number, sheet in enumerate(cut.lengthwise):
        along, out = sheet.points[..., axis] * metre.factor, sheet.across * metre.factor
        drawn = axes.pcolormesh(
            along,
            out,
            row.values[number] * row.unit.factor,
            shading="gouraud",
            cmap=row.colours,
            norm=row.norm,
            rasterized=True,
        )
        if row.velocity is None:
            continue
        places = np.ix_(_spread(along.shape[0], ARROWS_ALONG), _spread(along.shape[1], ARROWS_OUT))
        forward = row.velocity[number][..., axis][places]
        axes.quiver(
            along[places],
            out[places],
            forward / row.limits[1],
            np.zeros_like(forward),
            color="white",
            scale=1.6 * ARROWS_ALONG,
            width=0.004,
            pivot="mid",
        )
    return drawn


def _spread(count: int, wanted: int) -> Any:
    """Numbers in the middle of `wanted` equal parts of a range."""
    return np.linspace(0, count - 1, 2 * wanted + 1)[1::2].astype(int)


def _section(axes: Axes, cut: Sheets, number: int, row: Row, axis: int) -> None:
    points = cut.sections[number].points
    first, second = (points[..., i] for i in across(axis))
    axes.pcolormesh(
        first,
        second,
        row.values[len(cut.lengthwise) + number] * row.unit.factor,
        shading="gouraud",
        cmap=row.colours,
        norm=row.norm,
        rasterized=True,
    )
    width = np.ptp(first, axis=0)
    for rim in (-1, 0):
        # In a single lumen the inmost line is next to the centre: no wall.
        if width[rim] > 0.02 * width[-1]:
            axes.plot(first[:, rim], second[:, rim], color="0.25", lw=0.8)
    axes.set_aspect("equal")
    axes.set_axis_off()
