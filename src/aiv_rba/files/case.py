"""The case: one experiment after ingestion, nondimensional, and its file ``case.h5``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.formats import Array, IntArray, create_h5, open_h5
from aiv_rba.scales import Scales
from aiv_rba.settings.types import FlowKind

LumenKind = Literal["single", "annular", "general"]


@dataclass(frozen=True)
class Tracks:
    """Particle tracks, nondimensional.

    Attributes
    ----------
    points
        (N, 4): t, x, y, z; t counts from the start of the period or of the window of an unsteady
        flow, and is zero in a steady one.
    velocity
        Measured components by name ("u", "v", perhaps "w"), each (N,).
    track, plane
        (N,): track number; index of the optical plane.
    row
        (N,): number of the data row in the tracks file, from 0.
    validation
        (N,) bool: True for the rows that training does not see.
    deviation
        Standard deviation of the noise of those components for which every row has its own, each
        (N,).
    """

    points: Array
    velocity: dict[str, Array]
    track: IntArray
    plane: IntArray
    row: IntArray
    validation: NDArray[np.bool_]
    deviation: dict[str, Array] = field(default_factory=dict)

    def rows(self, chosen: NDArray[np.bool_] | IntArray) -> Tracks:
        """The chosen rows."""
        return Tracks(
            points=self.points[chosen],
            velocity={name: values[chosen] for name, values in self.velocity.items()},
            track=self.track[chosen],
            plane=self.plane[chosen],
            row=self.row[chosen],
            validation=self.validation[chosen],
            deviation={name: values[chosen] for name, values in self.deviation.items()},
        )


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
        (M,): 0 on the outer wall, 1, 2, ... on inner walls and bodies.
    """

    points: Array
    normals: Array
    triangles: IntArray
    patch: IntArray


@dataclass(frozen=True)
class Opening:
    """A face through which fluid enters or leaves, nondimensional.

    Attributes
    ----------
    name
        Such as "y_min", the side on which it lies.
    points
        (N, 3).
    triangles
        (M, 3): vertex numbers.
    normal
        (3,): mean unit normal, out of the lumen; zero where it faces all round, such as the open
        side of a cylinder.
    """

    name: str
    points: Array
    triangles: IntArray
    normal: Array

    @property
    def areas(self) -> Array:
        """(M, 3): vector areas of the triangles, out of the lumen."""
        a, b, c = self.points[self.triangles].transpose(1, 0, 2)
        areas: Array = np.cross(b - a, c - a) / 2
        return areas


@dataclass(frozen=True)
class WallFunction:
    """A smooth function that vanishes on the wall and is positive in the lumen, nondimensional.

    phi(x) = constant + linear . x + x . quadratic x + sum_j strengths_j / |x - sources_j|: its
    Laplacian is -1 everywhere in the lumen, since the trace of `quadratic` is -1/2 and the sources
    lie outside.

    Attributes
    ----------
    sources
        (S, 3).
    strengths
        (S,).
    constant
        Its constant part.
    linear
        (3,).
    quadratic
        (3, 3), symmetric.
    unit
        What phi is about in the middle of the lumen: twice its mean, and in a tube a quarter of the
        squared hydraulic radius, which is the same.
    slope
        Mean slope of phi on the wall: by the theorem of Gauss the volume of the lumen over the area
        of the wall.
    misfit
        Root mean square of phi on the vertices of the wall, over its unit.
    """

    sources: Array
    strengths: Array
    constant: float
    linear: Array
    quadratic: Array
    unit: float
    slope: float
    misfit: float

    @property
    def roughness(self) -> float:
        """Rms distance of the wall's vertices from the surface phi = 0: phi over its slope."""
        return self.misfit * self.unit / self.slope

    def __call__(self, points: Array) -> Array:
        """Values (N,) at points (N, 3)."""
        # Sources lie far enough from the points for the squares not to cancel.
        squares = (
            np.sum(points**2, axis=1)[:, None]
            + np.sum(self.sources**2, axis=1)
            - 2 * points @ self.sources.T
        )
        field = (1 / np.sqrt(squares)) @ self.strengths
        parabola = np.sum((points @ self.quadratic) * points, axis=1)
        return np.asarray(self.constant + points @ self.linear + parabola + field)

    def gradient(self, points: Array) -> Array:
        """Gradients (N, 3) at points (N, 3)."""
        slopes = self.linear + 2 * points @ self.quadratic
        for source, strength in zip(self.sources, self.strengths, strict=True):
            apart = points - source
            slopes -= strength * apart / np.linalg.norm(apart, axis=1, keepdims=True) ** 3
        return np.asarray(slopes)


@dataclass(frozen=True)
class Case:
    """One experiment after ingestion, nondimensional.

    Attributes
    ----------
    scales
        Scales of the nondimensionalisation.
    axis
        Vessel axis: 0, 1 or 2 for x, y, z; in a general lumen the axis along which it is longest.
    lumen
        "single" or "annular", where it is a tube along the axis whose sections are seen whole from
        their centre, and "general" otherwise: in any direction, with branches or bodies.
    radius
        Hydraulic radius of the lumen.
    wall_function
        Smooth function that vanishes on the wall.
    wall_error
        Standard deviation of the wall's position, nondimensional.
    noise
        Standard deviation of the noise of each measured velocity component; where rows have their
        own, that of their mean weight.
    harmonics
        Harmonics of time, or polynomials of time in an unsteady flow, that the measured velocities
        support.
    chosen
        What the ingestion chose by itself, and why, for people to read.
    sources
        SHA-256 of each source file, by file name.
    identity
        Hash of the sources and of the ingestion settings; later files carry it.
    openings
        The faces that close the lumen where there is no wall.
    interval
        Time over which a measured velocity is a mean.
    """

    tracks: Tracks
    wall: Wall
    scales: Scales
    axis: int
    lumen: LumenKind
    radius: float
    wall_function: WallFunction
    wall_error: float
    noise: dict[str, float]
    harmonics: int
    chosen: dict[str, str]
    sources: dict[str, str]
    identity: str
    openings: tuple[Opening, ...] = ()
    interval: float = 0.0

    @property
    def corners(self) -> Array:
        """Lower and upper corner (2, 3) of the box round walls and openings."""
        points = np.concatenate([self.wall.points, *(o.points for o in self.openings)])
        return np.stack([points.min(axis=0), points.max(axis=0)])

    @property
    def relative_noise(self) -> Array:
        """Noise of each row over that of its component, (N, components); 1 without row's own."""
        tracks = self.tracks
        relative = np.ones((len(tracks.row), len(tracks.velocity)))
        for column, name in enumerate(tracks.velocity):
            if name in tracks.deviation:
                relative[:, column] = tracks.deviation[name] / self.noise[name]
        return relative

    @property
    def flow(self) -> FlowKind:
        """Whether the flow is periodic, steady or unsteady."""
        return self.scales.flow

    @property
    def main_component(self) -> str:
        """The measured component along the axis of a tube.

        The one with the largest rms where that is not measured, and in a general lumen.
        """
        measured = self.tracks.velocity
        axial = "uvw"[self.axis]
        if self.lumen != "general" and axial in measured:
            return axial
        return max(measured, key=lambda name: float(np.mean(measured[name] ** 2)))


def write_case(path: Path, case: Case) -> None:
    """Write ``case.h5``."""
    attributes = {
        "identity": case.identity,
        "axis": case.axis,
        "lumen": case.lumen,
        "radius": case.radius,
        "wall_error": case.wall_error,
        "harmonics": case.harmonics,
        "chosen": json.dumps(case.chosen),
        "reynolds": case.scales.reynolds,
        "sources": json.dumps(case.sources, sort_keys=True),
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
        for name, values in case.tracks.deviation.items():
            tracks[f"deviation_{name}"] = values
        tracks["split"] = case.tracks.validation.astype(np.uint8)
        wall = file.create_group("wall")
        for name in ("points", "normals", "triangles", "patch"):
            wall[name] = getattr(case.wall, name)
        tracks.attrs.update({f"noise_{name}": sigma for name, sigma in case.noise.items()})
        tracks.attrs["interval"] = case.interval
        openings = file.create_group("openings")
        for number, opening in enumerate(case.openings):
            group = openings.create_group(str(number))
            group.attrs["name"] = opening.name
            for name in ("points", "triangles", "normal"):
                group[name] = getattr(opening, name)
        function = file.create_group("wall_function")
        for name in ("sources", "strengths", "linear", "quadratic"):
            function[name] = getattr(case.wall_function, name)
        for name in ("constant", "unit", "slope", "misfit"):
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
                deviation={
                    name: tracks[f"deviation_{name}"][:]
                    for name in components
                    if f"deviation_{name}" in tracks
                },
            ),
            wall=Wall(*(wall[name][:] for name in ("points", "normals", "triangles", "patch"))),
            scales=Scales.from_dict(dict(file["scales"].attrs)),
            axis=int(file.attrs["axis"]),
            lumen=cast(LumenKind, file.attrs["lumen"]),
            radius=float(file.attrs["radius"]),
            wall_function=WallFunction(
                sources=function["sources"][:],
                strengths=function["strengths"][:],
                constant=float(function.attrs["constant"]),
                linear=function["linear"][:],
                quadratic=function["quadratic"][:],
                unit=float(function.attrs["unit"]),
                slope=float(function.attrs["slope"]),
                misfit=float(function.attrs["misfit"]),
            ),
            wall_error=float(file.attrs["wall_error"]),
            noise={name: float(tracks.attrs[f"noise_{name}"]) for name in components},
            harmonics=int(file.attrs["harmonics"]),
            chosen=json.loads(file.attrs["chosen"]),
            sources=json.loads(file.attrs["sources"]),
            identity=str(file.attrs["identity"]),
            openings=tuple(
                _read_opening(file["openings"][str(number)])
                for number in range(len(file["openings"]))
            ),
            interval=float(tracks.attrs["interval"]),
        )


def _read_opening(group: h5py.Group) -> Opening:
    return Opening(
        str(group.attrs["name"]), *(group[name][:] for name in ("points", "triangles", "normal"))
    )
