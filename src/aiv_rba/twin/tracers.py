"""What a camera would see: tracers in three optical slabs, with noise, loss and mismatches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.twin.geometry import Lobe
from aiv_rba.twin.sampling import Interpolant

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Recording and tracking.

    Attributes
    ----------
    planes, thickness
        Depths and thickness of the optical slabs, in length units of the twin.
    frames
        Frames per cycle; not a whole number, so that merged phases fill the cycle.
    rows
        Rows wanted.
    loss
        Probability that a tracer is lost between two frames.
    noise_u, noise_v
        Standard deviation of the velocity noise over the component's rms.
    outliers
        Share of rows whose velocity belongs to another particle.
    """

    planes: tuple[float, float, float] = (-0.3, -0.08, 0.14)
    thickness: float = 0.08
    frames: float = 75.7
    rows: int = 23_400
    loss: float = 0.03
    noise_u: float = 0.15
    noise_v: float = 0.12
    outliers: float = 0.02


def record(
    duct: Lobe, field: Interpolant, period: float, camera: Camera, seed: int
) -> tuple[pd.DataFrame, dict[str, Array]]:
    """Tracks in units of the twin, and what is true of every row.

    Tracers start all over the duct and are advected by the midpoint rule through one cycle.
    Velocities are central differences over two frame intervals.

    Returns
    -------
    DataFrame, dict
        The table as an experimenter holds it; velocities (rows, 3): "tracers", of the tracer
        itself, and "tracks", of the fluid where the row says the tracer is, at the middle of its
        slab.
    """
    rng = np.random.default_rng(seed)
    parts: list[pd.DataFrame] = []
    tracks = 0
    while sum(map(len, parts)) < camera.rows:
        part, tracks = _one_cycle(duct, field, period, camera, rng, tracks)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)[: camera.rows]
    truth = {
        name: table[[f"{name}_{c}" for c in "uvw"]].to_numpy() for name in ("tracers", "tracks")
    }

    for name, share in (("u", camera.noise_u), ("v", camera.noise_v)):
        rms = np.sqrt(np.mean(table[name] ** 2))
        table[name] += share * rms * rng.standard_normal(len(table))
    mismatched = rng.random(len(table)) < camera.outliers
    others = rng.integers(len(table), size=int(mismatched.sum()))
    table.loc[mismatched, ["u", "v"]] = table[["u", "v"]].to_numpy()[others]
    return table[["t", "x", "y", "z_plane", "u", "v", "track", "frame"]], truth


def _one_cycle(
    duct: Lobe,
    field: Interpolant,
    period: float,
    camera: Camera,
    rng: np.random.Generator,
    first_track: int,
    tracers: int = 700,
) -> tuple[pd.DataFrame, int]:
    start, stop = field.span
    positions = _seed(duct, rng, tracers, start, stop)
    interval = period / camera.frames
    offset = rng.uniform(0, period)
    count = int(camera.frames) + 2
    planes = np.array(camera.planes)
    paths, velocities, recorded = [], [], []
    for frame in range(count):
        phase = ((offset + frame * interval) / period) % 1
        velocity = field(positions, phase)
        paths.append(positions)
        velocities.append(velocity)
        at_plane = positions.copy()
        at_plane[:, 2] = planes[np.abs(positions[:, 2:] - planes).argmin(axis=1)]
        recorded.append(field(at_plane, phase))
        half = positions + interval / 2 * velocity
        middle = ((offset + (frame + 0.5) * interval) / period) % 1
        positions = positions + interval * field(half, middle)
    path = np.stack(paths)
    true = {"tracers": np.stack(velocities), "tracks": np.stack(recorded)}

    depth = path[..., 2]
    distance = np.abs(depth[..., None] - planes)
    plane = distance.argmin(axis=-1)
    seen = distance.min(axis=-1) < camera.thickness / 2
    seen &= (path[..., 1] > 0) & (path[..., 1] < duct.length)
    lost = rng.random(seen.shape) < camera.loss
    linked = seen[:-1] & seen[1:] & (plane[:-1] == plane[1:]) & ~lost[1:]
    both = linked[:-1] & linked[1:]

    difference = (path[2:] - path[:-2]) / (2 * interval)
    begins = np.concatenate([both[:1], both[1:] & ~both[:-1]])
    number = first_track + np.cumsum(begins.T.ravel()).reshape(begins.T.shape).T - 1
    tracer, step = np.nonzero(both.T)
    centre = step + 1
    time = (offset + centre * interval) % period
    at = path[centre, tracer]
    table = pd.DataFrame(
        {
            "t": time,
            "x": at[:, 0],
            "y": at[:, 1],
            "z_plane": planes[plane[centre, tracer]],
            "u": difference[step, tracer, 0],
            "v": difference[step, tracer, 1],
            "track": number[step, tracer],
            "frame": centre,
        }
        | {
            f"{name}_{component}": velocity[centre, tracer, i]
            for name, velocity in true.items()
            for i, component in enumerate("uvw")
        }
    )
    return table, first_track + int(begins.sum())


def _seed(duct: Lobe, rng: np.random.Generator, count: int, start: float, stop: float) -> Array:
    found = np.empty((0, 3))
    while len(found) < count:
        found = np.concatenate([found, in_lumen(duct, rng, 4 * count, start, stop)])
    return found[:count]


def in_lumen(duct: Lobe, rng: np.random.Generator, tries: int, start: float, stop: float) -> Array:
    """Points uniform in the lumen, those of `tries` in a box that fall inside."""
    reach = duct.artery + 2 * duct.gap
    low = np.array([-reach, start, -reach])
    high = np.array([reach, stop, 2 * duct.gap])
    points = rng.uniform(low, high, size=(tries, 3))
    a, b = duct.unbend(*points.T)
    return np.asarray(points[np.hypot(a, b) < 1 - 1e-6])
