"""What a camera would see: tracers in optical slabs, with noise, loss, mismatches, false links."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as checked

from aiv_rba.settings.types import STRICT, Count, NonNegative, Positive, Share
from aiv_rba.twin.axes import Axes
from aiv_rba.twin.geometry import Array, Duct
from aiv_rba.twin.sampling import Interpolant

# Rows in a row that a false link takes from another track, at least.
SHORTEST_RUN = 3
# Steps of a cycle by which tracers are followed at least, however few frames are taken.
STEPS = 75


@checked(frozen=True, config=STRICT)
class Tracking:
    """What is recorded of the tracers, and how badly."""

    rows: Count = 23_400
    """Rows wanted."""
    loss: Share = 0.03
    """Probability that a tracer is lost between two frames."""
    noise_u: NonNegative = 0.15
    """Standard deviation of the noise of u over its rms."""
    noise_v: NonNegative = 0.12
    """Standard deviation of the noise of v over its rms."""
    noise_w: NonNegative | None = None
    """Standard deviation of the noise of w over its rms; none: w is not measured."""
    outliers: Share = 0.02
    """Share of rows whose velocity belongs to another particle."""
    false_links: Share = 0
    """Share of tracks in which a run of rows has the velocities of a run of another track."""

    @property
    def noise(self) -> dict[str, float]:
        """Noise of every measured component."""
        noise = {"u": self.noise_u, "v": self.noise_v}
        return noise if self.noise_w is None else {**noise, "w": self.noise_w}


@checked(frozen=True, config=STRICT)
class Camera(Tracking):
    """Recording in optical slabs."""

    planes: tuple[float, ...] = (-0.3, -0.08, 0.14)
    """Depths of the optical slabs, in length units of the twin."""
    depths: tuple[Share, ...] = ()
    """Depths as shares of the vessel's extent in depth, instead of `planes`."""
    thickness: Positive = 0.08
    """Thickness of the slabs, in length units of the twin."""
    frames: Positive = 75.7
    """Frames per cycle; not a whole number, so that merged phases fill the cycle."""

    def __post_init__(self) -> None:
        """Check that there is a plane to see."""
        if not (self.planes or self.depths):
            raise ValueError("no plane, expected planes or depths")

    def plane_depths(self, duct: Duct, axes: Axes) -> Array:
        """Depths of the slabs, in length units of the twin."""
        if not self.depths:
            return np.array(self.planes)
        low, high = duct.extent
        ends = {0: (low[0], high[0]), 1: (0.0, duct.length), 2: (low[1], high[1])}[axes.depth]
        return np.asarray(ends[0] + np.array(self.depths) * (ends[1] - ends[0]))


@dataclass(frozen=True)
class Scene:
    """What the camera looks at.

    Attributes
    ----------
    field
        Velocity, in coordinates of the solver.
    period
        Nondimensional period.
    axes
        Coordinates of the files.
    """

    duct: Duct
    field: Interpolant
    period: float
    axes: Axes


@dataclass(frozen=True)
class TrueRows:
    """What is true of the rows of the tracks.

    Attributes
    ----------
    velocity
        Velocities (rows, 3) in units of the twin and coordinates of the files: "tracers", of the
        tracer itself, and "tracks", of the fluid where the row says the tracer is, at the middle
        of its slab.
    mismatched
        (rows,): whether the measured velocity belongs to another particle.
    """

    velocity: dict[str, Array]
    mismatched: NDArray[np.bool_]


def record(scene: Scene, camera: Camera, seed: int) -> tuple[pd.DataFrame, TrueRows]:
    """Tracks in units of the twin as an experimenter holds them, and what is true of every row.

    Tracers start all over the duct and are advected by the midpoint rule through one cycle.
    Velocities are central differences over two frame intervals. False links are drawn last, so
    that all else is the same without them.
    """
    rng = np.random.default_rng(seed)
    parts: list[pd.DataFrame] = []
    tracks = 0
    while sum(map(len, parts)) < camera.rows:
        part, tracks = _one_cycle(scene, camera, rng, tracks)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)[: camera.rows]
    truth = {
        name: table[[f"{name}_{c}" for c in "uvw"]].to_numpy() for name in ("tracers", "tracks")
    }

    mismatched = spoil(table, camera, rng)
    return (
        table[["t", "x", "y", "z_plane", *camera.noise, "track", "frame"]],
        TrueRows(truth, mismatched),
    )


def spoil(table: pd.DataFrame, tracking: Tracking, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Add noise, mismatches and false links to a table; returns which rows are mismatches."""
    measured = list(tracking.noise)
    for name, share in tracking.noise.items():
        rms = np.sqrt(np.mean(table[name] ** 2))
        table[name] += share * rms * rng.standard_normal(len(table))
    mismatched: NDArray[np.bool_] = rng.random(len(table)) < tracking.outliers
    others = rng.integers(len(table), size=int(mismatched.sum()))
    table.loc[mismatched, measured] = table[measured].to_numpy()[others]
    if tracking.false_links:
        taken, donors = false_links(table["track"].to_numpy(), tracking.false_links, rng)
        table.loc[taken, measured] = table.loc[donors, measured].to_numpy()
        mismatched[taken] = True
    return mismatched


def false_links(
    track: NDArray[np.int64], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of rows in which a tracker followed another particle.

    A share of the tracks of at least `SHORTEST_RUN` rows each lose one run of consecutive rows,
    of a random length and at a random place, to a run of another random track.

    Parameters
    ----------
    track
        (rows,): track of every row; rows of a track follow each other.
    share
        Share of these tracks.
    rng
        Where the choices come from.

    Returns
    -------
    array, array
        The rows that are spoiled, and for each the row whose velocity it has.
    """
    _, starts, sizes = np.unique(track, return_index=True, return_counts=True)
    long = np.flatnonzero(sizes >= SHORTEST_RUN)
    taken: list[NDArray[np.int64]] = []
    donors: list[NDArray[np.int64]] = []
    for one in rng.choice(long, round(share * len(long)), replace=False):
        other = rng.choice(long[long != one])
        count = rng.integers(SHORTEST_RUN, min(sizes[one], sizes[other]), endpoint=True)
        for rows, which in ((taken, one), (donors, other)):
            first = starts[which] + rng.integers(sizes[which] - count, endpoint=True)
            rows.append(np.arange(first, first + count))
    nothing = np.empty(0, dtype=np.int64)
    return np.concatenate([nothing, *taken]), np.concatenate([nothing, *donors])


def _one_cycle(
    scene: Scene,
    camera: Camera,
    rng: np.random.Generator,
    first_track: int,
    tracers: int = 700,
) -> tuple[pd.DataFrame, int]:
    duct, field, period, axes = scene.duct, scene.field, scene.period, scene.axes
    start, stop = (0.0, field.wrap) if field.wrap else field.span
    positions = _seed(duct, rng, tracers, start, stop)
    interval = period / camera.frames
    offset = rng.uniform(0, period)
    count = int(camera.frames) + 2
    parts = math.ceil(STEPS / camera.frames)
    planes = camera.plane_depths(duct, axes)

    def phase_at(frame: float) -> float:
        return float(((offset + frame * interval) / period) % 1)

    paths, velocities, recorded = [], [], []
    for frame in range(count):
        phase = phase_at(frame)
        velocity = field(positions, phase)
        paths.append(positions)
        velocities.append(velocity)
        at_plane = positions.copy()
        depth = positions[:, axes.depth]
        at_plane[:, axes.depth] = planes[np.abs(depth[:, None] - planes).argmin(axis=1)]
        recorded.append(field(at_plane, phase))
        for part in range(parts):
            if part:
                velocity = field(positions, phase_at(frame + part / parts))
            half = positions + interval / parts / 2 * velocity
            middle = phase_at(frame + (part + 0.5) / parts)
            positions = positions + interval / parts * field(half, middle)
        if field.wrap:
            positions[:, 1] %= field.wrap
    path = axes.vectors(np.stack(paths))
    true = {
        "tracers": axes.vectors(np.stack(velocities)),
        "tracks": axes.vectors(np.stack(recorded)),
    }

    depth, along = path[..., 2], path[..., axes.axis]
    distance = np.abs(depth[..., None] - planes)
    plane = distance.argmin(axis=-1)
    seen = distance.min(axis=-1) < camera.thickness / 2
    seen &= (along > 0) & (along < duct.length)
    lost = rng.random(seen.shape) < camera.loss
    linked = seen[:-1] & seen[1:] & (plane[:-1] == plane[1:]) & ~lost[1:]
    # A tracer that comes in again at the other end of a periodic duct is a new one to the camera.
    linked &= np.abs(np.diff(along, axis=0)) < duct.length / 2
    table = sightings(path, linked, interval, first_track, true)
    table["t"] = (offset + table["frame"] * interval) % period
    table["z_plane"] = planes[np.abs(table["z"].to_numpy()[:, None] - planes).argmin(axis=1)]
    return table, first_track + table["track"].nunique()


def sightings(
    path: Array,
    linked: NDArray[np.bool_],
    interval: float,
    first_track: int,
    true: dict[str, Array] | None = None,
) -> pd.DataFrame:
    """A row for every sighting with a sighting before and after it, from paths of tracers.

    Parameters
    ----------
    path
        Positions (F, N, 3) at every frame.
    linked
        (F - 1, N): whether a tracer is seen in this frame and the next, as one track.
    interval
        Time between two frames.
    first_track
        Number of the first track.
    true
        True velocities (F, N, 3), whose components become columns behind their names.

    Returns
    -------
    pandas.DataFrame
        x, y, z; u, v, w as central differences over two intervals; track and frame.
    """
    both = linked[:-1] & linked[1:]
    difference = (path[2:] - path[:-2]) / (2 * interval)
    begins = np.concatenate([both[:1], both[1:] & ~both[:-1]])
    number = first_track + np.cumsum(begins.T.ravel()).reshape(begins.T.shape).T - 1
    tracer, step = np.nonzero(both.T)
    centre = step + 1
    return pd.DataFrame(
        {name: path[centre, tracer, i] for i, name in enumerate("xyz")}
        | {name: difference[step, tracer, i] for i, name in enumerate("uvw")}
        | {"track": number[step, tracer], "frame": centre}
        | {
            f"{name}_{component}": velocity[centre, tracer, i]
            for name, velocity in (true or {}).items()
            for i, component in enumerate("uvw")
        }
    )


def _seed(duct: Duct, rng: np.random.Generator, count: int, start: float, stop: float) -> Array:
    found = np.empty((0, 3))
    while len(found) < count:
        found = np.concatenate([found, duct.uniform(rng, 4 * count, start, stop)])
    return found[:count]
