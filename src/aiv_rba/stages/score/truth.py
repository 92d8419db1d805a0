"""Errors against the true flow, where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.fields.derived import sample_series
from aiv_rba.fields.hydraulics import SECTIONS, hydraulics
from aiv_rba.fields.through_openings import ThroughOpenings
from aiv_rba.files.case import Case
from aiv_rba.files.differences import Differences
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, Region, lumen_of, nearest_on, surface_of
from aiv_rba.harmonics import fourier, modes_of
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.stages.score.challenge import challenge_errors
from aiv_rba.statistics import relative_l2

PHASES = 20


@dataclass(frozen=True)
class Compared:
    """What a comparison with the truth gives.

    Attributes
    ----------
    errors
        Relative L2 over space and time of every field that the truth holds.
    outside
        Numbers of truth points in the vessel (`points`, out of `of`) and on its wall
        (`wall_points`, out of `wall_of`) that lie outside the given wall.
    wall_share
        Error that the given triangles alone make of the wall shear stress: that of the true flow
        on them, with their normals, against that on the smooth wall. None if the truth does not
        say.
    differences
        Inferred minus true fields, to draw.
    wrong
        Inferred minus true velocity (T, N, 3), pressure (T, N), wall shear stress (T, M, 3) and,
        where the truth has it, flow rate (T,) at each time, SI units.
    places
        Where and when that is.
    challenge
        Bias and random errors (`challenge_errors`).
    """

    errors: dict[str, float]
    outside: dict[str, int]
    wall_share: float | None
    differences: Differences
    wrong: dict[str, Array]
    places: Places
    challenge: dict[str, float]


class Places(NamedTuple):
    """Nondimensional positions (N, 3) in the lumen, (M, 3) on the wall, normals, times (T,)."""

    inside: Array
    on_wall: Array
    normals: Array
    times: Array


def against_truth(file: h5py.File, case: Case, model: Model) -> Compared:
    """Compare with the truth where a flow is inferred at all: inside the given wall.

    A point of the true wall beyond the given one has its inferred stress at the nearest point of
    the given wall, where a user reads it.

    Raises
    ------
    UserError
        If no point of the truth lies inside the given wall.
    """
    scales = model.scales
    positions, on_wall = (
        (file[f"{group}/position"][:] - np.array(scales.origin)) / scales.length
        for group in ("points", "wall")
    )
    lumen = lumen_of(case)
    kept = lumen.inside(positions)
    if not kept.any():
        raise UserError(
            f"{file.filename}: found none of {len(kept)} truth points inside the given wall, "
            "expected the truth and the wall of one experiment"
        )
    beyond = lumen.distance(on_wall) > 0
    on_wall[beyond] = nearest_on(surface_of(case.wall), on_wall[beyond])
    normals = file["wall/normal"][:]
    true = {
        name: file[f"points/{name}"][:][:, kept] for name in ("velocity", "pressure", "vorticity")
    }
    true["wss"] = file["wall/wall_shear_stress"][:]

    predicted: dict[str, list[Array]] = {name: [] for name in true}
    exact: dict[str, list[Array]] = {name: [] for name in true}
    phases = scales.shares(PHASES)
    times = phases * scales.nondimensional_period
    series = (sample_series(model.network, scales, at, times) for at in (positions[kept], on_wall))
    for phase, flow, beside in zip(phases, *series, strict=True):
        predicted["velocity"].append(flow.velocity)
        predicted["pressure"].append(flow.pressure - flow.pressure.mean())
        predicted["vorticity"].append(flow.vorticity)
        predicted["wss"].append(beside.wall_shear_stress(normals, scales.viscosity))
        for name, modes in true.items():
            field = fourier(modes, phase)
            exact[name].append(field - field.mean() if name == "pressure" else field)

    errors = {n: relative_l2(np.array(predicted[n]), np.array(exact[n])) for n in true}
    for i, name in enumerate("uvw"):
        component = np.array(exact["velocity"])[..., i]
        if component.any():
            errors[name] = relative_l2(np.array(predicted["velocity"])[..., i], component)
    wrong = {name: np.array(predicted[name]) - np.array(exact[name]) for name in true}
    difference = {name: modes_of(values) for name, values in wrong.items()}
    rate_modes = np.full(1, np.nan, dtype=complex)
    if "flow_rate" in file:
        rate_modes = file["flow_rate"][:]
        flow_rate = _flow_rate(case, model, lumen, times)
        true_rate = np.array([fourier(rate_modes, phase) for phase in phases])
        errors["flow_rate"] = relative_l2(flow_rate, true_rate)
        wrong["flow_rate"] = flow_rate - true_rate
    share = None
    if "given" in file:
        given = file["given/wall_shear_stress"][:]
        on_given = np.array([fourier(given, phase) for phase in phases])
        share = relative_l2(on_given, np.array(exact["wss"]))
    outside = {
        "points": int(np.sum(~kept)),
        "of": len(kept),
        "wall_points": int(beyond.sum()),
        "wall_of": len(beyond),
    }
    # The pressure of a time is known up to a constant.
    difference["pressure"] -= difference["pressure"].mean(axis=1, keepdims=True)
    origin = np.array(scales.origin)
    return Compared(
        errors,
        outside,
        share,
        Differences(
            points=positions[kept] * scales.length + origin,
            velocity=difference["velocity"],
            pressure=difference["pressure"],
            wall_points=on_wall * scales.length + origin,
            wall_shear_stress=difference["wss"],
            flow_rate=rate_modes,
            pressure_drop=pressure_drop(lumen, positions[kept], true["pressure"]),
        ),
        wrong,
        Places(positions[kept], on_wall, normals, times),
        challenge_errors(
            {
                name: (np.array(predicted[name]), np.array(exact[name]))
                for name in ("velocity", "vorticity", "pressure")
            },
            case,
        ),
    )


def _flow_rate(case: Case, model: Model, lumen: Lumen | Region, times: Array) -> Array:
    """Inferred flow rates (T,) through the vessel, m^3/s, at nondimensional times (T,)."""
    if isinstance(lumen, Region):
        table = ThroughOpenings(case, lumen, model.network).hydraulics(times)
    else:
        table = hydraulics(model.network, case.scales, lumen, times)
    return np.asarray(table.flow_rate_m3_s)


def pressure_drop(lumen: Lumen | Region, positions: Array, pressure: NDArray[Any]) -> NDArray[Any]:
    """Modes (K,) of the true drop over the whole length, from modes (K, N) at points (N, 3).

    Means over the points in the first and the last of `SECTIONS` slices, scaled from the distance
    of the slices to the length of the vessel; not a number if a slice has no point, or the vessel
    is no tube.
    """
    if isinstance(lumen, Region):
        return np.full(len(pressure), np.nan, dtype=complex)
    along = lumen.wall.points[:, lumen.axis]
    share = (positions[:, lumen.axis] - along.min()) / np.ptp(along)
    ends = share < 1 / SECTIONS, share > 1 - 1 / SECTIONS
    if not all(end.any() for end in ends):
        return np.full(len(pressure), np.nan, dtype=complex)
    first, last = (pressure[:, end].mean(axis=1) for end in ends)
    return np.asarray((first - last) * SECTIONS / (SECTIONS - 1))
