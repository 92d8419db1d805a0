"""What a training was made with: versions of the packages and the revision of the code."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

from aiv_rba import __version__

PACKAGES = ("torch", "numpy", "scipy", "h5py")


def versions() -> dict[str, str]:
    """Versions of this package and those it computes with, and the git revision of a checkout.

    A revision ends in ``-dirty`` if files differ from it; it is ``""`` outside a checkout.
    """
    return {
        "aiv_rba": __version__,
        **{package: version(package) for package in PACKAGES},
        "git": _revision(Path(__file__).parent),
    }


def _revision(folder: Path) -> str:
    command = ("git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty")
    try:
        found = subprocess.run(
            (*command, "--exclude=*"), capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
