"""Files of earlier stages that the report reads."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import pandas as pd

from aiv_rba.errors import UserError
from aiv_rba.paths import check_file


def read(path: Path) -> bytes:
    """Content of a file.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    check_file(path, "the output of an earlier stage")
    return Path(path).read_bytes()


def read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Content of a JSON file that has the keys.

    Raises
    ------
    UserError
        If it has not.
    """
    try:
        content = json.loads(read(path))
    except ValueError:
        raise UserError(
            f"{path}: not valid JSON, expected the output of an earlier stage"
        ) from None
    check_names(path, content if isinstance(content, dict) else (), keys)
    return dict(content)


def read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Content of a CSV file that has rows and the columns.

    Raises
    ------
    UserError
        If it has not.
    """
    read(path)
    try:
        table = pd.read_csv(path)
    except ValueError:
        raise UserError(f"{path}: not valid CSV, expected the output of an earlier stage") from None
    check_names(path, table, columns)
    if table.empty:
        raise UserError(f"{path}: found no rows, expected the output of an earlier stage")
    return table


def check_names(path: Path, found: Container[str], expected: tuple[str, ...]) -> None:
    """Refuse a file that lacks a name.

    Raises
    ------
    UserError
        Naming the file and the first name that is missing.
    """
    missing = [name for name in expected if name not in found]
    if missing:
        raise UserError(
            f"{path}: {missing[0]!r} is missing, expected the output of an earlier stage"
        )
