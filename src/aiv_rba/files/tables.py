"""Tables of numbers from files: CSV, and NumPy's npz with an array per column."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from aiv_rba.errors import UserError
from aiv_rba.paths import check_file


def read_table(path: Path, required: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """The columns of a table as numbers, indexed by its line in a CSV file, the header being 1.

    An empty cell of an optional column is not a number.

    Raises
    ------
    UserError
        If the file is missing or not a table, lacks required columns, has unknown ones, or a cell
        is not a number.
    """
    path = Path(path)
    allowed = ", ".join([*required, *optional])
    archive = ["ZIP"] if path.suffix == ".npz" else []
    check_file(path, f"a table with the columns {allowed}", may_be=archive)
    table = _read_npz(path) if path.suffix == ".npz" else _read_csv(path)
    missing = [name for name in required if name not in table]
    if missing:
        raise UserError(
            f"{path}: missing columns {', '.join(missing)}, found {', '.join(table.columns)}"
        )
    unknown = [name for name in table if name not in {*required, *optional}]
    if unknown:
        raise UserError(f"{path}: unknown columns {', '.join(unknown)}, expected some of {allowed}")
    for name in table:
        finite = np.isfinite(table[name])
        wrong = ~finite if name in required else ~finite & ~table[name].isna()
        if wrong.any():
            line = wrong.idxmax()
            raise UserError(
                f"{path}: line {line}, column {name}: found {table.at[line, name]}, expected a "
                "finite number"
            )
    if table.empty:
        raise UserError(f"{path}: found no rows, expected some")
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        text = pd.read_csv(path, skipinitialspace=True, dtype=str, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable CSV file: {reason}") from None
    text.columns = [str(name).strip() for name in text.columns]
    text.index += 2
    table = text.apply(pd.to_numeric, errors="coerce")
    for name in table:
        wrong = table[name].isna() & text[name].notna()
        if wrong.any():
            line = wrong.idxmax()
            raise UserError(
                f"{path}: line {line}, column {name}: found {text.at[line, name]!r}, expected a "
                "number"
            )
    return table.astype(np.float64)


def _read_npz(path: Path) -> pd.DataFrame:
    try:
        with np.load(path) as file:
            columns = {name: np.asarray(file[name], dtype=np.float64) for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        raise UserError(f"{path}: not a readable npz file of numbers") from None
    shapes = {values.shape for values in columns.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        found = ", ".join(f"{name} {values.shape}" for name, values in columns.items())
        raise UserError(
            f"{path}: found arrays {found}, expected one-dimensional ones of one length"
        )
    table = pd.DataFrame(columns)
    table.index += 2
    return table
