"""Readers of tracks, one for each format; all return a table of named columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aiv_rba.errors import UserError
from aiv_rba.paths import check_file, is_folder
from aiv_rba.settings.ingest import Format
from aiv_rba.stages.ingest.readers.arrays import (
    read_flowtracks,
    read_matlab,
    read_npz,
    read_parquet,
)
from aiv_rba.stages.ingest.readers.openptv import read_openptv
from aiv_rba.stages.ingest.readers.raw import RawTable
from aiv_rba.stages.ingest.readers.tecplot import read_tecplot
from aiv_rba.stages.ingest.readers.text import (
    MYPTV,
    TRACKMATE,
    TextStyle,
    cells_of,
    first_line,
    read_csv,
    read_myptv,
    read_trackmate_csv,
    read_trackpy,
)
from aiv_rba.stages.ingest.readers.trackmate_xml import read_trackmate_xml

Reader = Callable[[Path, TextStyle], RawTable]


def _read_trackmate(path: Path, style: TextStyle) -> RawTable:
    reader = read_trackmate_xml if _starts_with(path, b"<") else read_trackmate_csv
    return reader(path, style)


READERS: dict[Format, Reader] = {
    "csv": read_csv,
    "trackpy": read_trackpy,
    "trackmate": _read_trackmate,
    "openptv": read_openptv,
    "flowtracks": read_flowtracks,
    "myptv": read_myptv,
    "davis": read_tecplot,
    "tecplot": read_tecplot,
    "matlab": read_matlab,
    "npz": read_npz,
    "parquet": read_parquet,
}
_EXTENSIONS: dict[str, Format] = {
    ".mat": "matlab",
    ".npz": "npz",
    ".parquet": "parquet",
    ".xml": "trackmate",
    ".h5": "flowtracks",
    ".hdf5": "flowtracks",
}
_BYTES: dict[bytes, Format] = {
    b"\x89HDF": "flowtracks",
    b"PK\x03\x04": "npz",
    b"PAR1": "parquet",
    b"<?xml": "trackmate",
    b"MATLAB": "matlab",
}


def read_raw(path: Path, format: Format, style: TextStyle) -> tuple[Format, RawTable]:
    """The table of a file, and its format, which is found out if it is ``auto``.

    Raises
    ------
    UserError
        If the file is missing or damaged.
    """
    if format == "openptv" and not is_folder(path):
        found = "is a file" if path.exists() else "not found"
        raise UserError(f"{path}: {found}, expected a folder of the format openptv")
    if format not in ("auto", "openptv") or not is_folder(path):
        zipped = ["ZIP"] if "npz" in (format, path.suffix.lower().removeprefix(".")) else []
        check_file(path, "a file of tracks", may_be=[*zipped, *style.may_be])
    kind = find_format(path, style) if format == "auto" else format
    return kind, READERS[kind](path, style)


def find_format(path: Path, style: TextStyle) -> Format:
    """The format of a file, by its extension, its first bytes and its first line."""
    if is_folder(path):
        return "openptv"
    if path.suffix.lower() in _EXTENSIONS:
        return _EXTENSIONS[path.suffix.lower()]
    for start, kind in _BYTES.items():
        if _starts_with(path, start):
            return kind
    line = first_line(path, style, "a CSV file of tracks")
    if line.lstrip().upper().startswith(("TITLE", "VARIABLES", "#")):
        return "tecplot"
    cells = cells_of(line, style.pattern(line))
    if {TRACKMATE["x"][0], TRACKMATE["track"][0]} <= set(cells):
        return "trackmate"
    if {"particle", "frame", "x", "y"} <= set(cells) and "track" not in cells:
        return "trackpy"
    if len(cells) in map(len, MYPTV) and all(map(_is_number, cells)):
        return "myptv"
    return "csv"


def _starts_with(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
