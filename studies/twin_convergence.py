"""Errors of a digital twin: the same flow on a finer mesh and with half the time step.

The bundled twin, or one of the family by name. Writes results/twin_convergence_<name>.json. The
finer mesh needs about 8 GB and some ten minutes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiv_rba.twin.family import find_twin
from aiv_rba.twin.generate import solve_twin
from aiv_rba.twin.mesh import Discretisation
from aiv_rba.twin.options import Twin, preset
from aiv_rba.twin.sampling import flow_at, wall_shear_stress
from aiv_rba.twin.surface import on_smooth_wall

FAMILY = Path("workflow/config/twins.yaml")


def finer(d: Discretisation) -> dict[str, Discretisation]:
    """A mesh finer in every direction, and half the time step."""
    return {
        "finer_mesh": replace(d, section=d.section + 2, rings=d.rings + 1, axial=5 * d.axial // 4),
        "half_time_step": replace(d, steps=2 * d.steps),
    }


def flow(twin: Twin) -> dict[str, np.ndarray]:
    """Modes of velocity, pressure (zero mean) and wall shear stress at fixed points."""
    rng = np.random.default_rng(0)
    inside = twin.duct.uniform(rng, 20_000, 0.0, twin.duct.length)
    on_wall, normals = on_smooth_wall(twin.duct, rng, 5_000)
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
    """Compare the resolution of a twin with finer ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="bundled", help="twin of the family")
    parser.add_argument("--only", choices=("finer_mesh", "half_time_step"), help="one comparison")
    arguments = parser.parse_args()
    bundled = arguments.name == "bundled"
    twin = preset("phantom", 0) if bundled else find_twin(FAMILY, arguments.name)
    if not isinstance(twin, Twin):
        parser.error(f"found {arguments.name}, expected the name of a twin that is a duct")
    as_it_is = flow(twin)
    result = {}
    for name, discretisation in finer(twin.discretisation).items():
        if arguments.only in (None, name):
            other = flow(replace(twin, discretisation=discretisation))
            result[name] = {field: difference(as_it_is[field], other[field]) for field in other}
            print(name, json.dumps(result[name], indent=2), flush=True)
    path = Path("results") / f"twin_convergence_{arguments.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
