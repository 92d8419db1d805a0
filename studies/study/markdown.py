"""Print the tables of a finished study as Markdown, for docs/study.md."""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from studies.study.numbers import TRUTH, VALIDATION
from studies.study.plan import WORDS, label, load_plan
from studies.study.tables import tables

COLUMNS = VALIDATION | TRUTH
# Rows of the benefit that the page shows.
SHOWN = ("validation_v", "truth_velocity", "truth_pressure", "wss")


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
    """Text "mean ± standard deviation" under the names of the page."""
    known = {name: title for name, title in columns.items() if name in table}
    cells = {
        title: [
            f"{mean:.3g}" if pd.isna(spread) else f"{mean:.3g} ± {spread:.1g}"
            for mean, spread in zip(table[name], table[f"{name}_std"], strict=True)
        ]
        for name, title in known.items()
    }
    return pd.DataFrame({"twin": table["twin"], "variant": table["variant"]} | cells)


def benefit_text(table: pd.DataFrame) -> pd.DataFrame:
    """Ratios with their intervals, one row for each variant of each twin."""
    shown = table[table["error"].isin(SHOWN)]
    cell = [
        f"{row.ratio:.2f}"
        if row.seeds < 2
        else f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})"
        for row in shown.itertuples()
    ]
    shown = shown.assign(
        cell=cell,
        optimiser=[WORDS[name.split("-")[0]] for name in shown["variant"]],
        variant=[label(name) for name in shown["variant"]],
    )
    keys = ["comparison", "twin", "optimiser", "variant", "equal"]
    wide = shown.pivot_table(
        index=keys, columns="error", values="cell", aggfunc="first", sort=False
    )
    return wide.reset_index().fillna("")


def main() -> int:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", nargs="?", default="full", help="name of the plan")
    plan = load_plan(parser.parse_args().plan)
    found = tables(plan)
    for optimiser, part in found["all"].groupby("optimiser", sort=False):
        print(f"{WORDS[optimiser]}, errors in percent\n\n{markdown(with_spread(part, COLUMNS))}\n")
    print("Ratios of errors with and without multipliers\n")
    print(markdown(benefit_text(found["benefit"])) + "\n")
    costs = {"ms_per_step": "ms per iteration", "seconds": "seconds", "steps": "iterations"}
    for name in ("table_a11", "table_a12"):
        print(f"{name}\n\n{markdown(found[name])}\n")
    part = found["table_a13"]
    print(markdown(pd.concat([part[["optimiser"]], with_spread(part, costs)], axis=1)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
