"""What a path is: whether a stage may read it, and whether it may write there."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection
from pathlib import Path

from aiv_rba.errors import UserError

# First bytes, what such a file is, and what to do with it; UTF-32 begins as UTF-16 does.
_SIGNATURES = (
    (b"\x1f\x8b", "gzip", "file", "unpack it"),
    (b"PK\x03\x04", "ZIP", "file", "unpack it"),
    (b"BZh", "bzip2", "file", "unpack it"),
    (b"\xfd7zXZ\x00", "XZ", "file", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "file", "unpack it"),
    (b"\xff\xfe\x00\x00", "UTF-32", "text", "save it as UTF-8"),
    (b"\xff\xfe", "UTF-16", "text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16", "text", "save it as UTF-8"),
)
# Of a path made of an address, one of the two slashes is left.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def check_file(path: Path | str, expected: str, may_be: Collection[str] = ()) -> None:
    """Refuse what is no file that can be read as it is, and say what it is.

    Parameters
    ----------
    path
        A path that the user gives.
    expected
        What it should be, for the message.
    may_be
        Kinds of files that are not refused: "gzip", "ZIP", "UTF-16" and so on.

    Raises
    ------
    UserError
        If there is nothing, or a folder, a device or the like, or a compressed file, or text that
        is not in UTF-8.
    """
    path = Path(path)
    if match := _ADDRESS.match(str(path)):
        address = f"{match[0]}/{str(path)[match.end() :].lstrip('/')}"
        raise UserError(f"{address}: is a URL, expected {expected}: download it first")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise UserError(f"{path}: is {_kind(mode)}, expected {expected}")
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        found = "is a link that leads nowhere" if path.is_symlink() else "not found"
        raise UserError(f"{path}: {found}, expected {expected}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read: {reason}, expected {expected}") from None
    kind = next((kind for kind in _SIGNATURES if head.startswith(kind[0])), None)
    if kind is not None and kind[1] not in may_be:
        _, name, what, remedy = kind
        article = "a " if what == "file" else ""
        raise UserError(f"{path}: is {article}{name} {what}, expected {expected}: {remedy}")


def is_folder(path: Path) -> bool:
    """Whether there is a folder; also no where the name is too long to ask."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_output(path: Path | str) -> None:
    """Refuse to replace anything but a file of data: not a folder, a link, a device or the like.

    Raises
    ------
    UserError
        If something else is there.
    """
    path = Path(path)
    try:
        mode = path.lstat().st_mode
    except OSError:
        # Nothing is there; what keeps it from being written shows when it is.
        return
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: is {_kind(mode)}, expected the name of a file to write")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISLNK: "a link",
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
    }
    return next((name for test, name in kinds.items() if test(mode)), "a device")
