"""A twin of a vessel that divides, with a periodic or steady flow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as checked

from aiv_rba.harmonics import fourier
from aiv_rba.scales import Scales
from aiv_rba.settings.types import STRICT, Count, Positive, Seed
from aiv_rba.terminal import say
from aiv_rba.twin.branches import Branches
from aiv_rba.twin.files import (
    UNITS,
    flow_rows,
    wall_rows,
    write_experiment,
    write_table,
    write_tracks,
    write_wall,
)
from aiv_rba.twin.geometry import Array
from aiv_rba.twin.mesh import Scheme, ngsolve
from aiv_rba.twin.options import Truth, TwinFluid
from aiv_rba.twin.runs import Scenery, record_runs
from aiv_rba.twin.sampling import vorticity, wall_shear_stress
from aiv_rba.twin.solver import Solution, march
from aiv_rba.twin.tetrahedra import ENDS, TetrahedralMesh
from aiv_rba.twin.tracers import Camera
from aiv_rba.twin.wave import Wave

# Length of every branch beyond its measured end, in radii of the parent.
BUFFER = 3.0
# Tracers that are seen may come from, and go, as far beyond an end.
REACH = 1.5
# See `solver.march`; a thousandth of the mass that the elements lose.
COMPRESSIBILITY = 1e-8


@checked(frozen=True, config=STRICT)
class Tetrahedra(Scheme):
    """Resolution in space and time."""

    size: Positive = 0.4
    """Size of the elements, in radii of the parent."""
    steps: Count = 240
    """Time steps per cycle."""
    modes: int = 3
    """Highest harmonic kept."""


@checked(frozen=True, config=STRICT)
class Bifurcation:
    """Options of one bifurcation; lengths in radii R of the parent unless said otherwise.

    U is the rms over the cycle of the mean velocity in the parent.
    """

    seed: Seed = 0
    """Seed of tracers, noise and sample points."""
    branches: Branches = field(default_factory=Branches)
    """The vessel."""
    radius: Positive = 5e-4
    """R, m."""
    unit: Literal["um", "mm"] = "mm"
    """Unit of length of the files; velocities are in this unit over seconds."""
    fluid: TwinFluid = field(default_factory=TwinFluid)
    """The fluid."""
    reynolds: Positive = 5.0
    """Reynolds number U R / nu."""
    womersley: Positive = 2.0
    """Womersley number R sqrt(2 pi / (nu period)); of a steady flow, it says what is recorded."""
    wave: Wave = field(default_factory=lambda: Wave(mean=1.0, amplitudes=(0.4,), shift=0.0))
    """Flow rate through the parent over the cycle, as a multiple of its section."""
    discretisation: Tetrahedra = field(default_factory=Tetrahedra)
    """Resolution of the CFD."""
    camera: Camera = field(
        default_factory=lambda: Camera(
            planes=(-0.4, 0.0, 0.4), thickness=0.12, rows=20_000, noise_u=0.1, noise_v=0.1
        )
    )
    """Recording and tracking; depths are shares of the parent's diameter."""
    spacing: Positive = 0.15
    """Size of the triangles of the given wall."""
    truth: Truth = field(default_factory=lambda: Truth(points=1500, wall_points=800))
    """Points at which the truth is written."""
    times: Count = 8
    """Times of a cycle at which it is written; a steady flow has one."""

    @cached_property
    def scales(self) -> Scales:
        """Units of length, R, and of speed, U."""
        kinematic = self.fluid.viscosity / self.fluid.density
        period = 2 * np.pi * self.radius**2 / (kinematic * self.womersley**2)
        velocity = self.reynolds * kinematic / self.radius
        return Scales(
            self.radius, velocity, self.fluid.density, self.fluid.viscosity, float(period)
        )


@dataclass(frozen=True)
class BranchedFlow:
    """The flow in a bifurcation.

    Attributes
    ----------
    period
        Nondimensional period.
    """

    mesh: TetrahedralMesh
    solution: Solution
    period: float

    def velocity(self, points: Array, time: float) -> Array:
        """Velocity (N, 3) at points (N, 3); not a number where there is none."""
        straight = self.mesh.look_up(points)
        found = np.isfinite(straight).all(axis=1)
        velocity = np.full(points.shape, np.nan)
        modes, _, _ = self.solution.evaluate(straight[found])
        velocity[found] = fourier(modes, time / self.period)
        return velocity

    def outflows(self) -> NDArray[np.complex128]:
        """Modes (3, K) of the flow rate out of the parent and the daughters."""
        n = ngsolve()
        normal = n.specialcf.normal(3)

        def rate(mode: object, end: str) -> float:
            through = mode.components[0] * normal  # type: ignore[attr-defined]
            return float(
                n.Integrate(through, self.mesh.mesh, definedon=self.mesh.mesh.Boundaries(end))
            )

        return np.array(
            [[rate(c, end) - 1j * rate(s, end) for c, s in self.solution.modes] for end in ENDS]
        )


def solve_bifurcation(twin: Bifurcation) -> BranchedFlow:
    """The flow of a bifurcation."""
    d, period = twin.discretisation, twin.scales.nondimensional_period
    mesh = TetrahedralMesh(twin.branches, d.size, twin.branches.length + BUFFER, d.order)
    size = np.pi / twin.wave.rms
    solution = march(
        mesh.mesh,
        mesh.displacement,
        lambda t: size * twin.wave(t, period),
        reynolds=twin.reynolds,
        period=period,
        length=2 * (twin.branches.length + BUFFER),
        scheme=d,
        compressibility=COMPRESSIBILITY,
        progress=say,
    )
    return BranchedFlow(mesh, solution, period)


def generate_bifurcation(twin: Bifurcation, out: Path, name: str) -> dict[str, float]:
    """Write tracks, wall, truth.npz and, last, experiment.yaml; returns the solver's figures.

    Raises
    ------
    UserError
        If NGSolve is missing, the flow cannot be solved or a file cannot be written.
    """
    flow, scales = solve_bifurcation(twin), twin.scales
    surface = twin.branches.surface(twin.spacing)
    unit = scales.length / UNITS[twin.unit]
    write_wall(out / "wall", surface.points * unit, surface.triangles)

    planes = np.array(twin.camera.planes)
    table, slab = record_runs(_scenery(twin, flow, planes), twin.camera, twin.seed + 1)
    table["t"] %= flow.period
    table.insert(3, "z_plane", planes[slab])
    write_tracks(out / "tracks.csv", table.drop(columns="z"), scales, twin.unit)

    _write_truth(out / "truth.npz", twin, flow)
    ingest = {
        "tracks": str(out / "tracks.csv"),
        "wall": str(out / "wall.stl"),
        "fluid": asdict(twin.fluid),
        **({"flow": "steady"} if twin.wave.steady else {"period": scales.period}),
    }
    write_experiment(out / "experiment.yaml", name, twin.unit, ingest, out / "truth.npz")
    shares = flow.outflows()[:, 0].real / -flow.outflows()[0, 0].real
    return {
        **flow.solution.report,
        "elements": float(flow.mesh.mesh.ne),
        "share_left": shares[1],
        "share_right": shares[2],
    }


def _scenery(twin: Bifurcation, flow: BranchedFlow, planes: Array) -> Scenery:
    branches = twin.branches

    def slab(points: Array) -> NDArray[np.int64]:
        distance = np.abs(points[..., 2, None] - planes)
        seen = distance.min(axis=-1) < twin.camera.thickness / 2
        seen &= (points @ branches.directions.T < branches.length).all(axis=-1)
        return np.where(seen, distance.argmin(axis=-1), -1)

    def seeds(rng: np.random.Generator, count: int) -> Array:
        return branches.uniform(rng, count, branches.length + REACH)

    return Scenery(flow.velocity, seeds, slab, flow.period / twin.camera.frames, (0.0, flow.period))


def _write_truth(path: Path, twin: Bifurcation, flow: BranchedFlow) -> None:
    """Sample the flow in the lumen and on the wall."""
    scales, rng = twin.scales, np.random.default_rng(twin.seed)
    inside = twin.branches.uniform(rng, 2 * twin.truth.points, twin.branches.length)
    inside = flow.mesh.look_up(inside)
    inside = inside[np.isfinite(inside).all(axis=1)][: twin.truth.points]
    on_wall = flow.mesh.wall_points(rng, 20 * twin.truth.wall_points)
    at_wall = flow.mesh.places(on_wall)
    measured = (at_wall @ twin.branches.directions.T < twin.branches.length).all(axis=1)
    on_wall = on_wall[measured][: twin.truth.wall_points]
    at_wall, normals = twin.branches.onto_wall(flow.mesh.places(on_wall))
    points = flow.mesh.places(inside)

    velocity, pressure, slopes = flow.solution.evaluate(inside)
    curl = vorticity(slopes) * scales.shear_rate
    _, wall_pressure, gradient = flow.solution.evaluate(on_wall)
    stress = wall_shear_stress(gradient, normals) * scales.viscosity * scales.shear_rate
    pressure_unit = scales.density * scales.velocity**2
    parts = []
    times = 1 if twin.wave.steady else twin.times
    for phase in np.arange(times) / times:
        p, p_wall = (fourier(modes, phase) * pressure_unit for modes in (pressure, wall_pressure))
        time = phase * scales.period
        at = fourier(velocity, phase) * scales.velocity
        parts.append(flow_rows(time, points * scales.length, at, p, fourier(curl, phase)))
        parts.append(wall_rows(time, at_wall * scales.length, fourier(stress, phase), p_wall))
    write_table(path, parts)
