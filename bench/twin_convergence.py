"""Errors of the digital twin: the same flow on a finer mesh and with half the time step.

Writes results/twin_convergence.json. The finer mesh needs about 8 GB and some ten minutes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiv_rba.twin.generate import Twin, solve_twin
from aiv_rba.twin.sampling import flow_at, wall_shear_stress, wall_surface
from aiv_rba.twin.tracers import in_lumen

RESULTS = Path("results/twin_convergence.json")
TWIN = Twin()
BUNDLED = TWIN.discretisation
FINER = {
    "finer_mesh": replace(BUNDLED, section=5, rings=3, axial=36),
    "half_time_step": replace(BUNDLED, steps=2 * BUNDLED.steps),
}


def flow(twin: Twin) -> dict[str, np.ndarray]:
    """Modes of velocity, pressure (zero mean) and wall shear stress at fixed points."""
    inside = in_lumen(twin.duct, np.random.default_rng(0), 20_000, 0.0, twin.duct.length)
    on_wall, normals, _ = wall_surface(twin.duct, 48, 97, (0.0, twin.duct.length))
    solution = solve_twin(twin)
    velocity, pressure, _ = flow_at(twin.duct, solution, inside)
    _, _, gradient = flow_at(twin.duct, solution, on_wall)
    return {
        "velocity": velocity,
        "pressure": pressure - pressure.mean(axis=1, keepdims=True),
        "wall_shear_stress": wall_shear_stress(gradient, normals),
    }


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Relative difference of modes, in the mean square over the cycle and at most."""
    # The mean square of Re(c exp(i w t)) is |c|^2 / 2, but |c|^2 for the mean.
    weight = np.where(np.arange(len(a)) == 0, 1, 0.5).reshape(-1, *[1] * (a.ndim - 1))
    mean_square = [np.sum(weight * np.abs(c) ** 2) for c in (a - b, b)]
    return {
        "relative_l2": float(np.sqrt(mean_square[0] / mean_square[1])),
        "maximum_over_maximum": float(np.abs(a - b).max() / np.abs(b).max()),
    }


def main() -> None:
    """Compare the bundled resolution with finer ones."""
    bundled = flow(TWIN)
    result = {}
    for name, discretisation in FINER.items():
        finer = flow(replace(TWIN, discretisation=discretisation))
        result[name] = {field: difference(bundled[field], finer[field]) for field in bundled}
        print(name, json.dumps(result[name], indent=2), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
