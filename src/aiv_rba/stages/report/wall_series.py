"""The wall and its fields over the cycle, from its series of meshes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv

from aiv_rba.files.formats import Array, IntArray


@dataclass(frozen=True)
class WallSeries:
    """The wall, and fields on its vertices at times (T,).

    Attributes
    ----------
    points
        (V, 3), m.
    triangles
        (M, 3): vertex numbers.
    stress, pressure
        Wall shear stress (T, V, 3) and pressure (T, V), Pa.
    spread
        Standard deviations (T, V) of both, Pa, that of the stress being the root of the sum of
        squares of its components'; empty if there are none.
    """

    points: Array
    triangles: IntArray
    stress: Array
    pressure: Array
    spread: dict[str, Array]


def read_wall(path: Path) -> WallSeries:
    """Read a wall series; all times share their mesh."""
    reader = pv.PVDReader(path)
    stress, pressure = [], []
    spread: dict[str, list[Array]] = {}
    for number in range(len(reader.time_values)):
        reader.set_active_time_point(number)
        mesh: Any = reader.read()[0]
        stress.append(np.asarray(mesh["wall_shear_stress"]))
        pressure.append(np.asarray(mesh["pressure"]))
        if "pressure_std" in mesh.point_data:
            size = np.linalg.norm(mesh["wall_shear_stress_std"], axis=1)
            spread.setdefault("stress", []).append(size)
            spread.setdefault("pressure", []).append(np.asarray(mesh["pressure_std"]))
    return WallSeries(
        np.asarray(mesh.points, dtype=float),
        np.asarray(mesh.regular_faces, dtype=np.int64),
        np.stack(stress),
        np.stack(pressure),
        {name: np.stack(values) for name, values in spread.items()},
    )
