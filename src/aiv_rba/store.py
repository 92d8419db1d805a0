"""Files between the stages: written whole, versioned, and tied to the case they belong to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.scales import Scales

FORMAT_VERSION = 1

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the block succeeds.

    Raises
    ------
    UserError
        If the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        # Where a parent is a file there is nothing to remove either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def create_h5(path: Path, kind: str, attributes: dict[str, Any]) -> Iterator[h5py.File]:
    """Write an HDF5 file of format ``aiv_rba/<kind>`` atomically."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = f"aiv_rba/{kind}"
        file.attrs["version"] = FORMAT_VERSION
        file.attrs.update(attributes)
        yield file


@contextmanager
def open_h5(path: Path, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file of format ``aiv_rba/<kind>`` for reading.

    Raises
    ------
    UserError
        If the file is missing, damaged, of another format or version, or lacks a dataset.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found, expected an aiv_rba/{kind} file")
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise UserError(f"{path}: not a readable HDF5 file, expected aiv_rba/{kind}") from None
    with file:
        found = file.attrs.get("format", "no format attribute")
        if found != f"aiv_rba/{kind}":
            raise UserError(f"{path}: format is {found!r}, expected 'aiv_rba/{kind}'")
        version = file.attrs.get("version")
        if version != FORMAT_VERSION:
            raise UserError(f"{path}: format version is {version}, expected {FORMAT_VERSION}")
        try:
            yield file
        except KeyError as error:
            raise UserError(f"{path}: damaged aiv_rba/{kind} file: {error.args[0]}") from error


def check_same_case(path: Path, found: str, expected: str) -> None:
    """Refuse a file that was made from another case."""
    if found != expected:
        raise UserError(
            f"{path}: belongs to case {found[:12]}, expected case {expected[:12]}; "
            "rerun the stage that makes it"
        )


@dataclass(frozen=True)
class Tracks:
    """Particle tracks, nondimensional.

    Attributes
    ----------
    points
        (N, 4): t, x, y, z.
    velocity
        Measured components by name ("u", "v", perhaps "w"), each (N,).
    track, plane
        (N,): track number; index of the optical plane.
    row
        (N,): number of the data row in the tracks file, from 0.
    validation
        (N,) bool: True for the rows that training does not see.
    """

    points: Array
    velocity: dict[str, Array]
    track: IntArray
    plane: IntArray
    row: IntArray
    validation: NDArray[np.bool_]


@dataclass(frozen=True)
class Wall:
    """Triangulated vessel wall, nondimensional.

    Attributes
    ----------
    points, normals
        (N, 3); normals point out of the lumen.
    triangles
        (M, 3): vertex numbers.
    patch
        (M,): 0 on the outer wall, 1 on the inner wall of an annular lumen.
    """

    points: Array
    normals: Array
    triangles: IntArray
    patch: IntArray


@dataclass(frozen=True)
class Case:
    """One experiment after ingestion, nondimensional.

    Attributes
    ----------
    scales
        Scales of the nondimensionalisation.
    axis
        Vessel axis: 0, 1 or 2 for x, y, z.
    lumen
        "single" or "annular".
    sources
        SHA-256 of each source file, by file name.
    identity
        Hash of the sources and of the ingestion settings; later files carry it.
    seconds
        Time that ingestion took.
    """

    tracks: Tracks
    wall: Wall
    scales: Scales
    axis: int
    lumen: str
    sources: dict[str, str]
    identity: str
    seconds: float


def write_case(path: Path, case: Case) -> None:
    """Write ``case.h5``."""
    attributes = {
        "identity": case.identity,
        "axis": case.axis,
        "lumen": case.lumen,
        "reynolds": case.scales.reynolds,
        "sources": json.dumps(case.sources, sort_keys=True),
        "seconds": case.seconds,
    }
    with create_h5(path, "case", attributes) as file:
        file.create_group("scales").attrs.update(case.scales.to_dict())
        tracks = file.create_group("tracks")
        for column, name in enumerate("txyz"):
            tracks[name] = case.tracks.points[:, column]
        for name, values in case.tracks.velocity.items():
            tracks[name] = values
        for name in ("track", "plane", "row"):
            tracks[name] = getattr(case.tracks, name)
        tracks["split"] = case.tracks.validation.astype(np.uint8)
        wall = file.create_group("wall")
        for name in ("points", "normals", "triangles", "patch"):
            wall[name] = getattr(case.wall, name)


def read_case(path: Path) -> Case:
    """Read ``case.h5``.

    Raises
    ------
    UserError
        If it is missing, damaged or of another version.
    """
    with open_h5(path, "case") as file:
        tracks, wall = file["tracks"], file["wall"]
        return Case(
            tracks=Tracks(
                points=np.stack([tracks[name][:] for name in "txyz"], axis=1),
                velocity={name: tracks[name][:] for name in "uvw" if name in tracks},
                track=tracks["track"][:],
                plane=tracks["plane"][:],
                row=tracks["row"][:],
                validation=tracks["split"][:].astype(bool),
            ),
            wall=Wall(*(wall[name][:] for name in ("points", "normals", "triangles", "patch"))),
            scales=Scales.from_dict(dict(file["scales"].attrs)),
            axis=int(file.attrs["axis"]),
            lumen=str(file.attrs["lumen"]),
            sources=json.loads(file.attrs["sources"]),
            identity=str(file.attrs["identity"]),
            seconds=float(file.attrs["seconds"]),
        )
