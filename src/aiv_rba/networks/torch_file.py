"""Files of tensors and plain values: no code is run by reading one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from aiv_rba.errors import UserError
from aiv_rba.files.formats import VERSIONS, atomic_path
from aiv_rba.paths import check_file


def save_plain(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a torch file ``aiv_rba/<kind>`` of tensors and plain values, through to the disk.

    The file is written whole or not at all.

    Raises
    ------
    UserError
        If the folder cannot be written to or the disk is full.
    """
    content = {"format": f"aiv_rba/{kind}", "version": VERSIONS[kind]} | content
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch covers up an error of the disk with one of its own.
            raise error.__context__ or error from None
        file.flush()
        os.fsync(file.fileno())


def load_plain(path: Path, kind: str) -> dict[str, Any]:
    """Load a torch file ``aiv_rba/<kind>`` of tensors and plain values, of this version.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another format or version.
    """
    expected = f"aiv_rba/{kind}"
    # A torch file is a ZIP archive itself.
    check_file(path, f"an {expected} file", may_be=["ZIP"])
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # torch.load raises half a dozen unrelated types for damaged files and those of other kinds.
        raise UserError(f"{path}: not a readable torch file, expected {expected}") from None
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != expected:
        raise UserError(f"{path}: format is {found!r}, expected {expected!r}")
    if content["version"] != VERSIONS[kind]:
        found = content["version"]
        raise UserError(f"{path}: format version is {found}, expected {VERSIONS[kind]}")
    return dict(content)
