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
    times = points["t"] if "t" in points else pd.Series(0.0, index=points.index)
    parts = [
        _at_time(flow, group[["x", "y", "z"]].to_numpy(), float(time)).set_index(group.index)
        for time, group in points.groupby(times)
    ]
    return points.join(pd.concat(parts))


def _at_time(flow: Flow, points: Array, time: float) -> pd.DataFrame:
    on_wall = flow.wall_distance(points) < ON_WALL
    inside = flow.inside(points) | on_wall
    names = ("velocity", "pressure", "vorticity", "shear_rate", "wall_shear_stress")
    found = {name: getattr(flow, name)(points, time) for name in names}
    columns = {"inside": inside.astype(int), **_columns(found, "")}
    if flow.deviations is not None:
        spread = flow.std.at(points, time)
        spread["wall_shear_stress"] = flow.std.wall_shear_stress(points, time)
        columns |= _columns(spread, "_std")
    table = pd.DataFrame(columns)
    for name in table.columns.drop("inside"):
        table.loc[~(on_wall if name.startswith("wss") else inside), name] = np.nan
    return table


def _columns(fields: dict[str, Array], suffix: str) -> dict[str, Array]:
    """Columns such as u_std_m_s: component, suffix, unit."""
    columns = {}
    for name, values in fields.items():
        parts = values.reshape(len(values), -1)
        for short, column in zip(SHORT.get(name, (name,)), parts.T, strict=True):
            columns[f"{short}{suffix}_{UNITS[name]}"] = column
    return columns
