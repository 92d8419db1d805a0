"""The true flow of a twin, ``truth.h5``: opened, and checked before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from aiv_rba.errors import UserError
from aiv_rba.files.formats import open_h5

TABLES = (".csv", ".npz")
"""Extensions of tables of true values; any other truth is a file of format aiv_rba/truth."""
SHAPES: dict[str, tuple[str | int, ...]] = {
    "points/position": ("points", 3),
    "points/velocity": ("modes", "points", 3),
    "points/pressure": ("modes", "points"),
    "points/vorticity": ("modes", "points", 3),
    "wall/position": ("wall points", 3),
    "wall/normal": ("wall points", 3),
    "wall/wall_shear_stress": ("modes", "wall points", 3),
    "flow_rate": ("modes of the flow rate",),
    "tracks/u": ("rows of u",),
    "tracks/v": ("rows of v",),
}
"""Shapes of the datasets that every truth has; a name stands for the same number everywhere."""


@contextmanager
def open_truth(path: Path) -> Iterator[h5py.File]:
    """Open a file of true fields.

    Raises
    ------
    UserError
        If it is missing, damaged or of another version, or its datasets do not fit together.
    """
    with open_h5(path, "truth") as file:
        sizes: dict[str | int, int] = {}
        for name, shape in SHAPES.items():
            if name not in file:
                raise UserError(f"{path}: dataset {name} is missing, expected it in a truth")
            found = file[name].shape
            for size, length in zip(shape, found, strict=False):
                sizes.setdefault(size, length if isinstance(size, str) else size)
            wanted = tuple(sizes.get(size, size) for size in shape)
            if found != wanted:
                raise UserError(
                    f"{path}: dataset {name} has the shape {found}, expected {wanted}: "
                    + ", ".join(map(str, shape))
                )
        yield file
