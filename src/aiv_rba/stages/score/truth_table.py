"""Errors against a table of true values at points and times of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aiv_rba.errors import UserError
from aiv_rba.fields.flow import Flow
from aiv_rba.files.formats import Array
from aiv_rba.files.tables import read_table
from aiv_rba.geometry import nearest_on, surface_of
from aiv_rba.stages.score.challenge import Pairs, challenge_errors
from aiv_rba.statistics import relative_l2

POSITION = ("x", "y", "z")
VELOCITY = ("u", "v", "w")
VORTICITY = ("vorticity_x", "vorticity_y", "vorticity_z")
STRESS = ("wss_x", "wss_y", "wss_z")
VALUES = (*VELOCITY, "p", *VORTICITY, *STRESS, "wss")
# Farthest that a row of the wall shear stress may lie off the wall, in hydraulic radii.
OFF_WALL = 0.1
# Times and rows of each at which standard deviations are compared with errors.
TIMES, ROWS = 5, 400


@dataclass(frozen=True)
class TableScores:
    """What a comparison with a table gives.

    Attributes
    ----------
    errors
        Relative L2 over all rows of every quantity that the table holds.
    outside
        Rows in the vessel (`points`, out of `of`) that lie outside the given wall, and rows of the
        wall shear stress (`wall_points`, out of `wall_of`) that lie off it; in an unsteady flow
        also those outside its window.
    challenge
        Bias and random errors (`challenge_errors`).
    inside
        Rows inside the wall: the table's values, and `inferred_u` and so on beside them.
    on_wall
        Rows on the wall, likewise.
    """

    errors: dict[str, float]
    outside: dict[str, int]
    challenge: dict[str, float]
    inside: pd.DataFrame
    on_wall: pd.DataFrame


def read_truth_table(path: Path, *, timed: bool) -> pd.DataFrame:
    """Columns t (s), x, y, z (m) and any of u, v, w (m/s), p (Pa), vorticity_x ... (1/s), wss (Pa).

    `wss_x`, `wss_y` and `wss_z` are the vector of the wall shear stress, `wss` its magnitude. An
    empty cell is a value that is not known.

    Parameters
    ----------
    path
        CSV or npz file.
    timed
        Whether there must be a column t.

    Raises
    ------
    UserError
        If the file is not such a table, or holds no value at all.
    """
    required = ("t", *POSITION) if timed else POSITION
    table = read_table(path, required, VALUES if timed else ("t", *VALUES))
    there = [name for name in VALUES if name in table]
    if not there or table[there].isna().all(axis=None):
        raise UserError(f"{path}: found no true value, expected some of {', '.join(VALUES)}")
    return table


def against_table(path: Path, table: pd.DataFrame, flow: Flow) -> TableScores:
    """Compare a table with a flow where and when it is inferred at all: inside the given wall.

    Raises
    ------
    UserError
        If no row lies inside or on the given wall.
    """
    names = [name for name in VALUES if name in table]
    of_wall = [name for name in names if name in (*STRESS, "wss")]
    in_lumen = [name for name in names if name not in of_wall]
    on_wall = table[of_wall].notna().any(axis=1)
    moved, near = _moved_onto_wall(table, on_wall, flow)
    # A row of the wall is neither inside nor outside the triangles, whatever rounding says.
    known = table[in_lumen].notna().any(axis=1)
    near &= _in_window(table, flow)
    within = pd.Series(flow.inside(moved[[*POSITION]].to_numpy()), index=table.index)
    inside, wall = moved[known & near & (within | on_wall)], moved[on_wall & near]
    if inside.empty and wall.empty:
        raise UserError(
            f"{path}: found none of {len(table)} rows inside or on the given wall at a time of the "
            "flow, expected the truth of this experiment, in m and s"
        )
    inside, wall = _inferred_inside(inside, flow), _inferred_on_wall(wall, flow)
    outside = {
        "points": int(np.sum(known)) - len(inside),
        "of": int(np.sum(known)),
        "wall_points": int(np.sum(on_wall)) - len(wall),
        "wall_of": int(np.sum(on_wall)),
    }
    return TableScores(
        _errors(inside, wall), outside, challenge_errors(_pairs(inside), flow.case), inside, wall
    )


def _moved_onto_wall(
    table: pd.DataFrame, on_wall: pd.Series, flow: Flow
) -> tuple[pd.DataFrame, pd.Series]:
    """The table with its rows of the wall at the nearest points of the given one.

    And which rows lie near enough to it; those of the lumen always do.
    """
    scales = flow.case.scales
    origin = np.array(scales.origin)
    positions = (table.loc[on_wall, [*POSITION]].to_numpy() - origin) / scales.length
    nearest = nearest_on(surface_of(flow.case.wall), positions)
    near = pd.Series(True, index=table.index)
    near[on_wall] = np.linalg.norm(nearest - positions, axis=1) < OFF_WALL * flow.case.radius
    moved = table.copy()
    moved.loc[on_wall, [*POSITION]] = nearest * scales.length + origin
    return moved, near


def _in_window(table: pd.DataFrame, flow: Flow) -> pd.Series:
    """Which rows lie in the window of the recording; any time is one of a periodic flow."""
    if flow.case.flow != "unsteady":
        return pd.Series(True, index=table.index)
    return table.t.between(*flow.window)


def _inferred_inside(rows: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """Rows with what is inferred; pressures on both sides less their mean over the rows of a time.

    One pressure of a time says nothing: it is known up to a constant.
    """
    if rows.empty:
        return rows
    rows = rows.copy()
    with_vorticity = any(name in rows for name in VORTICITY)
    found = flow.sample(rows[[*POSITION]].to_numpy(), _times(rows), 1 if with_vorticity else 0)
    inferred = {VELOCITY: found.velocity}
    if with_vorticity:
        inferred[VORTICITY] = found.vorticity
    for names, values in inferred.items():
        for name, column in zip(names, values.T, strict=True):
            rows[f"inferred_{name}"] = column
    rows["inferred_p"] = found.pressure
    if "p" not in rows:
        return rows
    known = rows.p.notna()
    by_time = rows[known].groupby(_times(rows)[known])
    rows.loc[known, "p"] = by_time.p.transform(lambda p: p - p.mean() if len(p) > 1 else np.nan)
    rows.loc[known, "inferred_p"] = by_time.inferred_p.transform(lambda p: p - p.mean())
    return rows


def _inferred_on_wall(rows: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    if rows.empty:
        return rows
    rows = rows.copy()
    positions = rows[[*POSITION]].to_numpy()
    found = flow.sample(positions, _times(rows))
    stress = found.wall_shear_stress(flow.wall_normals(positions), flow.case.scales.viscosity)
    for i, name in enumerate(STRESS):
        rows[f"inferred_{name}"] = stress[:, i]
    rows["inferred_wss"] = np.linalg.norm(stress, axis=1)
    return rows


def _times(rows: pd.DataFrame) -> Array:
    return rows.t.to_numpy() if "t" in rows else np.zeros(len(rows))


def _errors(inside: pd.DataFrame, on_wall: pd.DataFrame) -> dict[str, float]:
    vectors = {"velocity": VELOCITY, "vorticity": VORTICITY}
    errors = {}
    for rows, groups in (
        (inside, {**vectors, "pressure": ("p",), **{name: (name,) for name in VELOCITY}}),
        (on_wall, {"wss": STRESS, "wss_magnitude": ("wss",)}),
    ):
        for name, columns in groups.items():
            known = _known(rows, columns)
            if len(known):
                true = known[[*columns]].to_numpy()
                inferred = known[[f"inferred_{column}" for column in columns]].to_numpy()
                if true.any():
                    errors[name] = relative_l2(inferred, true)
    return errors


def _pairs(rows: pd.DataFrame) -> Pairs:
    """Inferred and true values of what is known as a whole."""
    pairs: Pairs = {}
    for name, columns in (("velocity", VELOCITY), ("vorticity", VORTICITY), ("pressure", ("p",))):
        known = _known(rows, columns)
        if len(known):
            inferred = known[[f"inferred_{column}" for column in columns]].to_numpy()
            true = known[[*columns]].to_numpy()
            if name == "pressure":
                inferred, true = inferred[:, 0], true[:, 0]
            pairs[name] = (inferred, true)
    return pairs


def _known(rows: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """The rows in which all of the columns have values."""
    if not all(column in rows for column in columns):
        return rows.iloc[:0]
    return rows.dropna(subset=list(columns))


def compared_deviations(scores: TableScores, flow: Flow) -> dict[str, tuple[Array, Array]]:
    """Errors and standard deviations, (n,) each, by field: at the times with the most rows."""
    pairs: dict[str, list[tuple[Array, Array]]] = {}

    def add(name: str, rows: pd.DataFrame, column: str, deviation: Array) -> None:
        if column in rows:
            wrong = (rows[f"inferred_{column}"] - rows[column]).to_numpy()
            known = np.isfinite(wrong)
            pairs.setdefault(name, []).append((wrong[known], deviation[known]))

    for time, rows in _richest(scores.inside):
        found = flow.std.at(rows[[*POSITION]].to_numpy(), time, ("velocity", "pressure"))
        for i, name in enumerate(VELOCITY):
            add(name, rows, name, found["velocity"][:, i])
        add("pressure", rows, "p", found["pressure"])
    for time, rows in _richest(scores.on_wall):
        found_stress = flow.std.wall_shear_stress(rows[[*POSITION]].to_numpy(), time)
        for i, name in enumerate(STRESS):
            add("wss", rows, name, found_stress[:, i])
    joined = {
        name: (np.concatenate([w for w, _ in parts]), np.concatenate([d for _, d in parts]))
        for name, parts in pairs.items()
    }
    return {name: pair for name, pair in joined.items() if len(pair[0])}


def _richest(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    """The times with the most rows, and some of the rows of each."""
    if rows.empty:
        return []
    groups = sorted(rows.groupby(_times(rows)), key=lambda group: -len(group[1]))[:TIMES]
    return [
        (float(time), group.sample(min(len(group), ROWS), random_state=0)) for time, group in groups
    ]
