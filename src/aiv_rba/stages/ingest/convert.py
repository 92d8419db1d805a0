"""Tracks of any format as plain CSV, for a person to look at."""

from __future__ import annotations

from pathlib import Path

from aiv_rba.files.formats import atomic_path
from aiv_rba.settings import ReadingSettings
from aiv_rba.stages.ingest.columns import WHOLE, read_columns
from aiv_rba.terminal import say

ORDER = ("track", "plane", "frame", "t", "x", "y", "z", "z_plane", "u", "v", "w")


def convert(
    files: tuple[Path, ...], settings: ReadingSettings, out: Path, *, complete: bool = True
) -> None:
    """Write the rows that the ingestion would read, in the units of the files.

    Parameters
    ----------
    files
        Files of tracks, or folders.
    settings
        How they are read.
    out
        CSV file to write.
    complete
        Whether times, depths and velocities must be there as the ingestion needs them.

    Raises
    ------
    UserError
        At the first column or row that is wrong.
    """
    columns = read_columns(files, settings, complete=complete)
    table = columns.table
    table = table.astype({name: int for name in WHOLE if name in table})
    others = [name for name in table if name not in ORDER]
    table = table[[*(name for name in ORDER if name in table), *others]]
    with atomic_path(out) as temporary:
        table.to_csv(temporary, index=False)
    for note in columns.notes:
        say(note)
    say(f"{len(table)} rows of {table['track'].nunique()} tracks in {out}")
