"""The inferred flow at points of the lumen, from its series of meshes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv
from scipy.spatial import cKDTree

from aiv_rba.files.formats import Array

# How far, in widths of the vessel, a point may lie outside the chords of the wall.
OFF_THE_WALL = 0.01
# Arrays of the standard deviations of what is drawn.
SPREAD = {"velocity": "velocity_std", "pressure": "pressure_std"}


@dataclass(frozen=True)
class SampledFlow:
    """The inferred flow at points of any shape (...) and times (T,), SI units.

    Attributes
    ----------
    velocity, pressure, vorticity
        (T, ..., 3), (T, ...), and the magnitude (T, ...).
    spread
        Standard deviations (T, ...) of velocity and pressure, those of the velocity's components
        added in squares; empty if there are none.
    """

    velocity: Array
    pressure: Array
    vorticity: Array
    spread: dict[str, Array]


@dataclass(frozen=True)
class Sampled:
    """A volume series: times (T,) in s, the largest speed (T,) in m/s, the flow on every piece."""

    times: Array
    peak_speed: Array
    flows: list[SampledFlow]


def sample_at(path: Path, pieces: Sequence[Array], width: float) -> Sampled:
    """Sample a volume series at the points (..., 3), m, of every piece.

    All times share their mesh, so that each point is looked up once. A point that lies between
    the chords of the given wall and its curve takes the values next to it.

    Parameters
    ----------
    path
        The series.
    pieces
        Points of sheets or cuts.
    width
        Width of the vessel, m.
    """
    reader = pv.PVDReader(path)
    times = np.array(reader.time_values)
    mesh: Any = None
    peaks = []
    names = ["velocity", "pressure", "vorticity"]
    for number in range(len(times)):
        reader.set_active_time_point(number)
        found: Any = reader.read()[0]
        if mesh is None:
            mesh = pv.UnstructuredGrid(found.cells, found.celltypes, found.points)
            names += [name for name in SPREAD.values() if name in found.point_data]
        for name in names:
            values = found[name]
            vectors = values.ndim == 2 and name != "velocity"
            mesh.point_data[f"{name} {number}"] = (
                np.linalg.norm(values, axis=1) if vectors else values
            )
        peaks.append(np.linalg.norm(found["velocity"], axis=1).max())
    cloud = pv.PolyData(np.concatenate([points.reshape(-1, 3) for points in pieces]))
    probed: Any = cloud.sample(mesh, tolerance=OFF_THE_WALL * width)
    missed = np.asarray(probed["vtkValidPointMask"]) == 0
    _, nearest = cKDTree(mesh.points).query(cloud.points[missed])

    def on_cloud(name: str) -> Array:
        found = np.array(probed[name])
        found[missed] = mesh.point_data[name][nearest]
        return found

    values = {
        name: np.stack([on_cloud(f"{name} {number}") for number in range(len(times))])
        for name in names
    }
    flows, start = [], 0
    for points in pieces:
        shape = points.shape[:-1]
        part = slice(start, start + points.size // 3)
        here = {n: v[:, part].reshape(len(times), *shape, *v.shape[2:]) for n, v in values.items()}
        spread = {name: here[array] for name, array in SPREAD.items() if array in here}
        flows.append(SampledFlow(here["velocity"], here["pressure"], here["vorticity"], spread))
        start = part.stop
    return Sampled(times, np.array(peaks), flows)
