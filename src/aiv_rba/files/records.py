"""Records: when, how long, by which code and from which files the results of a stage were made."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aiv_rba import __version__
from aiv_rba.errors import UserError
from aiv_rba.files.formats import atomic_path, fingerprint
from aiv_rba.files.results import Results
from aiv_rba.paths import check_file, check_output

PACKAGES = ("torch", "numpy", "scipy", "h5py", "pyvista")


@contextmanager
def recorded(
    results: Results, stage: str, inputs: list[Path], *, write: bool = True
) -> Iterator[dict[str, Any]]:
    """Write the record of a stage if the block succeeds; refuse outputs that are no files.

    The record holds `stage`, `started` (UTC), `seconds`, `versions`, `revision` and the hash of
    each of the `inputs`, SHA-256 or the one that a file of points carries; the block may add what
    else belongs to it to the dictionary that it gets.

    Parameters
    ----------
    results
        Where the stage writes its files and the record.
    stage
        Name of the stage.
    inputs
        Files that it reads; those that do not exist are left to the stage to complain about.
    write
        Whether to write it at all: the first of several ranks does.

    Raises
    ------
    UserError
        If a folder, a link or the like has the name of an output.
    """
    for output in results.outputs(stage):
        check_output(output)
    if not write:
        yield {}
        return
    started, clock = datetime.now(UTC), time.perf_counter()
    hashes = {}
    for file in inputs:
        with suppress(OSError):
            if file.is_file():
                hashes[str(file)] = fingerprint(file)
    more: dict[str, Any] = {}
    yield more
    record = {
        "stage": stage,
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - clock,
        "versions": versions(),
        "revision": revision(Path(__file__)),
        "inputs": hashes,
    }
    with atomic_path(results.record(stage)) as temporary:
        temporary.write_text(json.dumps(record | more, indent=2) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """The record of a stage.

    Raises
    ------
    UserError
        If it is missing or damaged.
    """
    check_file(path, "the record of a stage")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path}: not valid JSON, expected the record of a stage") from None
    if not isinstance(found, dict) or "seconds" not in found:
        raise UserError(f"{path}: 'seconds' is missing, expected the record of a stage")
    return found


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that it computes with, where they are."""
    found = {"aiv_rba": __version__, "python": sys.version.split()[0]}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def revision(file: Path) -> str:
    """Git revision of the checkout that has this file under version control.

    It ends in ``-dirty`` if files differ from it. It is empty where the package is installed
    elsewhere, even if that lies in the checkout of another project.
    """
    folder = str(file.parent)
    listed = _git("-C", folder, "ls-files", "--error-unmatch", file.name)
    if listed is None:
        return ""
    arguments = ("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    return _git("-C", folder, *arguments) or ""


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ("git", *arguments), capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
