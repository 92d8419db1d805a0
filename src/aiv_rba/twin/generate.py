"""Make an experiment with known truth: solve, sample, record, write."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyvista as pv

from aiv_rba.scales import Scales
from aiv_rba.store import atomic_path, create_h5
from aiv_rba.twin.geometry import Lobe
from aiv_rba.twin.sampling import (
    Interpolant,
    flow_at,
    vorticity,
    wall_shear_stress,
    wall_surface,
)
from aiv_rba.twin.solver import Discretisation, Solution, solve
from aiv_rba.twin.tracers import Camera, in_lumen, record

# Water at body temperature, kg/m^3 and Pa s; period of a mouse's heart, s.
DENSITY, VISCOSITY, PERIOD = 993.3, 6.92e-4, 0.303
UNIT_LENGTH = (VISCOSITY / DENSITY * PERIOD) ** 0.5

SCALES = {
    # Unit length and speed such that the Reynolds number and the period are one.
    "phantom": Scales(UNIT_LENGTH, UNIT_LENGTH / PERIOD, DENSITY, VISCOSITY, PERIOD),
    "physiological": Scales(50e-6, 50e-6, DENSITY, VISCOSITY, PERIOD),
}
# Length of duct beyond both measured ends, in gaps: the ends' flow profile dies out within one.
BUFFER = 3.0
MICROMETRE = 1e-6


@dataclass(frozen=True)
class Twin:
    """Options of one digital twin.

    Attributes
    ----------
    preset
        "phantom" (Re = 1) or "physiological" (50 um, 50 um/s).
    seed
        Seed of tracers and sample points.
    duct, discretisation, camera
        Geometry, resolution and recording.
    points, wall_points
        Points at which the truth is written.
    """

    preset: str = "phantom"
    seed: int = 0
    duct: Lobe = field(default_factory=Lobe)
    discretisation: Discretisation = field(default_factory=Discretisation)
    camera: Camera = field(default_factory=Camera)
    points: int = 4000
    wall_points: int = 2000


def flow_rate(duct: Lobe, period: float, t: float) -> float:
    """Pulsatile flow rate: mean and three harmonics, reversed about one third of the cycle."""
    section = np.pi / 2 * duct.opening * (duct.artery + duct.gap / 2) * duct.gap
    phase = 2 * np.pi * (t / period - 0.83)
    wave = 0.35 + 0.55 * np.cos(phase) + 0.15 * np.cos(2 * phase) + 0.06 * np.cos(3 * phase)
    return float(section * wave)


def generate(twin: Twin, out: Path) -> dict[str, float]:
    """Write tracks.csv, wall.stl, wall.vtp and truth.h5; returns the solver's figures.

    Raises
    ------
    UserError
        If NGSolve is missing or a file cannot be written.
    """
    solution = solve_twin(twin)
    write(twin, solution, out)
    return solution.report


def solve_twin(twin: Twin) -> Solution:
    """The periodic flow of a twin."""
    scales, buffer = SCALES[twin.preset], BUFFER * twin.duct.gap
    period = scales.nondimensional_period
    return solve(
        twin.duct,
        lambda t: flow_rate(twin.duct, period, t),
        reynolds=scales.reynolds,
        period=period,
        span=(-buffer, twin.duct.length + buffer),
        discretisation=twin.discretisation,
    )


def write(twin: Twin, solution: Solution, out: Path) -> None:
    """Sample the solution and write the four files."""
    scales, duct = SCALES[twin.preset], twin.duct
    rng = np.random.default_rng(twin.seed)
    micrometres = scales.length / MICROMETRE

    surface = wall_surface(duct, 72, 161, (0.0, duct.length))
    points, _, triangles = surface
    mesh = pv.PolyData(points * micrometres, np.insert(triangles, 0, 3, axis=1))
    for name in ("wall.stl", "wall.vtp"):
        with atomic_path(out / name) as temporary:
            # The writer goes by the ending, which the temporary name lacks.
            named = temporary.with_suffix(Path(name).suffix)
            mesh.save(named)
            named.replace(temporary)

    # Tracers that are seen may come from, and go, beyond the measured ends.
    reach = 1.25 * duct.gap
    span = (-reach, duct.length + reach)
    interpolant = Interpolant.sample(duct, solution, span)
    table, true_velocity = record(
        duct, interpolant, scales.nondimensional_period, twin.camera, twin.seed + 1
    )
    table["t"] *= scales.time
    table[["x", "y", "z_plane"]] *= micrometres
    table[["u", "v"]] *= scales.velocity / MICROMETRE
    with atomic_path(out / "tracks.csv") as temporary:
        formats = {"t": "{:.6f}", "x": "{:.3f}", "y": "{:.3f}", "z_plane": "{:.3f}"}
        text = table.assign(**{c: table[c].map(f.format) for c, f in formats.items()})
        text.to_csv(temporary, index=False, float_format="%.3f")

    inside = np.empty((0, 3))
    while len(inside) < twin.points:
        inside = np.concatenate([inside, in_lumen(duct, rng, 50_000, 0.0, duct.length)])
    _write_truth(
        out / "truth.h5",
        scales,
        solution,
        duct,
        inside[: twin.points],
        surface,
        twin,
        true_velocity,
    )


def _write_truth(
    path: Path,
    scales: Scales,
    solution: Solution,
    duct: Lobe,
    inside: np.ndarray,
    surface: tuple[np.ndarray, np.ndarray, np.ndarray],
    twin: Twin,
    true_velocity: dict[str, np.ndarray],
) -> None:
    velocity, pressure, gradient = flow_at(duct, solution, inside)
    on_wall, normals, triangles = surface
    corners = on_wall[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.zeros(len(on_wall))
    np.add.at(area, triangles.ravel(), np.repeat(np.linalg.norm(faces, axis=1), 3))
    # The surface's vertices lie on the true wall, its triangles do not.
    rng = np.random.default_rng(twin.seed + 2)
    chosen = rng.choice(len(on_wall), twin.wall_points, replace=False, p=area / area.sum())
    on_wall, normals = on_wall[chosen], normals[chosen]
    _, _, wall_gradient = flow_at(duct, solution, on_wall)

    attributes: dict[str, Any] = {
        "period": scales.period,
        "reynolds": scales.reynolds,
        "preset": twin.preset,
        **solution.report,
    }
    # In the solver pressure is in rho U^2 and stress in mu U / L.
    pressure_unit = scales.density * scales.velocity**2
    stress_unit = scales.viscosity * scales.shear_rate
    datasets: dict[str, np.ndarray] = {
        "points/position": inside * scales.length,
        "points/velocity": (velocity * scales.velocity).astype(np.complex64),
        "points/pressure": (pressure * pressure_unit).astype(np.complex64),
        "points/vorticity": (vorticity(gradient) * scales.shear_rate).astype(np.complex64),
        "wall/position": on_wall * scales.length,
        "wall/normal": normals,
        "wall/wall_shear_stress": (wall_shear_stress(wall_gradient, normals) * stress_unit).astype(
            np.complex64
        ),
        "flow_rate": _flow_rate_modes(duct, scales, len(velocity)),
    }
    for group, true in true_velocity.items():
        for column, name in enumerate("uvw"):
            datasets[f"{group}/{name}"] = (true[:, column] * scales.velocity).astype(np.float32)
    with create_h5(path, "truth", attributes) as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values, compression="gzip", shuffle=True)
        _describe(file)


def _flow_rate_modes(duct: Lobe, scales: Scales, modes: int) -> np.ndarray:
    count = 64
    times = np.arange(count) / count
    values = [flow_rate(duct, 1.0, t) for t in times]
    spectrum = np.fft.rfft(values)[:modes] / count
    spectrum[1:] *= 2
    return np.asarray(spectrum * scales.flow_rate)


def _describe(file: h5py.File) -> None:
    file.attrs["about"] = (
        "A field is f(t) = Re sum_k c_k exp(2 pi i k t / period), k = 0, 1, ...; SI units. "
        "wall_shear_stress is the tangential viscous stress of the fluid on the wall. tracers is "
        "the velocity of every row's tracer, tracks that of the fluid where the row places it."
    )
