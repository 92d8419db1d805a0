"""Write the tables of a finished plan as CSV, its figures as PNG, and a page with both."""

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
from studies.study.markdown import COLUMNS, PLACES, benefit_text, by_optimiser, cell
from studies.study.plan import (
    FOLDER,
    WORDS,
    Comparison,
    Run,
    data,
    experiment,
    load_plan,
    runs_of,
)
from studies.study.tables import tables


def as_table(title: str, table: pd.DataFrame) -> Table:
    """A table of the page; numbers with three digits."""
    rows = [tuple(map(cell, row)) for row in table.itertuples(index=False)]
    return Table(title, rows, tuple(map(str, table.columns)))


def page(found: dict[str, pd.DataFrame], drawn: dict[str, dict[str, Figure]]) -> str:
    """The page, HTML.

    Parameters
    ----------
    found
        Tables by the names of their files.
    drawn
        Figures by the titles of their sections and the names of their files.
    """

    def errors(name: str, columns: dict[str, str] = COLUMNS) -> tuple[Table, ...]:
        parts = by_optimiser(found[name], columns)
        return tuple(as_table(title, part) for title, part in parts.items())

    sections = [
        Section(
            "Table 5: schemes of multipliers",
            notes=(
                "Relative errors in percent, mean and standard deviation over seeds: on held-out "
                "rows of the tracks, and against the truth. The floors are what the true flow "
                "itself has on the held-out rows, which have noise and mismatches.",
            ),
            tables=errors("table_5"),
        ),
        Section(
            "Table 6: ablation with Adam",
            notes=("As Table 5, without and with weight normalisation and attention.",),
            tables=errors("table_6"),
        ),
        Section(
            "Largest errors",
            notes=(
                "In percent of the largest true value: mean and standard deviation over seeds, and "
                "the value, the place and the time of the seed that has the largest.",
            ),
            tables=errors("largest_by_variant", PLACES),
        ),
        Section(
            "Does attention help?",
            notes=(
                "Errors with multipliers over those of equal multipliers, seed by seed: geometric "
                "mean and its 95 percent interval. Below one, multipliers help.",
                "At equal iterations both runs are at their ends. At equal wall time both are "
                "looked at when the one that is sooner at its end is there.",
            ),
            tables=(as_table("", benefit_text(found["benefit"])),),
        ),
        Section("What the multipliers single out", tables=(as_table("", found["multipliers"]),)),
        *(Section(title, figures=tuple(figs.values())) for title, figs in drawn.items()),
        Section(
            "Settings and costs (Tables A.11 to A.13)",
            tables=tuple(
                as_table(name, found[name]) for name in ("table_a11", "table_a12", "table_a13")
            ),
        ),
        Section("Errors of all variants", tables=errors("all"), folded=True),
        Section(
            "Largest errors of every run",
            tables=(as_table("", found["largest_errors"]),),
            folded=True,
        ),
    ]
    return render("What residual-based attention contributes on tracks", sections)


def figures_of(plan: list[Comparison]) -> dict[str, dict[str, Figure]]:
    """Figures by the titles of their sections and the names of their files."""
    return {
        "Convergence (Fig. 7)": _convergence(plan),
        "Multipliers along the training (Fig. A.11)": {
            f"fig_a11_multipliers_{run.twin}_{run.variant}": Figure(
                figures.evolution([run]), f"{run.twin}, {run.variant}."
            )
            for run in _with_rows(plan)
        },
        "Maps of the multipliers": {
            f"maps_of_multipliers_{run.twin}_{run.variant}": Figure(
                figures.attention_maps(run, open_flow(run.results.folder)),
                f"{run.twin}, {run.variant}: multipliers of rows of the tracks, and of groups.",
            )
            for run in _with_rows(plan)
        },
        "Fields (Figs. 6 and A.13)": _fields(plan[0]),
        "Data and points (Figs. 5 and A.12)": _data(plan),
    }


def _convergence(plan: list[Comparison]) -> dict[str, Figure]:
    return {
        f"fig_7_convergence_{comparison.name}_{twin}_{optimiser}": Figure(
            figures.convergence(comparison, twin, optimiser),
            f"{comparison.name}, {twin}, {WORDS[optimiser]}: means over seeds; the shade reaches "
            "from the smallest to the largest error.",
        )
        for comparison in plan
        for twin in comparison.twins
        for optimiser in dict.fromkeys(v.split("-")[0] for v in comparison.variants)
    }


def _with_rows(plan: list[Comparison]) -> list[Run]:
    """Runs of the first seeds whose rows have multipliers."""
    found: dict[tuple[str, str], Run] = {}
    for run in runs_of(plan):
        if "navier_stokes" in json.loads(run.measures.read_text())["attention"]:
            found.setdefault((run.twin, run.variant), run)
    return list(found.values())


def _fields(schemes: Comparison) -> dict[str, Figure]:
    """The first run of the last variant of each optimiser that has attention."""
    shown: dict[str, Figure] = {}
    twin, seed = schemes.twins[0], schemes.seeds[0]
    truth = Path(experiment(twin)["score"]["truth"])
    for optimiser in dict.fromkeys(variant.split("-")[0] for variant in schemes.variants):
        own = [v for v in schemes.variants if v.startswith(optimiser) and "rba" in v]
        for variant in own[-1:]:
            run = Run(twin, variant, seed)
            flow = open_flow(run.results.folder)
            found = json.loads(run.measures.read_text())["histograms"]
            beside = "inferred fields beside the true ones at three"
            shown |= {
                f"fig_6c_fields_{twin}_{variant}": Figure(
                    figures.fields(flow, truth), f"{variant}: {beside} phases (Fig. 6c)."
                ),
                f"fig_a13_fields_{twin}_{variant}": Figure(
                    figures.fields(flow, truth, figures.MORE_PHASES),
                    f"{variant}: {beside} more phases (Fig. A.13).",
                ),
                f"fig_6d_histograms_{twin}_{variant}": Figure(
                    figures.histograms(found), f"{variant}: held-out rows (Fig. 6d)."
                ),
            }
    return shown


def _data(plan: list[Comparison]) -> dict[str, Figure]:
    twins = dict.fromkeys(twin for comparison in plan for twin in comparison.twins)
    return {
        f"{name}_{twin}": Figure(path.read_bytes(), f"{twin}: {what}.")
        for twin in twins
        for name, path, what in (
            ("fig_5_tracks", data(twin).tracks_picture, "tracks in the wall"),
            (
                "fig_a12_groups",
                data(twin).groups_picture,
                "collocation points in training groups",
            ),
        )
    }


def main() -> int:
    """Write tables, figures and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="name of the plan")
    name = parser.parse_args().plan
    plan = load_plan(name)
    found, drawn = tables(plan), figures_of(plan)
    folder = FOLDER / name
    for kind in ("tables", "figures"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for table, values in found.items():
        with atomic_path(folder / "tables" / f"{table}.csv") as path:
            values.to_csv(path, index=False, float_format="%.6g")
    for figs in drawn.values():
        for title, figure in figs.items():
            with atomic_path(folder / "figures" / f"{title}.png") as path:
                path.write_bytes(figure.image)
    with atomic_path(folder / "report.html") as path:
        path.write_text(page(found, drawn), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
