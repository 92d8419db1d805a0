"""The inferred flow at the points of a table."""

from __future__ import annotations

from pathlib import Path

from aiv_rba.fields.flow import open_flow
from aiv_rba.fields.probe import probe
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.results import Results
from aiv_rba.files.tables import read_table
from aiv_rba.settings.ranks import Device
from aiv_rba.terminal import say


def probe_points(
    results: Results, points: Path, out: Path | None = None, device: Device = "auto"
) -> None:
    """Write the answers at the points of a table as CSV, in the order of its rows.

    Parameters
    ----------
    results
        A finished experiment.
    points
        CSV or npz file with the columns t (s), x, y, z (m); a steady flow needs no t.
    out
        CSV file to write; by default it has the name of `points` in the results' folder `probe`.
    device
        Where the network is evaluated.

    Raises
    ------
    UserError
        If a file is missing or damaged, or the table has other columns.
    """
    flow = open_flow(results.folder, device=device)
    position = ("x", "y", "z")
    steady = flow.case.flow == "steady"
    table = read_table(points, position if steady else ("t", *position), ("t",) if steady else ())
    answers = probe(flow, table)
    path = results.probe(points.stem) if out is None else out
    with atomic_path(path) as temporary:
        answers.to_csv(temporary, index=False)
    outside = int((answers["inside"] == 0).sum())
    say(f"probe: {len(answers)} points in {path}, {outside} of them outside the vessel")
