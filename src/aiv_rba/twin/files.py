"""The files of a twin: tracks and walls as a user holds them, and a table of the true flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyvista as pv
import yaml

from aiv_rba.files.formats import atomic_path
from aiv_rba.scales import Scales
from aiv_rba.twin.geometry import Array, IntArray

UNITS = {"um": 1e-6, "mm": 1e-3}
DECIMALS = {"um": 3, "mm": 6}
# Columns of the table of the true flow, SI units.
VORTICITY = ("vorticity_x", "vorticity_y", "vorticity_z")
STRESS = ("wss_x", "wss_y", "wss_z")
COLUMNS = ("t", "x", "y", "z", "u", "v", "w", "p", *VORTICITY, *STRESS)


def write_wall(path: Path, points: Array, triangles: IntArray) -> None:
    """Write a wall as STL and VTP; points (N, 3) in the unit of the files."""
    mesh = pv.PolyData(points, np.insert(triangles, 0, 3, axis=1))
    for suffix in (".stl", ".vtp"):
        with atomic_path(path.with_suffix(suffix)) as temporary:
            # The writer goes by the ending, which the temporary name lacks.
            named = temporary.with_suffix(suffix)
            mesh.save(named)
            named.replace(temporary)


def write_tracks(path: Path, table: pd.DataFrame, scales: Scales, unit: str) -> None:
    """Write tracks in units of the twin as tracks in seconds and in the unit of the files."""
    table = table.copy()
    places = [name for name in ("x", "y", "z", "z_plane") if name in table]
    velocities = [name for name in "uvw" if name in table]
    table["t"] *= scales.time
    table[places] *= scales.length / UNITS[unit]
    table[velocities] *= scales.velocity / UNITS[unit]
    decimals = DECIMALS[unit]
    formats = {"t": "{:.6f}"} | dict.fromkeys(places, f"{{:.{decimals}f}}")
    text = table.assign(**{name: table[name].map(f.format) for name, f in formats.items()})
    with atomic_path(path) as temporary:
        text.to_csv(temporary, index=False, float_format=f"%.{decimals}f")


def write_experiment(
    path: Path, name: str, unit: str, ingest: Mapping[str, Any], truth: Path
) -> None:
    """Write the least that a user would: `ingest` beside the units."""
    units = {"length": unit, "velocity": f"{unit}/s", "wall": unit}
    document = {
        "name": name,
        "ingest": {**ingest, "units": units},
        "score": {"truth": str(truth)},
    }
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(document, sort_keys=False))


def write_table(path: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    """Write the true flow as one array for every column (.npz), the parts behind each other.

    A part has arrays (R,), or numbers, by the names of `COLUMNS`; what it does not have is not a
    number.
    """
    frames = [pd.DataFrame(dict(part)) for part in parts]
    table = pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: table[name].to_numpy(float) for name in COLUMNS})


def flow_rows(
    time: float, points: Array, velocity: Array, pressure: Array, vorticity: Array
) -> dict[str, Any]:
    """A part of the table in the lumen: vectors (R, 3) and pressure (R,) at a time, SI units."""
    return {
        "t": time,
        **dict(zip("xyz", points.T, strict=True)),
        **dict(zip("uvw", velocity.T, strict=True)),
        "p": pressure,
        **dict(zip(VORTICITY, vorticity.T, strict=True)),
    }


def wall_rows(time: float, points: Array, stress: Array, pressure: Array) -> dict[str, Any]:
    """A part of the table on the wall: vectors (R, 3) and pressure (R,) at a time, SI units."""
    return {
        "t": time,
        **dict(zip("xyz", points.T, strict=True)),
        "p": pressure,
        **dict(zip(STRESS, stress.T, strict=True)),
    }
