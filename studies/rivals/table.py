"""Errors of all rivals that have been run, as CSV, JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from studies.calibration import markdown
from studies.design.tables import two_digits

QUANTITIES = (
    *("velocity", "u", "v", "w", "pressure", "vorticity", "wss", "wss_magnitude", "flow_rate"),
    *("pressure_drop", "resistance"),
)


def write_tables(folder: Path, rivals: Sequence[str]) -> str:
    """Write <folder>.csv and <folder>.json of the outcomes in a folder; the Markdown table.

    Rivals of a twin are in the order of their error of the velocity.

    Parameters
    ----------
    folder
        Holds <twin>/<rival>.json.
    rivals
        Names of those that the table may have.
    """
    found = {
        (path.parent.name, path.stem): json.loads(path.read_text())
        for path in folder.glob("*/*.json")
        if path.stem in rivals
    }
    twins = sorted({twin for twin, _ in found})
    rows = sorted(found, key=lambda row: (row[0], found[row]["errors"]["velocity"]))
    table = pd.DataFrame(
        [
            {
                **{name: found[row]["errors"].get(name) for name in QUANTITIES},
                "seconds": found[row]["seconds"],
                "knows": found[row]["knows"],
            }
            for row in rows
        ],
        index=pd.MultiIndex.from_tuples(rows, names=["twin", "rival"]),
        columns=[*QUANTITIES, "seconds", "knows"],
    )
    table.to_csv(folder.with_suffix(".csv"))
    nested = {twin: {r: found[twin, r] for t, r in rows if t == twin} for twin in twins}
    folder.with_suffix(".json").write_text(json.dumps(nested, indent=2) + "\n")
    return errors_table(table)


def errors_table(table: pd.DataFrame) -> str:
    """Errors in percent, processor seconds and what each method must know, as Markdown."""
    titles = [name.replace("_", " ") for name in QUANTITIES]
    rows = []
    for (twin, rival), row in table.iterrows():
        errors = ["" if pd.isna(e) else two_digits(100 * e) for e in row[list(QUANTITIES)]]
        rows.append([twin, f"`{rival}`", *errors, f"{row.seconds:,.0f}", row.knows])
    return markdown(["twin", "method", *titles, "seconds", "must know"], rows)
