"""Seconds that a processor core works, over interruptions."""

from __future__ import annotations

import json
import os
from pathlib import Path

from aiv_rba.files.formats import atomic_path


class Clock:
    """Processor seconds of this process and its children since it was made, and those before.

    On a machine that is shared they say more than the time that passes.

    Parameters
    ----------
    path
        File that holds the seconds before, and takes them all when the block ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = float(json.loads(path.read_text())) if path.is_file() else 0.0
        self._start = _spent()

    def __call__(self) -> float:
        """Seconds so far."""
        return self._before + (_spent() - self._start)

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, *error: object) -> None:
        with atomic_path(self.path) as temporary:
            temporary.write_text(f"{self():.3f}\n")


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
