"""ASCII files of Tecplot with one row a point, as DaVis and the LPT challenges have them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from aiv_rba.errors import UserError
from aiv_rba.stages.ingest.readers.raw import PLAIN, RawTable
from aiv_rba.stages.ingest.readers.text import TextStyle

NAMES = PLAIN | {
    "t": ("t", "time", "solutiontime"),
    "frame": ("frame", "time step", "timestep", "snapshot", "zone"),
    "u": ("u", "vx"),
    "v": ("v", "vy"),
    "w": ("w", "vz"),
    "track": ("track", "track id", "trackid", "track_id", "particle id", "id"),
}
_NUMBER = re.compile(r"[-+.\d]|nan|inf", re.IGNORECASE)
_TIME = re.compile(r"\bSOLUTIONTIME\s*=\s*([^\s,]+)", re.IGNORECASE)
_VARIABLES = re.compile(r"^\s*VARIABLES\s*=", re.IGNORECASE)
_PACKED = re.compile(r"\b(?:DATAPACKING|F)\s*=\s*\"?BLOCK", re.IGNORECASE)


def read_tecplot(path: Path, style: TextStyle) -> RawTable:
    """All zones of a file, with their number and time as columns ZONE and SOLUTIONTIME.

    Raises
    ------
    UserError
        If the file has no VARIABLES, or its numbers do not fit them.
    """
    try:
        lines = path.read_text(encoding=style.codec).splitlines()
    except (OSError, UnicodeError, LookupError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    variables, zones, numbers, heads = "", [], [], True
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _NUMBER.match(line.lstrip()):
            numbers.append(number)
            heads = False
            continue
        if _PACKED.search(line):
            raise UserError(f"{path}: line {number}: found BLOCK, expected one row a point")
        if line.lstrip().upper().startswith("ZONE"):
            zones.append((number, _TIME.search(line)))
        elif _TIME.search(line) and zones:
            zones[-1] = (zones[-1][0], _TIME.search(line))
        elif heads:
            variables += " " + line
    names = _names(path, variables)
    places = np.array(numbers, dtype=np.int64)
    rows = [lines[number - 1].replace(",", " ").split() for number in numbers]
    wrong = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if wrong is not None:
        raise UserError(
            f"{path}: line {numbers[wrong]}: found {len(rows[wrong])} numbers, expected "
            f"{len(names)} as in VARIABLES"
        )
    table = pd.DataFrame(rows, columns=names)
    for name in names:
        values = pd.to_numeric(table[name], errors="coerce")
        table[name] = table[name] if values.isna().any() else values
    if zones:
        zone = np.searchsorted([start for start, _ in zones], places)
        table["ZONE"] = zone
        times = [np.nan, *(float(found[1]) if found else np.nan for _, found in zones)]
        if not np.isnan(times[1:]).any():
            table["SOLUTIONTIME"] = np.array(times)[zone]
    return RawTable(table, places, names=NAMES, place="line", header="VARIABLES")


def _names(path: Path, text: str) -> list[str]:
    """The names that follow VARIABLES =, in quotes or between commas and blanks."""
    found = re.search(r"VARIABLES\s*=(.*)", text, re.IGNORECASE)
    if found is None:
        raise UserError(f"{path}: found no VARIABLES, expected an ASCII file of Tecplot")
    names = re.findall(r'"([^"]*)"', found[1]) or re.split(r"[\s,]+", found[1].strip())
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{path}: VARIABLES: {twice[0]!r} is there twice, expected once")
    return names
