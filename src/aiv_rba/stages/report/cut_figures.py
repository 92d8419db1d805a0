"""Speed and pressure on cuts by coordinate planes, beside the truth where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.tri import Triangulation

from aiv_rba.geometry import across, apart
from aiv_rba.stages.report.cuts import Cut
from aiv_rba.stages.report.field_figures import Row, halves_of
from aiv_rba.stages.report.phases import Phase
from aiv_rba.stages.report.sampling import SampledFlow
from aiv_rba.stages.report.style import WIDTH, image, styled
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.units import Unit, unit_for

# Width that all panels of a row share, and the largest height of a row, inches.
PANELS, HIGHEST = 0.8 * WIDTH, 3.2
# Arrows along the longest side of a cut.
ARROWS = 14


def cuts_at(
    cuts: list[Cut], flows: list[SampledFlow], phase: Phase, truth: TrueFields | None
) -> bytes:
    """Speed with arrows, and below it pressure, on every cut.

    Rows: inferred and, where it is known, the truth and the difference.
    """
    parts = halves_of([cut.points for cut in cuts], flows, phase, truth)
    sizes = np.array([np.ptp(cut.points[:, _plane_of(cut)], axis=0) for cut in cuts])
    height = min(HIGHEST, PANELS * sizes[:, 1].max() / sizes[:, 0].sum())
    lines = len(parts["speed"])
    with styled():
        figure = plt.figure(
            figsize=(WIDTH, 2 * (0.8 + lines * (height + 0.25))), layout="constrained"
        )
        metre = unit_for("length", float(sizes.max()) / 4)
        halves: Any = figure.subfigures(2, 1, hspace=0.03)
        for part, (label, rows) in zip(halves, parts.items(), strict=True):
            part.suptitle(label, fontweight="bold", fontsize=11)
            _draw(part, cuts, rows, label, metre)
        return image(figure)


def _plane_of(cut: Cut) -> list[int]:
    """The coordinates across and up in the picture of a cut: the longer side lies across."""
    pair = sorted(across(cut.normal))
    return sorted(pair, key=lambda i: -float(np.ptp(cut.points[:, i])))


def _draw(figure: Any, cuts: list[Cut], rows: list[Row], label: str, metre: Unit) -> None:
    widths = [float(np.ptp(cut.points[:, _plane_of(cut)[0]])) for cut in cuts]
    axes = figure.subplots(len(rows), len(cuts), squeeze=False, width_ratios=widths)
    for line, row in zip(axes, rows, strict=True):
        for number, (panel, cut) in enumerate(zip(line, cuts, strict=True)):
            drawn = _panel(panel, cut, number, row, metre)
            # As many ticks as there is room for.
            panel.locator_params("x", nbins=2 + round(6 * widths[number] / sum(widths)))
            first, second = ("xyz"[i] for i in _plane_of(cut))
            panel.set_ylabel(f"{second} ({metre.name})")
            panel.tick_params(labelbottom=row is rows[-1])
            if row is rows[-1]:
                panel.set_xlabel(f"{first} ({metre.name})")
            if row is rows[0]:
                panel.set_title(f"{'xyz'[cut.normal]} = {metre.text(cut.place)}")
        if len(rows) > 1:
            line[0].set_ylabel(f"{row.name}\n{line[0].get_ylabel()}")
        # The truth has the colours of the inferred field.
        if row.name != "truth":
            together = axes[:2] if len(rows) > 1 and row.name == "inferred" else line
            name = "difference" if row.name == "difference" else label
            bar = f"{name} ({row.unit.name})"
            figure.colorbar(drawn, ax=list(np.ravel(together)), label=bar, aspect=20, pad=0.02)


def _panel(axes: Axes, cut: Cut, number: int, row: Row, metre: Unit) -> Any:
    plane = _plane_of(cut)
    at = cut.points[:, plane] * metre.factor
    drawn = axes.tripcolor(
        Triangulation(at[:, 0], at[:, 1], cut.triangles),
        row.values[number] * row.unit.factor,
        shading="gouraud",
        cmap=row.colours,
        norm=row.norm,
        rasterized=True,
    )
    axes.add_collection(LineCollection(list(at[cut.rim]), colors="0.25", linewidths=0.8))
    axes.set_aspect("equal")
    axes.locator_params("y", nbins=5)
    if row.velocity is not None:
        spacing = float(np.ptp(at, axis=0).max()) / ARROWS
        places = apart(cut.points * metre.factor, spacing)
        arrows = row.velocity[number][places][:, plane] / row.limits[1]
        axes.quiver(
            *at[places].T,
            *(arrows * 1.2 * spacing).T,
            angles="xy",
            scale_units="xy",
            scale=1,
            color="white",
            width=0.004,
        )
    return drawn
