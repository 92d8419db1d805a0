"""Tables of a finished study as Markdown; with ``--docs`` those of docs/study.md are renewed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.measure import renew
from studies.study.numbers import TRUTH, VALIDATION
from studies.study.plan import WORDS, label, load_plan
from studies.study.tables import tables

COLUMNS = VALIDATION | TRUTH
PAGE = Path("docs/study.md")
# What the page shows of the schemes, and of the ratios.
SHOWN = {
    name: COLUMNS[name]
    for name in ("validation_v", "velocity", "w", "pressure", "wss", "flow_rate")
}
RATIOS = ["optimiser", "twin", "variant"] + [
    COLUMNS[name] for name in ("velocity", "pressure", "wss", "flow_rate")
]
COSTS = {"ms_per_step": "ms per iteration", "seconds": "seconds", "steps": "iterations"}
PLACES = {
    "field": "field",
    "error": "largest error",
    "worst": "in the worst seed",
    "seed": "worst seed",
    "x_mm": "x (mm)",
    "y_mm": "y (mm)",
    "z_mm": "z (mm)",
    "t_s": "t (s)",
    "hydraulic_radii_from_wall": "hydraulic radii from the wall",
}


def cell(value: object) -> str:
    """A value as text, numbers with three digits and nothing for what is missing."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}"
    return str(value)


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = ["| " + " | ".join(table.columns) + " |", "| --- " * len(table.columns) + "|"]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def with_spread(table: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Twin, variant, and columns as text under the names of the page.

    A column that has a spread is "mean ± standard deviation".
    """
    cells = {}
    for name, title in columns.items():
        if f"{name}_std" in table:
            cells[title] = list(map(_mean_and_spread, table[name], table[f"{name}_std"]))
        elif name in table:
            cells[title] = list(map(cell, table[name]))
    return pd.DataFrame({"twin": table["twin"], "variant": table["variant"]} | cells)


def _mean_and_spread(mean: float, spread: float) -> str:
    # One digit of the spread, without an exponent.
    return f"{mean:.3g}" if pd.isna(spread) else f"{mean:.3g} ± {float(f'{spread:.1g}'):g}"


def by_optimiser(table: pd.DataFrame, columns: dict[str, str]) -> dict[str, pd.DataFrame]:
    """Such a table for each optimiser, under its name."""
    return {
        WORDS[str(name)]: with_spread(part, columns)
        for name, part in table.groupby("optimiser", sort=False)
    }


def benefit_text(table: pd.DataFrame, bold: str = "") -> pd.DataFrame:
    """Ratios with their intervals, a row for each variant of each twin and way to compare.

    Parameters
    ----------
    table
        What `benefit` found.
    bold
        Stands on both sides of a ratio whose interval leaves out one.
    """
    cells = []
    for row in table.itertuples():
        mark = bold if row.high < 1 or row.low > 1 else ""
        interval = f" ({row.low:.2f} to {row.high:.2f})" if row.seeds > 1 else ""
        cells.append(f"{mark}{row.ratio:.2f}{mark}{interval}")
    shown = table.assign(
        cell=cells,
        error=[COLUMNS[name] for name in table["error"]],
        optimiser=[WORDS[name.split("-")[0]] for name in table["variant"]],
        variant=[label(name) for name in table["variant"]],
    )
    keys = ["comparison", "optimiser", "twin", "variant", "equal"]
    wide = shown.pivot_table(
        index=keys, columns="error", values="cell", aggfunc="first", sort=False
    )
    return wide.reset_index()


def page_blocks(found: Mapping[str, pd.DataFrame]) -> str:
    """The tables of docs/study.md: errors of the schemes, and ratios at equal iterations."""
    ratios = benefit_text(found["benefit"], bold="**")
    # Gauss-Newton, the default, comes first; its name comes last.
    ratios = ratios[ratios["equal"] == "iterations"].sort_values(
        "optimiser", ascending=False, kind="stable"
    )
    schemes = ratios["comparison"] == "schemes"
    attention = ratios["variant"].isin(["RBA", "RBA, WN"])
    errors = by_optimiser(found["table_5"], SHOWN)
    blocks = {
        "schemes_ratios": ratios.loc[schemes & attention, RATIOS],
        "schemes_gauss_newton": errors[WORDS["gauss_newton"]],
        "schemes_adam": errors[WORDS["adam"]],
        "variants_ratios": ratios.loc[~schemes, RATIOS],
    }
    return "\n".join(
        f"<!-- {name} -->\n{markdown(table)}\n<!-- end -->" for name, table in blocks.items()
    )


def main() -> int:
    """Print, and renew the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", nargs="?", default="full", help="name of the plan")
    parser.add_argument("--docs", action="store_true", help=f"renew the tables of {PAGE}")
    arguments = parser.parse_args()
    found = tables(load_plan(arguments.plan))
    if arguments.docs:
        renew([PAGE], page_blocks(found))
    shown = {
        "table_5": "Table 5, errors in percent",
        "table_6": "Table 6, errors in percent",
        "all": "All variants, errors in percent",
    }
    for name, title in shown.items():
        for optimiser, part in by_optimiser(found[name], COLUMNS).items():
            print(f"{title}, {optimiser}\n\n{markdown(part)}\n")
    for optimiser, part in by_optimiser(found["largest_by_variant"], PLACES).items():
        print(f"Largest errors, percent of the largest true value, {optimiser}\n")
        print(markdown(part) + "\n")
    print("Ratios of errors with and without multipliers\n")
    print(markdown(benefit_text(found["benefit"], bold="**")) + "\n")
    for name in ("table_a11", "table_a12"):
        print(f"{name}\n\n{markdown(found[name])}\n")
    for optimiser, part in by_optimiser(found["table_a13"], COSTS).items():
        print(f"table_a13, {optimiser}\n\n{markdown(part)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
