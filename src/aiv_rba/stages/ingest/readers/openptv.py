"""Folders of OpenPTV with a file of linked particles for every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from aiv_rba.errors import UserError
from aiv_rba.files.formats import IntArray
from aiv_rba.stages.ingest.readers.raw import UNLINKED, RawTable, numbered
from aiv_rba.stages.ingest.readers.text import TextStyle

COLUMNS = ("previous", "next", "x", "y", "z")


def frames(folder: Path) -> list[tuple[int, Path]]:
    """Numbers and files of the frames, in order."""
    found = [(path.suffix[1:], path) for path in folder.glob("ptv_is.*")]
    return sorted((int(number), path) for number, path in found if number.isdigit())


def read_openptv(path: Path, style: TextStyle) -> RawTable:
    """The files ptv_is.<frame> of a folder: previous, next, x, y, z after a line with their number.

    A particle continues the track of its previous one, whose place in the frame before is given.
    One that has neither a previous nor a next one belongs to no track.

    Raises
    ------
    UserError
        If there are no such files, or one is damaged.
    """
    del style
    found = frames(path)
    if not found:
        raise UserError(
            f"{path}: is a folder without files ptv_is.<frame>, expected a file of tracks, or a "
            "folder of the format openptv"
        )
    tables: list[pd.DataFrame] = []
    before, last, tracks = np.empty(0, dtype=np.int64), None, 0
    for frame, file in found:
        rows = _rows(file)
        previous = rows[:, 0].astype(np.int64)
        if last is None or frame != last + 1:
            before = np.empty(0, dtype=np.int64)
        track, tracks = _continued(previous, before, tracks)
        single = (previous < 0) & (rows[:, 1] < 0)
        tables.append(
            pd.DataFrame(
                {
                    "frame": np.full(len(rows), frame),
                    "track": np.where(single, UNLINKED, track),
                    **dict(zip("xyz", rows[:, 2:].T, strict=True)),
                }
            )
        )
        before, last = track, frame
    table = pd.concat(tables, ignore_index=True)
    return RawTable(table, numbered(table), header="ptv_is files", measures_velocity=False)


def _continued(previous: IntArray, before: IntArray, tracks: int) -> tuple[IntArray, int]:
    """Track numbers of a frame, from those of the one before; and how many there are then."""
    linked = (previous >= 0) & (previous < len(before))
    track = np.empty(len(previous), dtype=np.int64)
    track[linked] = before[previous[linked]]
    track[~linked] = tracks + np.arange(np.sum(~linked))
    return track, tracks + int(np.sum(~linked))


def _rows(file: Path) -> np.ndarray:
    """(N, 5) numbers of a file, as many as its first line says."""
    try:
        lines = file.read_text(encoding="ascii").split("\n")
        count = int(lines[0])
        rows = np.array([line.split() for line in lines[1:] if line.strip()], dtype=np.float64)
    except (OSError, UnicodeError, ValueError, IndexError) as error:
        raise UserError(
            f"{file}: not a readable file of OpenPTV, whose lines are {', '.join(COLUMNS)}: {error}"
        ) from None
    rows = rows.reshape(len(rows), -1)
    if len(rows) != count or (count and rows.shape[1] != len(COLUMNS)):
        raise UserError(
            f"{file}: found {len(rows)} rows of {rows.shape[1]} columns, expected {count} of "
            f"{len(COLUMNS)}"
        )
    return rows.reshape(-1, len(COLUMNS))
