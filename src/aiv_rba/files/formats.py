"""Formats: files written whole or not at all, and HDF5 files that carry their version."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.paths import check_file, check_output

VERSIONS = {
    "case": 6,
    "points": 4,
    "truth": 1,
    "solution": 1,
    "model": 6,
    "deviations": 3,
    "checkpoint": 11,
    "differences": 1,
}
"""Version of the format of each kind of file, ``aiv_rba/<kind>``."""

# How HDF5 names what it does not find.
_QUOTED = re.compile(r"'([^']+)'")

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@contextmanager
def atomic_path(path: Path, *, link: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the block succeeds.

    Temporary files that killed processes of this machine left in the folder are removed.

    Parameters
    ----------
    path
        File to write.
    link
        Whether it is a link, which may replace an earlier one.

    Raises
    ------
    UserError
        If something that is no file has that name, the folder cannot be written to, or the disk is
        full.
    """
    path = Path(path)
    if not (link and path.is_symlink()):
        check_output(path)
    temporary = path.with_name(f".{path.name}{_owner(os.getpid())}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path.parent)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        # Where a parent is a file there is nothing to remove either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _owner(process: object) -> str:
    """End of the names of a process's temporary files."""
    return f".{socket.gethostname()}.{process}.tmp"


def _remove_stale(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        process = path.name.split(".")[-2]
        ours = process.isdecimal() and path.name.endswith(_owner(process))
        if ours and not _runs(int(process)):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """Hash of the content of a file: the one that an HDF5 file carries, or else SHA-256."""
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            if "content" in file.attrs:
                return str(file.attrs["content"])
    return sha256(path)


@contextmanager
def create_h5(path: Path, kind: str, attributes: dict[str, Any]) -> Iterator[h5py.File]:
    """Write an HDF5 file of format ``aiv_rba/<kind>`` atomically."""
    with atomic_path(path) as temporary, new_h5(temporary, kind, attributes) as file:
        yield file


def new_h5(path: Path, kind: str, attributes: dict[str, Any]) -> h5py.File:
    """A new HDF5 file of format ``aiv_rba/<kind>``, open for writing."""
    file = h5py.File(path, "w")
    file.attrs["format"] = f"aiv_rba/{kind}"
    file.attrs["version"] = VERSIONS[kind]
    file.attrs.update(attributes)
    return file


@contextmanager
def open_h5(path: Path, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file of format ``aiv_rba/<kind>`` for reading.

    Raises
    ------
    UserError
        If the file is missing, damaged, of another format or version, or lacks a dataset.
    """
    check_file(path, f"an aiv_rba/{kind} file")
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
            name = _QUOTED.findall(str(error.args[0]))[-1:] or ["a part"]
            raise UserError(
                f"{path}: {name[0]!r} is missing, expected a whole aiv_rba/{kind} file"
            ) from error


def check_same_case(path: Path, found: str, expected: str) -> None:
    """Refuse a file that was made from another case."""
    if found != expected:
        raise UserError(
            f"{path}: belongs to case {found[:12]}, expected case {expected[:12]}; "
            "rerun the stage that makes it"
        )
