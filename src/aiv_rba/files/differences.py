"""Inferred minus true fields, and its file ``differences.h5``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.formats import Array, check_same_case, create_h5, open_h5

Modes = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class Differences:
    """Inferred minus true fields as Fourier modes of the cycle (harmonics.py), SI units.

    Attributes
    ----------
    points
        (N, 3): points of the truth inside the given wall, m.
    velocity, pressure
        Differences there, (K, N, 3) in m/s and (K, N) in Pa. That of the pressure has zero mean
        over the points.
    wall_points
        (M, 3): points of the given wall next to those of the truth, m.
    wall_shear_stress
        Difference there, (K, M, 3), Pa.
    flow_rate, pressure_drop
        The true ones (J,), m^3/s and Pa; not a number where the truth does not say. It does not
        say the drop if it has no points near the ends, or the vessel is no tube.
    """

    points: Array
    velocity: Modes
    pressure: Modes
    wall_points: Array
    wall_shear_stress: Modes
    flow_rate: Modes
    pressure_drop: Modes


def write_differences(path: Path, differences: Differences, identity: str) -> None:
    """Write ``differences.h5``; fields in single precision."""
    with create_h5(path, "differences", {"identity": identity}) as file:
        for field in fields(differences):
            values = getattr(differences, field.name)
            if np.iscomplexobj(values):
                values = values.astype(np.complex64)
            file.create_dataset(field.name, data=values, compression="gzip", shuffle=True)


def read_differences(path: Path, identity: str) -> Differences:
    """Read ``differences.h5``.

    Raises
    ------
    UserError
        If it is missing, damaged or of another case.
    """
    with open_h5(path, "differences") as file:
        check_same_case(path, str(file.attrs["identity"]), identity)
        return Differences(*(file[field.name][:] for field in fields(Differences)))
