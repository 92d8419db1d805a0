"""A table of tracks as a file holds it, before anything is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aiv_rba.files.formats import IntArray

# Rows that belong to no track.
UNLINKED = -1
# What quantities are called in plain files; those of programs of particle tracking differ.
PLAIN = {
    name: (name,)
    for name in ("t", "frame", "x", "y", "z", "z_plane", "u", "v", "w", "track", "plane")
} | {f"{component}_std": (f"{component}_std",) for component in "uvw"}


@dataclass(frozen=True)
class RawTable:
    """Named columns of a file.

    Attributes
    ----------
    table
        Columns under the names that the file gives them: numbers, or text where one cell is none.
        A track of -1 stands for no track.
    line
        (N,): line of the file at which each row stands, or its number from 1.
    names
        Under which names the format has a quantity, the usual one first.
    place
        What `line` counts: "line" or "row".
    header
        Where the names of the columns stand, for messages.
    measures_velocity
        Whether a file of this format may hold velocities.
    units
        Units that the file states for a column, by name.
    notes
        What was left out, for the summary.
    """

    table: pd.DataFrame
    line: IntArray
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PLAIN)
    place: str = "row"
    header: str = "columns"
    measures_velocity: bool = True
    units: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def numbered(table: pd.DataFrame) -> IntArray:
    """Numbers of rows from 1, for files without lines."""
    return np.arange(1, len(table) + 1)
