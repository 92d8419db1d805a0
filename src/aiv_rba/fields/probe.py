"""The inferred flow at points and times of one's own, as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aiv_rba.fields.flow import Flow
from aiv_rba.files.formats import Array

# A point this near the wall, in hydraulic radii, has a wall shear stress.
ON_WALL = 0.01
UNITS = {
    "velocity": "m_s",
    "pressure": "pa",
    "vorticity": "1_s",
    "shear_rate": "1_s",
    "wall_shear_stress": "pa",
}
SHORT = {
    "velocity": ("u", "v", "w"),
    "vorticity": ("vorticity_x", "vorticity_y", "vorticity_z"),
    "wall_shear_stress": ("wss_x", "wss_y", "wss_z"),
}


def probe(flow: Flow, points: pd.DataFrame) -> pd.DataFrame:
    """Velocity, pressure, vorticity, shear rate, and wall shear stress on the wall, SI units.

    Standard deviations, where there are any, are in columns with `_std` in their names. A value is
    not a number outside the vessel, where nothing is inferred, and a wall shear stress off the
    wall.

    Parameters
    ----------
    flow
        The flow.
    points
        Columns x, y, z, m, and t, s; a column t is not needed where the flow is steady.
    """
    times = points["t"].to_numpy() if "t" in points else np.zeros(len(points))
    positions = points[["x", "y", "z"]].to_numpy()
    on_wall = flow.wall_distance(positions) < ON_WALL
    inside = flow.inside(positions) | on_wall
    values = flow.sample(positions, times)
    each, number = np.unique(times, return_inverse=True)
    normals, viscosity = flow.wall_normals(positions), flow.case.scales.viscosity
    found = {
        "velocity": values.velocity,
        "pressure": values.pressure - flow.mean_pressures(each.tolist())[number],
        "vorticity": values.vorticity,
        "shear_rate": values.shear_rate,
        "wall_shear_stress": values.wall_shear_stress(normals, viscosity),
    }
    columns = {"inside": inside.astype(int), **_columns(found, "")}
    if flow.deviations is not None:
        columns |= _columns(_deviations(flow, positions, times), "_std")
    table = pd.DataFrame(columns, index=points.index)
    for name in table.columns.drop("inside"):
        table.loc[~(on_wall if name.startswith("wss") else inside), name] = np.nan
    return points.join(table)


def _deviations(flow: Flow, positions: Array, times: Array) -> dict[str, Array]:
    """Standard deviations at positions (N, 3), each at its own time (N,)."""
    found: dict[str, Array] = {}
    for time, rows in pd.Series(times).groupby(times).indices.items():
        at = flow.std.at(positions[rows], float(time))
        at["wall_shear_stress"] = flow.std.wall_shear_stress(positions[rows], float(time))
        for name, values in at.items():
            found.setdefault(name, np.empty((len(times), *values.shape[1:])))[rows] = values
    return found


def _columns(fields: dict[str, Array], suffix: str) -> dict[str, Array]:
    """Columns such as u_std_m_s: component, suffix, unit."""
    columns = {}
    for name, values in fields.items():
        parts = values.reshape(len(values), -1)
        for short, column in zip(SHORT.get(name, (name,)), parts.T, strict=True):
            columns[f"{short}{suffix}_{UNITS[name]}"] = column
    return columns
