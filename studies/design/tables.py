"""The errors of the experiments as tables: one row each, means over seeds, and what dominates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from studies.calibration import markdown
from studies.design.curves import Curve
from studies.design.experiments import BASE, FIELDS

FIGURE = """```{figure} images/design.png
:alt: Errors of velocity, pressure, stress and flow rate, in a panel for everything that changes.

Relative L2 errors over what is changed. The dashed line is the base experiment.
```"""


def with_base(table: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    """The experiments of a curve and the base one, where it lies on the axis of the curve."""
    base = table[table["curve"] == BASE].assign(at=curve.base)
    own = pd.concat([base, table[table["curve"] == curve.name]])
    return own[own["velocity"].notna()] if "velocity" in own else own.iloc[:0]


def means(own: pd.DataFrame) -> pd.DataFrame:
    """Mean errors over the seeds, by place on the axis; numbers in ascending order."""
    fields = list(FIELDS)
    return own.groupby("at", sort=in_order(own["at"]))[fields].mean()


def in_order(places: Iterable[object]) -> bool:
    """Whether places on an axis are numbers, which have an order."""
    return not any(isinstance(place, str) for place in places)


def errors_table(table: pd.DataFrame, every: Sequence[Curve]) -> str:
    """Errors of every experiment in percent, as a Markdown table.

    Where there are several seeds, their mean, with the smallest and the largest in parentheses.
    """
    header = ["what changes", "", *FIELDS.values(), "verdict", "rows", "tracks", "seeds"]
    labels = {BASE: "nothing"} | {curve.name: curve.label for curve in every}
    rows = []
    parts = [
        (name, at, group)
        for name, own in table.groupby("curve", sort=False)
        for at, group in own.groupby("at", sort=in_order(own["at"]))
    ]
    for name, at, group in parts:
        value = "" if name == BASE else f"{at}"
        done = group[group["velocity"].notna()] if "velocity" in group else group.iloc[:0]
        if done.empty:
            rows.append([labels[name], value, f"failed: {group['failed'].iloc[0]}", *[""] * 7])
            continue
        rows.append(
            [
                labels[name],
                value,
                *(spread(100 * done[field]) for field in FIELDS),
                ", ".join(dict.fromkeys(done["verdict"])),
                *(f"{done[count].mean():.0f}" for count in ("rows", "tracks")),
                f"{len(done)}",
            ]
        )
    return markdown(header, rows)


def spread(percent: Sequence[float]) -> str:
    """The mean of seeds, and the smallest and the largest."""
    values = pd.Series(percent)
    mean, least, most = map(two_digits, (values.mean(), values.min(), values.max()))
    return mean if len(values) == 1 else f"{mean} ({least} to {most})"


def two_digits(value: float) -> str:
    """A number with two digits, without an exponent."""
    return f"{float(f'{value:.2g}'):g}"


def dominating_table(table: pd.DataFrame, every: Sequence[Curve]) -> str:
    """Largest mean error on every curve over that of the base experiment, and where, as Markdown.

    The curve with the largest error of the velocity comes first.
    """
    found: list[tuple[float, list[str]]] = []
    for curve in every:
        mean = means(with_base(table, curve))
        if curve.base not in mean.index or len(mean) < 2:
            continue
        ratio: Any = mean.drop(curve.base) / mean.loc[curve.base]
        worst = {field: ratio[field].idxmax() for field in FIELDS}
        cells = [
            f"{two_digits(ratio[field].max())} at {at if isinstance(at, str) else f'{at:g}'}"
            for field, at in worst.items()
        ]
        found.append((float(ratio["velocity"].max()), [curve.label, *cells]))
    found.sort(key=lambda one: -one[0])
    return markdown(["what changes", *FIELDS.values()], [cells for _, cells in found])


def page_blocks(table: pd.DataFrame, every: Sequence[Curve]) -> str:
    """Figure and tables of the page of the manual, each between two comments."""
    blocks = {
        "figure": FIGURE,
        "dominating": dominating_table(table, every),
        "errors": errors_table(table, every),
    }
    return "\n\n".join(f"<!-- {name} -->\n{text}\n<!-- end -->" for name, text in blocks.items())
