"""Formats: files written whole or not at all, and HDF5 files that carry their version."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError

VERSIONS = {
    "case": 5,
    "points": 3,
    "truth": 1,
    "model": 4,
    "deviations": 2,
    "checkpoint": 4,
    "differences": 1,
}
"""Version of the format of each kind of file, ``aiv_rba/<kind>``."""

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the block succeeds.

    Raises
    ------
    UserError
        If the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        # Where a parent is a file there is nothing to remove either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def create_h5(path: Path, kind: str, attributes: dict[str, Any]) -> Iterator[h5py.File]:
    """Write an HDF5 file of format ``aiv_rba/<kind>`` atomically."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = f"aiv_rba/{kind}"
        file.attrs["version"] = VERSIONS[kind]
        file.attrs.update(attributes)
        yield file


@contextmanager
def open_h5(path: Path, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file of format ``aiv_rba/<kind>`` for reading.

    Raises
    ------
    UserError
        If the file is missing, damaged, of another format or version, or lacks a dataset.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found, expected an aiv_rba/{kind} file")
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise UserError(f"{path}: not a readable HDF5 file, expected aiv_rba/{kind}") from None
    with file:
        found = file.attrs.get("format", "no format attribute")
        if found != f"aiv_rba/{kind}":
            raise UserError(f"{path}: format is {found!r}, expected 'aiv_rba/{kind}'")
        version = file.attrs.get("version")
        if version != VERSIONS[kind]:
            raise UserError(f"{path}: format version is {version}, expected {VERSIONS[kind]}")
        try:
            yield file
        except KeyError as error:
            raise UserError(f"{path}: damaged aiv_rba/{kind} file: {error.args[0]}") from error


def check_same_case(path: Path, found: str, expected: str) -> None:
    """Refuse a file that was made from another case."""
    if found != expected:
        raise UserError(
            f"{path}: belongs to case {found[:12]}, expected case {expected[:12]}; "
            "rerun the stage that makes it"
        )
