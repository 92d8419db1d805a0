"""Errors as the data-assimilation challenges of the PIV and LPT community give them.

Bias and random error of speed, size of the vorticity and pressure, and the correlation of the
pressure (second Data Assimilation Challenge, https://onera-flow-benchmarks.fr; Sciacchitano,
Leclaire & Schroeder 2021). They are in units of the bulk speed, of the bulk speed over the
hydraulic radius, and of density times the bulk speed squared.
"""

from __future__ import annotations

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array

Pairs = dict[str, tuple[Array, Array]]
"""Inferred and true values by name: velocity and vorticity (..., 3), pressure (...)."""


def challenge_errors(pairs: Pairs, case: Case) -> dict[str, float]:
    """Bias and random error of what is there, and the correlation of the pressure.

    The bulk speed is the mean of the true speed or, where the truth has no velocity, the velocity
    scale. Bias is the mean of inferred less true values, random error the standard deviation of
    that difference. The pressure is less its mean, on both sides.

    Parameters
    ----------
    pairs
        Inferred and true values, SI units.
    case
        The case, for its scales and radius.
    """
    scales = case.scales
    bulk = scales.velocity
    if "velocity" in pairs:
        bulk = float(np.mean(_size(pairs["velocity"][1])))
    units = {
        "velocity": bulk,
        "vorticity": bulk / (case.radius * scales.length),
        "pressure": scales.density * bulk**2,
    }
    errors = {"bulk_speed_m_s": bulk}
    for name, (inferred, true) in pairs.items():
        if name == "pressure":
            difference = inferred - true
            errors["pressure_correlation"] = float(
                np.corrcoef(inferred.ravel(), true.ravel())[0, 1]
            )
        else:
            difference = _size(inferred) - _size(true)
        errors[f"{name}_bias"] = float(np.mean(difference)) / units[name]
        errors[f"{name}_random"] = float(np.std(difference)) / units[name]
    return errors


def _size(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=-1))
