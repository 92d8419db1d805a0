"""Write the tables of a finished plan as CSV, and a page with them and the figures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from aiv_rba.fields.flow import open_flow
from aiv_rba.files.formats import atomic_path
from aiv_rba.pages import Figure, Section, Table, render
from studies.study import figures
from studies.study.markdown import COLUMNS, benefit_text, cell, with_spread
from studies.study.plan import FOLDER, WORDS, Comparison, Run, data, load_plan, runs_of
from studies.study.tables import tables


def as_table(title: str, table: pd.DataFrame) -> Table:
    """A table of the page; numbers with three digits."""
    rows = [tuple(map(cell, row)) for row in table.itertuples(index=False)]
    return Table(title, rows, tuple(map(str, table.columns)))


def page(plan: list[Comparison], found: dict[str, pd.DataFrame]) -> str:
    """The page, HTML."""
    schemes = plan[0]
    sections = [
        Section(
            "Errors",
            notes=("Relative errors in percent, mean and standard deviation over seeds.",),
            tables=tuple(
                as_table(WORDS[str(name)], with_spread(part, COLUMNS))
                for name, part in found["all"].groupby("optimiser", sort=False)
            ),
        ),
        Section(
            "Does attention help?",
            notes=(
                "Errors with multipliers over those of equal multipliers, seed by seed: geometric "
                "mean and its 95 percent interval. Below one, multipliers help.",
            ),
            tables=(as_table("", benefit_text(found["benefit"])),),
        ),
        Section("Convergence (Fig. 7)", figures=_convergence(plan)),
        Section("Multipliers (Fig. A.11)", figures=_multipliers(plan)),
        Section("What the multipliers single out", tables=(as_table("", found["multipliers"]),)),
        Section("Fields (Figs. 6 and A.13)", figures=_fields(schemes)),
        Section("Data and points (Figs. 5 and A.12)", figures=_data(plan)),
        Section(
            "Settings and costs (Tables A.11 to A.13)",
            tables=tuple(
                as_table(name, found[name]) for name in ("table_a11", "table_a12", "table_a13")
            ),
        ),
        Section("Largest errors", tables=(as_table("", found["largest_errors"]),), folded=True),
    ]
    return render("What residual-based attention contributes on tracks", sections)


def _convergence(plan: list[Comparison]) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            figures.convergence(comparison, twin, optimiser),
            f"{comparison.name}, {twin}, {WORDS[optimiser]}: means over seeds; the shade reaches "
            "from the smallest to the largest error.",
        )
        for comparison in plan
        for twin in comparison.twins
        for optimiser in dict.fromkeys(v.split("-")[0] for v in comparison.variants)
    )


def _with_rows(plan: list[Comparison]) -> list[Run]:
    """Runs of the first seeds whose rows have multipliers."""
    found: dict[tuple[str, str], Run] = {}
    for run in runs_of(plan):
        if "navier_stokes" in json.loads(run.measures.read_text())["attention"]:
            found.setdefault((run.twin, run.variant), run)
    return list(found.values())


def _multipliers(plan: list[Comparison]) -> tuple[Figure, ...]:
    runs = _with_rows(plan)
    shown = [Figure(figures.evolution([run]), f"{run.twin}, {run.variant}.") for run in runs]
    shown += [
        Figure(
            figures.attention_maps(run, open_flow(run.results.folder)),
            f"{run.twin}, {run.variant}: multipliers of rows of the tracks, and of groups.",
        )
        for run in runs
    ]
    return tuple(shown)


def _fields(schemes: Comparison) -> tuple[Figure, ...]:
    """The first run of the last variant of each optimiser that has attention."""
    shown = []
    for optimiser in dict.fromkeys(variant.split("-")[0] for variant in schemes.variants):
        own = [v for v in schemes.variants if v.startswith(optimiser) and "rba" in v]
        for variant in own[-1:]:
            run = Run(schemes.twins[0], variant, schemes.seeds[0])
            flow = open_flow(run.results.folder)
            found = json.loads(run.measures.read_text())["histograms"]
            shown += [
                Figure(figures.fields(flow), f"{variant}: fields at three phases (Fig. 6c)."),
                Figure(
                    figures.fields(flow, figures.MORE_PHASES),
                    f"{variant}: fields at three more phases (Fig. A.13).",
                ),
                Figure(figures.histograms(found), f"{variant}: held-out rows (Fig. 6d)."),
            ]
    return tuple(shown)


def _data(plan: list[Comparison]) -> tuple[Figure, ...]:
    twins = dict.fromkeys(twin for comparison in plan for twin in comparison.twins)
    return tuple(
        Figure(path.read_bytes(), f"{twin}: {what}.")
        for twin in twins
        for path, what in (
            (data(twin).tracks_picture, "tracks in the wall"),
            (data(twin).groups_picture, "collocation points in training groups"),
        )
    )


def main() -> int:
    """Write tables, figures and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="name of the plan")
    name = parser.parse_args().plan
    plan = load_plan(name)
    found = tables(plan)
    folder = Path(FOLDER / name)
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for table, values in found.items():
        with atomic_path(folder / "tables" / f"{table}.csv") as path:
            values.to_csv(path, index=False, float_format="%.6g")
    with atomic_path(folder / "report.html") as path:
        path.write_text(page(plan, found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
