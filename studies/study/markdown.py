"""Print the tables of a finished study as Markdown, for docs/study.md."""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from studies.study.numbers import TRUTH, VALIDATION
from studies.study.plan import WORDS, label, load_plan
from studies.study.tables import tables

COLUMNS = VALIDATION | TRUTH
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
    return f"{mean:.3g}" if pd.isna(spread) else f"{mean:.3g} ± {spread:.1g}"


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


def main() -> int:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", nargs="?", default="full", help="name of the plan")
    found = tables(load_plan(parser.parse_args().plan))
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
