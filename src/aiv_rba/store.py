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

VERSIONS = {"case": 2, "points": 1, "truth": 1, "reference": 1, "model": 2, "checkpoint": 2}
"""Version of the format of each kind of file, ``aiv_rba/<kind>``."""

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
        file.attrs["version"] = VERSIONS[kind]
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
        if version != VERSIONS[kind]:
            raise UserError(f"{path}: format version is {version}, expected {VERSIONS[kind]}")
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
class WallFunction:
    """A smooth function that vanishes on the wall and is positive in the lumen, nondimensional.

    phi(x) = constant - |x_across|^2 / 4 + sum_j strengths_j / |x - sources_j|: its Laplacian is -1
    everywhere in the lumen, since the sources lie outside.

    Attributes
    ----------
    sources
        (S, 3).
    strengths
        (S,).
    constant
        Its constant part.
    axis
        Vessel axis, which |x_across| leaves out.
    unit
        What phi is about in the middle of the lumen: a quarter of the squared hydraulic radius.
    misfit
        Root mean square of phi on the vertices of the wall, over its unit.
    """

    sources: Array
    strengths: Array
    constant: float
    axis: int
    unit: float
    misfit: float

    @property
    def roughness(self) -> float:
        """Rms distance of the wall's vertices from the surface phi = 0, in hydraulic radii.

        phi over its mean slope on the wall, which by the theorem of Gauss is the volume of the
        lumen over the area of the wall, half the hydraulic radius.
        """
        return self.misfit / 2

    @property
    def radius(self) -> float:
        """Hydraulic radius of the vessel, continued."""
        return float(2 * np.sqrt(self.unit))

    def __call__(self, points: Array) -> Array:
        """Values (N,) at points (N, 3)."""
        across = np.delete(points, self.axis, axis=1)
        # Sources lie far enough from the points for the squares not to cancel.
        squares = (
            np.sum(points**2, axis=1)[:, None]
            + np.sum(self.sources**2, axis=1)
            - 2 * points @ self.sources.T
        )
        field = (1 / np.sqrt(squares)) @ self.strengths
        return np.asarray(self.constant - np.sum(across**2, axis=1) / 4 + field)

    def gradient(self, points: Array) -> Array:
        """Gradients (N, 3) at points (N, 3)."""
        slopes = -points / 2
        slopes[:, self.axis] = 0
        for source, strength in zip(self.sources, self.strengths, strict=True):
            apart = points - source
            slopes -= strength * apart / np.linalg.norm(apart, axis=1, keepdims=True) ** 3
        return slopes


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
    radius
        Hydraulic radius of the lumen.
    wall_function
        Smooth function that vanishes on the wall.
    noise
        Standard deviation of the noise of each measured velocity component.
    harmonics
        Harmonics of time that the measured velocities support.
    chosen
        What the ingestion chose by itself, and why, for people to read.
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
    radius: float
    wall_function: WallFunction
    noise: dict[str, float]
    harmonics: int
    chosen: dict[str, str]
    sources: dict[str, str]
    identity: str
    seconds: float


def write_case(path: Path, case: Case) -> None:
    """Write ``case.h5``."""
    attributes = {
        "identity": case.identity,
        "axis": case.axis,
        "lumen": case.lumen,
        "radius": case.radius,
        "harmonics": case.harmonics,
        "chosen": json.dumps(case.chosen),
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
        tracks.attrs.update({f"noise_{name}": sigma for name, sigma in case.noise.items()})
        function = file.create_group("wall_function")
        function["sources"] = case.wall_function.sources
        function["strengths"] = case.wall_function.strengths
        for name in ("constant", "axis", "unit", "misfit"):
            function.attrs[name] = getattr(case.wall_function, name)


def read_case(path: Path) -> Case:
    """Read ``case.h5``.

    Raises
    ------
    UserError
        If it is missing, damaged or of another version.
    """
    with open_h5(path, "case") as file:
        tracks, wall, function = file["tracks"], file["wall"], file["wall_function"]
        components = [name for name in "uvw" if name in tracks]
        return Case(
            tracks=Tracks(
                points=np.stack([tracks[name][:] for name in "txyz"], axis=1),
                velocity={name: tracks[name][:] for name in components},
                track=tracks["track"][:],
                plane=tracks["plane"][:],
                row=tracks["row"][:],
                validation=tracks["split"][:].astype(bool),
            ),
            wall=Wall(*(wall[name][:] for name in ("points", "normals", "triangles", "patch"))),
            scales=Scales.from_dict(dict(file["scales"].attrs)),
            axis=int(file.attrs["axis"]),
            lumen=str(file.attrs["lumen"]),
            radius=float(file.attrs["radius"]),
            wall_function=WallFunction(
                function["sources"][:],
                function["strengths"][:],
                float(function.attrs["constant"]),
                int(function.attrs["axis"]),
                float(function.attrs["unit"]),
                float(function.attrs["misfit"]),
            ),
            noise={name: float(tracks.attrs[f"noise_{name}"]) for name in components},
            harmonics=int(file.attrs["harmonics"]),
            chosen=json.loads(file.attrs["chosen"]),
            sources=json.loads(file.attrs["sources"]),
            identity=str(file.attrs["identity"]),
            seconds=float(file.attrs["seconds"]),
        )
