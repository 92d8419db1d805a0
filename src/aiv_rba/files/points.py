"""The file of collocation points, which many processes write at once, each its own groups.

The points of a section of space stand in one dataset (batch, group, 4) without chunks. Its place in
the file is known before anything is written, so a process needs no parallel HDF5 to fill its part,
and one batch of neighbouring groups is one piece of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import finalize

import h5py
import numpy as np

from aiv_rba.errors import RankError, UserError
from aiv_rba.files.formats import Array, atomic_path, check_same_case, new_h5, open_h5

# Of a point: t, x, y, z in double precision.
POINT = np.dtype(("<f8", 4))


class Place(NamedTuple):
    """Where a dataset lies in the file."""

    offset: int
    batches: int
    groups: int


class PointsWriter:
    """Writes groups of points to their places.

    Parameters
    ----------
    path
        The file, which `create_points` has laid out.
    places
        Where its datasets lie.

    Attributes
    ----------
    digests
        Sum over the groups that were written of their SHA-256, of each dataset. The order of the
        groups does not matter, nor which process writes them.

    Raises
    ------
    UserError
        If the file is not there or the disk is full.
    """

    def __init__(self, path: Path, places: Mapping[str, Place]) -> None:
        self.path = path
        self.places = places
        self.digests = dict.fromkeys(places, 0)
        try:
            self._file = os.open(path, os.O_WRONLY)
        except OSError as error:
            raise UserError(
                f"{path}: {error.strerror}; expected a folder that all processes share"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)

    def write(self, name: str, first: int, points: Array) -> None:
        """Write the points (group, batch, 4) of neighbouring groups from the first on."""
        place = self.places[name]
        points = np.ascontiguousarray(points, dtype="<f8")
        for b in range(place.batches):
            offset = place.offset + POINT.itemsize * (b * place.groups + first)
            self._write(memoryview(points[:, b].tobytes()), offset)
        for number, group in enumerate(points, first):
            digest = hashlib.sha256(number.to_bytes(8, "little"))
            digest.update(group)
            self.digests[name] += int.from_bytes(digest.digest())

    def _write(self, content: memoryview, offset: int) -> None:
        try:
            while content:
                written = os.pwrite(self._file, content, offset)
                content, offset = content[written:], offset + written
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from error


class PointsReader:
    """Reads batches of neighbouring groups, in any thread and without holding up others.

    Parameters
    ----------
    path
        The file.
    case
        Identity of the case.

    Attributes
    ----------
    places
        Where its datasets lie.
    identity
        Hash of all points.

    Raises
    ------
    UserError
        If the file is missing or damaged, or belongs to another case.
    """

    def __init__(self, path: Path, case: str) -> None:
        self.path = path
        with open_h5(path, "points") as file:
            check_same_case(path, str(file.attrs["identity"]), case)
            self.identity = str(file.attrs["content"])
            self.places = {name: _place(file, name) for name in ("interior", "wall")}
        self._file = path.open("rb", buffering=0)
        # It is read until nobody asks for batches any more.
        finalize(self, self._file.close)

    def read(self, name: str, b: int, groups: slice) -> Array:
        """The b-th points (n, 4) of neighbouring groups.

        Raises
        ------
        RankError
            If the disk fails.
        """
        place = self.places[name]
        points = np.empty(groups.stop - groups.start, POINT)
        offset = place.offset + POINT.itemsize * (b * place.groups + groups.start)
        content = points.reshape(-1).view(np.uint8).data
        try:
            while content:
                count = os.preadv(self._file.fileno(), [content], offset)
                if not count:
                    raise OSError("it has become shorter")
                content, offset = content[count:], offset + count
        except OSError as error:
            reason = error.strerror or error
            raise RankError(f"{self.path}: cannot be read: {reason}") from error
        return points


@contextmanager
def create_points(
    path: Path,
    case: str,
    per_group: int,
    shapes: Mapping[str, Sequence[int]],
    *,
    rank: int = 0,
    every: Callable[[Any], list[Any]] = lambda own: [own],
) -> Iterator[PointsWriter]:
    """Write ``points.h5``, whole or not at all; every process calls this and writes its groups.

    The file gets an identity, a hash of all points, when they are written.

    Parameters
    ----------
    path
        The file.
    case
        Identity of the case.
    per_group
        Points of every group.
    shapes
        Numbers of the groups in time, in depth and so on, of ``interior`` and ``wall``.
    rank
        Number of this process; the first one lays the file out.
    every
        What every process gives, in their order, on every process.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    with ExitStack() as stack:
        made = None
        if rank == 0:
            temporary = stack.enter_context(atomic_path(path))
            made = temporary, _lay_out(temporary, case, per_group, shapes)
        temporary, places = every(made)[0]
        with PointsWriter(temporary, places) as writer:
            yield writer
        # No process comes further before all have written.
        digests = every(writer.digests)
        if rank == 0:
            with h5py.File(temporary, "r+") as file:
                file.attrs["content"] = _identity(places, digests)


def _lay_out(
    path: Path, case: str, per_group: int, shapes: Mapping[str, Sequence[int]]
) -> dict[str, Place]:
    """Make the file with datasets that have their places, but no values."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    places = {}
    with new_h5(path, "points", {"identity": case}) as file:
        for name, shape in shapes.items():
            size = (per_group, int(np.prod(shape)), *POINT.shape)
            points = file.create_dataset(f"{name}/points", size, POINT.base, dcpl=properties)
            points.attrs["shape"] = shape
            places[name] = _place(file, name)
    return places


def _place(file: h5py.File, name: str) -> Place:
    points = file[f"{name}/points"]
    if points.chunks:
        raise UserError(f"{file.filename}: {name}/points is stored in chunks, expected one piece")
    return Place(points.id.get_offset(), *points.shape[:2])


def _identity(places: Mapping[str, Place], digests: Sequence[Mapping[str, int]]) -> str:
    content = {
        name: (place.batches, place.groups, sum(part[name] for part in digests) % 2**256)
        for name, place in places.items()
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
