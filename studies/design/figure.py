"""The design curves in one figure: a panel for what changes, the same axis of error for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from studies.design.curves import Curve
from studies.design.experiments import FIELDS
from studies.design.tables import means, with_base

# Colours that colour-blind people can tell apart (Okabe & Ito 2008), and markers.
LOOKS: dict[str, dict[str, Any]] = {
    "velocity": {"color": "#0072B2", "marker": "o"},
    "pressure": {"color": "#D55E00", "marker": "s"},
    "wss": {"color": "#009E73", "marker": "^"},
    "flow_rate": {"color": "#CC79A7", "marker": "D"},
}
COLUMNS = 3
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def draw(table: pd.DataFrame, every: Sequence[Curve], path: Path) -> None:
    """Draw all curves; points are single seeds, lines join their means."""
    rows = -(-len(every) // COLUMNS)
    figure = Figure(figsize=(3.6 * COLUMNS, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for panel in panels.flat[len(every) :]:
        panel.set_visible(False)
    for panel, curve in zip(panels.flat, every, strict=False):
        draw_curve(panel, with_base(table, curve), curve)
    for panel in panels[:, 0]:
        panel.set_ylabel("relative L2 error, percent")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def draw_curve(panel: Axes, own: pd.DataFrame, curve: Curve) -> None:
    """Draw one curve; the dashed line is the base experiment."""
    places = [curve.base, *(point.at for point in curve.points)]
    named = any(isinstance(at, str) for at in places)
    place = {at: float(number if named else at) for number, at in enumerate(places)}
    panel.set_yscale("log")
    panel.set_xscale("log" if curve.logarithmic else "linear")
    panel.axvline(place[curve.base], color="0.6", linestyle="--", linewidth=1, label="base")
    mean = means(own)
    for number, (field, look) in enumerate(LOOKS.items()):
        # Named places lie far apart, and no line joins them.
        aside = 0.15 * (number - 1.5) if named else 0.0
        line = look | {"linestyle": "" if named else "-", "linewidth": 1.5, "markersize": 5}
        at = [place[value] + aside for value in mean.index]
        seeds = [place[value] + aside for value in own["at"]]
        panel.plot(seeds, 100 * own[field], **look, linestyle="", markersize=3)
        panel.plot(at, 100 * mean[field], **line, alpha=0.8, label=FIELDS[field])
    panel.set_xlabel(curve.label)
    shown = places if named else sorted({at for at in places if not isinstance(at, str)})
    panel.set_xticks([place[at] for at in shown], [f"{at}" if named else f"{at:g}" for at in shown])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.tick_params(axis="x", labelsize=7)
    panel.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    panel.yaxis.set_minor_locator(NullLocator())
    panel.grid(axis="y", color="0.9")
