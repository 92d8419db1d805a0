"""What the training chooses from the case: network, output scales, global weights, rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.settings import GaussNewtonSettings, GlobalWeights, OptimiserSettings, TrainSettings
from aiv_rba.time_modes import check_modes, radians

# Largest misfit of the wall function for no-slip to be called exact: vertices that scatter by seven
# percent of the hydraulic radius about a smooth wall.
LARGEST_MISFIT = 0.14
# Speed across the vessel over the velocity scale where no track measures it.
CROSS_FLOW = 0.1
# Least tolerance of the momentum across the vessel, over that of the axial one.
LEAST_ACROSS = 0.25
# Neurons of a hidden layer; and where convection is strong, from this Reynolds number of the
# hydraulic radius.
WIDTH, WIDE, STRONG = 32, 48, 30.0
ROWS = {"no_slip": 300, "tracks": 2000, "navier_stokes": 1200}


def resolve(settings: TrainSettings, case: Case) -> TrainSettings:
    """The settings with every ``auto`` replaced by what the case tells.

    Raises
    ------
    UserError
        If no-slip is to be exact and the wall function does not vanish on the wall, or the
        tracks have too few times for the harmonics or polynomials asked for.
    """
    network = settings.network
    if network.no_slip == "exact" and case.wall_function.misfit > LARGEST_MISFIT:
        raise UserError(
            f"train.network.no_slip: the wall function is {100 * case.wall_function.misfit:.2g} % "
            f"of its size on the wall, expected at most {100 * LARGEST_MISFIT:.2g} %: give a finer "
            "wall or no_slip: soft"
        )
    if network.width == "auto":
        network = replace(network, width=WIDE if _reynolds(case) >= STRONG else WIDTH)
    if network.time_harmonics == "auto":
        network = replace(network, time_harmonics=case.harmonics)
    elif network.time_harmonics:
        times = case.tracks.points[~case.tracks.validation, 0]
        duration = case.scales.nondimensional_period
        check_modes(network.time_harmonics, case.flow, times, duration, "the training rows")
    if network.output_scales == "auto":
        network = replace(network, output_scales=_output_scales(case))
    blocks = [name for name in ROWS if name != "no_slip" or network.no_slip == "soft"]
    rows = tuple(ROWS[block] for block in blocks)
    return replace(
        settings,
        network=network,
        global_weights=_weights(settings.global_weights, case),
        optimiser=_with_rows(settings.optimiser, rows),
        second_optimiser=_with_rows(settings.second_optimiser, rows)
        if settings.second_optimiser
        else None,
    )


def chosen(settings: TrainSettings, resolved: TrainSettings, case: Case) -> dict[str, str]:
    """Dotted keys of what was ``auto`` and is used: the value, and what it follows from."""
    reasons = _reasons(resolved.global_weights, case)
    found = {}
    for section in ("network", "global_weights", "optimiser"):
        asked, got = getattr(settings, section), getattr(resolved, section)
        for key, value in vars(asked).items():
            unused = key == "no_slip" and resolved.network.no_slip == "exact"
            if value == "auto" and not unused:
                values = np.atleast_1d(getattr(got, key))
                name = f"{section}.{key}"
                found[name] = f"{', '.join(f'{one:.4g}' for one in values)}, {reasons[name]}"
    return found


def _reasons(weights: GlobalWeights, case: Case) -> dict[str, str]:
    measured = ", ".join(case.tracks.velocity)
    others = ", ".join(name for name in "uvw" if name not in case.tracks.velocity)
    return {
        "network.width": f"at a Reynolds number of {_reynolds(case):.3g} of the hydraulic radius",
        "network.time_harmonics": "as many as the tracks show",
        "network.output_scales": f"rms of the measured {measured}"
        + (f", assumed for {others}" if others else "")
        + ", and the pressure that drives such a flow through the vessel",
        "global_weights.no_slip": f"inverse squares of {weights.no_slip_tolerance:g} of the "
        "velocity scale",
        "global_weights.tracks": f"inverse squares of the noise of {measured}"
        + (f"; that of {others} is not used" if others else ""),
        "global_weights.momentum": f"inverse squares of {weights.momentum_tolerance:g} of the "
        "viscous and unsteady force, and of less across a tube, where the flow is slower",
        "global_weights.mass": f"inverse square of {weights.mass_tolerance:g} of the velocity "
        "scale over the hydraulic radius",
        "optimiser.rows": "points of one step, the same for every case",
    }


def _output_scales(case: Case) -> tuple[float, float, float, float]:
    """Sizes of u, v, w, p: measured rms, and the pressure that drives such a flow."""
    measured = case.tracks.velocity
    sizes = {name: float(np.sqrt(np.mean(values**2))) for name, values in measured.items()}
    # A lumen of any shape has no direction across, in which the flow is slow.
    along = range(3) if case.lumen == "general" else (case.axis,)
    across = [sizes[name] for name in sizes if "uvw".index(name) not in along]
    other = max(across) if across else CROSS_FLOW
    # Where nothing moves a scale must still be positive.
    largest = max(*sizes.values(), 0.01)
    u, v, w = (
        max(sizes.get(name, largest if axis in along else other), 0.01 * largest)
        for axis, name in enumerate("uvw")
    )
    length = float(np.ptp(case.corners[:, case.axis]))
    return u, v, w, _force(case) * length


def _reynolds(case: Case) -> float:
    """Reynolds number of the hydraulic radius."""
    return case.scales.inertia * case.radius / case.scales.diffusion


def _force(case: Case) -> float:
    """Viscous and unsteady force per volume at unit velocity in the hydraulic radius."""
    scales = case.scales
    viscous = scales.diffusion / case.radius**2
    # A pulse is mostly its first harmonic; of an unsteady flow the fastest wave is known.
    modes = min(case.harmonics, 1) if case.flow == "periodic" else case.harmonics
    unsteady = scales.inertia * radians(case.flow, modes) / scales.nondimensional_period
    return float(np.hypot(viscous, unsteady))


def _weights(weights: GlobalWeights, case: Case) -> GlobalWeights:
    across = [1.0, 1.0, 1.0]
    if case.lumen != "general":
        sizes = _output_scales(case)[:3]
        across = [min(max(size / sizes[case.axis], LEAST_ACROSS), 1.0) for size in sizes]
    allowed = weights.momentum_tolerance * _force(case)
    values: dict[str, Any] = {
        "no_slip": 3 * (weights.no_slip_tolerance**-2,),
        "tracks": tuple(case.noise.get(name, 1.0) ** -2 for name in "uvw"),
        "momentum": tuple((share * allowed) ** -2 for share in across),
        "mass": (weights.mass_tolerance / case.radius) ** -2,
    }
    return replace(weights, **{k: v for k, v in values.items() if getattr(weights, k) == "auto"})


def _with_rows(optimiser: OptimiserSettings, rows: tuple[int, ...]) -> OptimiserSettings:
    if isinstance(optimiser, GaussNewtonSettings) and optimiser.rows == "auto":
        return replace(optimiser, rows=rows)
    return optimiser
