"""The state of the CFD solver between two cycles, in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba.files.formats import Array, atomic_path


class SavedSteps:
    """The last time steps of whole cycles in a file, from which an interrupted run goes on.

    Parameters
    ----------
    path
        The file; None saves nothing.
    numbers
        Everything on which the steps depend; a file of other numbers is not read.
    """

    def __init__(self, path: Path | None, numbers: Sequence[Sequence[float] | Array]) -> None:
        self.path = path
        parts = b"".join(np.asarray(number, dtype=float).tobytes() for number in numbers)
        self.identity = hashlib.sha256(parts).hexdigest()

    def read(self, history: Sequence[Any]) -> int:
        """Fill the history, newest step first; returns the number of cycles that are done."""
        if self.path is None or not self.path.is_file():
            return 0
        with np.load(self.path) as file:
            if str(file["identity"]) != self.identity:
                return 0
            for field, values in zip(history, file["history"], strict=True):
                field.vec.FV().NumPy()[:] = values
            return int(file["cycle"])

    def write(self, cycle: int, history: Sequence[Any]) -> None:
        """Save the history after so many cycles."""
        if self.path is None:
            return
        vectors = [field.vec.FV().NumPy() for field in history]
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, identity=self.identity, cycle=cycle, history=vectors)
