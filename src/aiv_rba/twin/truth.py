"""The true flow, sampled and written to truth.h5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.formats import create_h5
from aiv_rba.twin.axes import Axes
from aiv_rba.twin.geometry import Array
from aiv_rba.twin.options import Twin
from aiv_rba.twin.sampling import flow_at, vorticity, wall_shear_stress
from aiv_rba.twin.solver import Solution
from aiv_rba.twin.surface import GivenSurface, on_smooth_wall
from aiv_rba.twin.tracers import TrueRows

ABOUT = (
    "A field is f(t) = Re sum_k c_k exp(2 pi i k t / period), k = 0, 1, ...; SI units. "
    "wall_shear_stress is the tangential viscous stress of the fluid on the wall. tracers is "
    "the velocity of every row's tracer, tracks that of the fluid where the row places it; "
    "tracks/mismatched is 1 where the measured velocity is that of another particle. "
    "given is the same stress on the triangles of the given wall, with their normals, at the "
    "point nearest to each wall point; beyond the true wall it is that of the true wall."
)


def inside_points(twin: Twin, rng: np.random.Generator) -> Array:
    """Points (N, 3) uniform in the lumen, in units and coordinates of the solver."""
    count = twin.truth.points
    inside = np.empty((0, 3))
    while len(inside) < count:
        inside = np.concatenate([inside, twin.duct.uniform(rng, 50_000, 0.0, twin.duct.length)])
    return inside[:count]


def wall_points(twin: Twin, surface: GivenSurface) -> tuple[Array, Array]:
    """Points (N, 3) of the true wall, and their normals out of the lumen."""
    rng = np.random.default_rng(twin.seed + 2)
    if twin.truth.at == "wall":
        return on_smooth_wall(twin.duct, rng, twin.truth.wall_points)
    area = np.zeros(len(surface.points))
    faces = np.linalg.norm(2 * surface.faces, axis=1)
    np.add.at(area, surface.triangles.ravel(), np.repeat(faces, 3))
    # The surface's vertices lie on the true wall, its triangles do not.
    chosen = rng.choice(
        len(surface.points), twin.truth.wall_points, replace=False, p=area / area.sum()
    )
    return surface.points[chosen], surface.normals[chosen]


def write_truth(
    path: Path,
    twin: Twin,
    solution: Solution,
    inside: Array,
    surfaces: list[GivenSurface],
    true_rows: TrueRows,
) -> None:
    """Sample the flow in the lumen and on the wall, and write it in SI units.

    Parameters
    ----------
    path
        File to write.
    twin, solution
        The twin and its flow.
    inside
        Points (N, 3) in the lumen.
    surfaces
        The given walls.
    true_rows
        What is true of the rows of the tracks.
    """
    duct, scales, axes = twin.duct, twin.scales, Axes(twin.axis)
    velocity, pressure, gradient = flow_at(duct, solution, inside)
    on_wall, normals = wall_points(twin, surfaces[0])
    _, _, wall_gradient = flow_at(duct, solution, on_wall)

    # In the solver pressure is in rho U^2 and stress in mu U / L.
    pressure_unit = scales.density * scales.velocity**2
    stress_unit = scales.viscosity * scales.shear_rate
    datasets: dict[str, NDArray[Any]] = {
        "points/position": axes.vectors(inside) * scales.length,
        "points/velocity": _single(axes.vectors(velocity) * scales.velocity),
        "points/pressure": _single(pressure * pressure_unit),
        "points/vorticity": _single(vorticity(axes.gradients(gradient)) * scales.shear_rate),
        "wall/position": axes.vectors(on_wall) * scales.length,
        "wall/normal": axes.vectors(normals),
        "wall/wall_shear_stress": _single(
            axes.vectors(wall_shear_stress(wall_gradient, normals)) * stress_unit
        ),
        "flow_rate": _flow_rate_modes(twin, len(velocity)),
    }
    if twin.truth.at == "wall":
        nearest, facing = _nearest(surfaces, on_wall)
        _, _, given_gradient = flow_at(duct, solution, nearest)
        datasets |= {
            "given/position": axes.vectors(nearest) * scales.length,
            "given/normal": axes.vectors(facing),
            "given/wall_shear_stress": _single(
                axes.vectors(wall_shear_stress(given_gradient, facing)) * stress_unit
            ),
        }
    for group, true in true_rows.velocity.items():
        for column, name in enumerate("uvw"):
            datasets[f"{group}/{name}"] = (true[:, column] * scales.velocity).astype(np.float32)
    datasets["tracks/mismatched"] = true_rows.mismatched.astype(np.uint8)
    attributes: dict[str, Any] = {
        "about": ABOUT,
        "period": scales.period,
        "reynolds": scales.reynolds,
        "seed": twin.seed,
        **twin.numbers,
        **solution.report,
    }
    with create_h5(path, "truth", attributes) as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values, compression="gzip", shuffle=True)


def _single(modes: NDArray[Any]) -> NDArray[np.complex64]:
    return modes.astype(np.complex64)


def _nearest(surfaces: list[GivenSurface], points: Array) -> tuple[Array, Array]:
    """Nearest points (N, 3) of all given walls, and their triangles' normals."""
    found = [surface.nearest(points) for surface in surfaces]
    distance = [np.linalg.norm(at - points, axis=1) for at, _ in found]
    first = np.argmin(distance, axis=0)[:, None]
    nearest, normals = (
        np.take_along_axis(np.stack(values), first[None], axis=0)[0]
        for values in zip(*found, strict=True)
    )
    return nearest, normals


def _flow_rate_modes(twin: Twin, modes: int) -> NDArray[Any]:
    count = 64
    values = [twin.duct.section * twin.pulse(t, 1.0) for t in np.arange(count) / count]
    spectrum = np.fft.rfft(values)[:modes] / count
    spectrum[1:] *= 2
    return np.asarray(spectrum * twin.scales.flow_rate)
