"""The table and the page of a comparison; Tables 1 to 4, A.8 and A.10."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aiv_rba.files.formats import atomic_path
from aiv_rba.pages import Figure, Section, Table, render
from aiv_rba.settings import Comparison
from aiv_rba.validation.checks import Results

REPORTED = "reported by the paper"


def table(results: Results, compared: Comparison) -> pd.DataFrame:
    """Errors and costs by method; then those of the literature, reported only."""
    first = next(iter(results.values()))["milliseconds_per_iteration"]
    rows = {
        name: {
            "relative L2": found["mean"],
            "standard deviation": found["std"],
            "seeds": len(found["rel_l2"]),
            REPORTED: compared.methods[name].reported or float("nan"),
            "iterations": found["iterations"],
            "parameters": found["parameters"],
            "seconds": found["seconds"],
            "ms per iteration": found["milliseconds_per_iteration"],
            "relative to the first": found["milliseconds_per_iteration"] / first,
        }
        for name, found in results.items()
    }
    rows |= {name: {REPORTED: error} for name, error in compared.reported.items()}
    return pd.DataFrame(rows.values(), index=pd.Index(rows, name="method"))


def write_table(values: pd.DataFrame, path: Path) -> None:
    """As CSV."""
    with atomic_path(path) as temporary:
        values.to_csv(temporary, float_format="%.6g")


def write_page(
    title: str, values: pd.DataFrame, pictures: list[tuple[Path, str]], path: Path
) -> None:
    """Table and pictures as one page."""
    rows = [
        (str(name), *("" if pd.isna(value) else f"{value:.4g}" for value in row))
        for name, row in zip(values.index, values.itertuples(index=False), strict=True)
    ]
    figures = tuple(Figure(picture.read_bytes(), caption) for picture, caption in pictures)
    table = Table("", rows, ("method", *values.columns))
    page = render(
        title, [Section("Errors and costs", tables=(table,)), Section("Pictures", figures=figures)]
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
