"""A twin of the wake of a sphere in a stream that starts from rest, in a box with open faces.

The flow is axisymmetric about x, the tracks are three-dimensional. Times are those of a clock, not
of a cycle.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyvista as pv
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as checked
from scipy.interpolate import BSpline, RectBivariateSpline, make_interp_spline

from aiv_rba.scales import Scales
from aiv_rba.settings.types import STRICT, Positive, Seed
from aiv_rba.terminal import say
from aiv_rba.twin.axisymmetric import SphereInStream, Triangles
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
from aiv_rba.twin.mesh import ngsolve
from aiv_rba.twin.options import Truth, TwinFluid
from aiv_rba.twin.runs import FRAMES, Scenery, record_runs
from aiv_rba.twin.tracers import Tracking

Range = tuple[float, float]
# Rows of the polar grid on which the flow is looked up: along the radius and the angle.
GRID = (81, 91)
# Steps from one of the times between which splines pass to the next: the flow changes in many.
EVERY = 4
# The first row of the grid lies this far outside the sphere, more than the curved triangles err.
OFF_WALL = 1e-4


@checked(frozen=True, config=STRICT)
class Wake:
    """Options of one wake; lengths in radii R of the sphere unless said otherwise.

    U is the speed of the stream in the end; the unit of time is R / U.
    """

    seed: Seed = 0
    """Seed of tracers, noise and sample points."""
    radius: Positive = 5e-4
    """R, m."""
    unit: Literal["um", "mm"] = "mm"
    """Unit of length of the files; velocities are in this unit over seconds."""
    fluid: TwinFluid = field(default_factory=TwinFluid)
    """The fluid."""
    reynolds: Positive = 40.0
    """Reynolds number of the diameter, 2 U R / nu."""
    rise: Positive = 8.0
    """Time in which the stream comes from rest to its speed, smoothly."""
    window: Range = (3.0, 14.0)
    """Times that are recorded."""
    x: Range = (-3.0, 6.0)
    """Faces of the box across the stream; the sphere's centre is the origin."""
    across: Positive = 2.4
    """Distance of the other faces from the axis."""
    interval: Positive = 0.1
    """Time between two frames."""
    tracking: Tracking = field(
        default_factory=lambda: Tracking(rows=25_000, noise_u=0.05, noise_v=0.05, noise_w=0.05)
    )
    """Recording and tracking in the whole box."""
    discretisation: Triangles = field(default_factory=Triangles)
    """Resolution of the CFD."""
    resolution: Annotated[int, Field(ge=8)] = 36
    """Triangles of the given sphere along a meridian."""
    truth: Truth = field(default_factory=lambda: Truth(points=1500, wall_points=500))
    """Points at which the truth is written."""
    times: Annotated[int, Field(ge=2)] = 9
    """Times of the window at which it is written."""

    @cached_property
    def scales(self) -> Scales:
        """Units of length, R, and of speed, U; the period is the time to the window's end."""
        velocity = self.reynolds * self.fluid.viscosity / self.fluid.density / (2 * self.radius)
        return Scales(
            self.radius,
            velocity,
            self.fluid.density,
            self.fluid.viscosity,
            self.window[1] * self.radius / velocity,
        )

    def stream(self, time: float) -> float:
        """Speed of the stream at a time, over U."""
        return float(np.sin(np.pi / 2 * min(time / self.rise, 1.0)) ** 2)

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """Lowest and highest corner (3,) of the box."""
        low, high = self.x
        return (
            np.array([low, -self.across, -self.across]),
            np.array([high, self.across, self.across]),
        )


@dataclass(frozen=True)
class SphereFlow:
    """The flow on a polar grid, looked up by cubic splines in space and time.

    Attributes
    ----------
    log_radius, angle
        The grid: logarithms of the distance from the centre, and angles from the wake's axis.
    fields
        Velocity along x, velocity away from the axis, pressure, and vorticity round the axis
        (4, ...), at a time.
    shear
        Tangential stress of the fluid on the sphere towards larger angles, at a time.
    report
        Figures of the run.
    """

    log_radius: Array
    angle: Array
    fields: BSpline
    shear: BSpline
    report: dict[str, float]

    def velocity(self, points: Array, time: float) -> Array:
        """Velocity (N, 3) at points (N, 3); not a number off the grid."""
        along, outwards = self._look_up(self.fields(time)[:2], points)
        return np.column_stack([along, outwards[:, None] * _away(points)])

    def pressure_and_vorticity(self, points: Array, time: float) -> tuple[Array, Array]:
        """Pressure (N,) in rho U^2 and vorticity (N, 3) in U / R; not a number off the grid."""
        pressure, turning = self._look_up(self.fields(time)[2:], points)
        y, z = _away(points).T
        return pressure, np.column_stack([0 * turning, -z * turning, y * turning])

    def on_sphere(self, points: Array, time: float) -> tuple[Array, Array]:
        """Wall shear stress (N, 3) in rho U^2, and pressure (N,), at points of the sphere."""
        angle = np.arctan2(np.hypot(points[:, 1], points[:, 2]), points[:, 0])
        size = make_interp_spline(self.angle, self.shear(time))(angle)
        tangent = np.column_stack([-np.sin(angle), np.cos(angle)[:, None] * _away(points)])
        pressure = make_interp_spline(self.angle, self.fields(time)[2, 0])(angle)
        return size[:, None] * tangent, pressure

    def _look_up(self, grids: Array, points: Array) -> Array:
        """Fields (F, N) on the grid at a time, at points (N, 3)."""
        distance = np.log(np.linalg.norm(points, axis=1))
        angle = np.arctan2(np.hypot(points[:, 1], points[:, 2]), points[:, 0])
        found = np.array(
            [
                RectBivariateSpline(self.log_radius, self.angle, grid).ev(distance, angle)
                for grid in grids
            ]
        )
        found[:, ~((distance > 0) & (distance < self.log_radius[-1]))] = np.nan
        return found


def _away(points: Array) -> Array:
    """Unit vectors (N, 2), y and z, away from the axis."""
    return np.asarray(
        points[:, 1:] / np.maximum(np.hypot(points[:, 1], points[:, 2]), 1e-12)[:, None]
    )


def solve_wake(twin: Wake) -> SphereFlow:
    """The flow round the sphere, until tracers that are recorded last are lost."""
    n = ngsolve()
    d, reynolds = twin.discretisation, twin.reynolds / 2
    flow = SphereInStream(twin.stream, reynolds, d)
    say(f"twin: {flow.mesh.ne} elements, {flow.space.ndof} unknowns")
    run = FRAMES * twin.interval
    low, high = twin.box
    farthest = np.linalg.norm(np.maximum(np.abs(low), np.abs(high))) + run
    log_radius = np.linspace(0, np.log(farthest), GRID[0])
    angle = np.linspace(0, np.pi, GRID[1])
    radii, angles = np.meshgrid(np.exp(log_radius) + OFF_WALL, angle, indexing="ij")
    points = flow.mesh(
        (radii * np.cos(angles)).ravel(), np.maximum(radii * np.sin(angles), 1e-9).ravel()
    )
    u, v, p = flow.state.components
    turning = n.Grad(v)[0] - n.Grad(u)[1]
    gradients = n.CF((n.Grad(u), n.Grad(v)))
    out = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    tangent = np.stack([-np.sin(angle), np.cos(angle)], axis=1)

    times, fields, shears = [], [], []
    steps = EVERY * (int((twin.window[1] + run) / d.step / EVERY) + 1)
    for step in range(1, steps + 1):
        flow.advance()
        if step % EVERY:
            continue
        values = np.array([np.asarray(f(points)).reshape(GRID) for f in (u, v, p, turning)])
        values[:2, 0] = 0
        gradient = np.asarray(gradients(points[: GRID[1]])).reshape(-1, 2, 2)
        stress = np.einsum("nij,nj->ni", gradient + gradient.swapaxes(1, 2), out) / reynolds
        times.append(flow.time)
        fields.append(values)
        shears.append(np.sum(stress * tangent, axis=1))
        if len(times) % 20 == 0:
            say(f"twin: time {flow.time:g} of {steps * d.step:g}")
    report = {
        "unknowns": float(flow.space.ndof),
        "elements": float(flow.mesh.ne),
        "drag_coefficient": 2 * flow.drag / np.pi,
        "mass_imbalance": abs(flow.flux("outlet") / (flow.flux("inlet") + flow.flux("side")) + 1),
    }
    return SphereFlow(
        log_radius,
        angle,
        make_interp_spline(times, fields),
        make_interp_spline(times, shears),
        report,
    )


def generate_wake(twin: Wake, out: Path, name: str) -> dict[str, float]:
    """Write tracks, sphere, truth.npz and, last, experiment.yaml; returns the solver's figures.

    Raises
    ------
    UserError
        If NGSolve is missing, the flow cannot be solved or a file cannot be written.
    """
    flow, scales = solve_wake(twin), twin.scales
    unit = scales.length / UNITS[twin.unit]
    low, high = twin.box
    rows = twin.resolution
    sphere = pv.Sphere(radius=1.0, theta_resolution=2 * rows, phi_resolution=rows)
    # Seen from the fluid, normals point out of it, into the sphere.
    triangles = sphere.regular_faces[:, ::-1].astype(np.int64)
    write_wall(out / "sphere", sphere.points.astype(float) * unit, triangles)

    table, _ = record_runs(_scenery(twin, flow), twin.tracking, twin.seed + 1)
    write_tracks(out / "tracks.csv", table, scales, twin.unit)
    _write_truth(out / "truth.npz", twin, flow)
    faces = np.round(np.stack([low, high], axis=1) * unit, 9).tolist()
    ingest: dict[str, Any] = {
        "tracks": str(out / "tracks.csv"),
        "wall": {"box": dict(zip("xyz", faces, strict=True))},
        "inner_wall": str(out / "sphere.stl"),
        "fluid": asdict(twin.fluid),
        "flow": "unsteady",
    }
    write_experiment(out / "experiment.yaml", name, twin.unit, ingest, out / "truth.npz")
    return flow.report


def _scenery(twin: Wake, flow: SphereFlow) -> Scenery:
    """Tracers start in the box, and upstream of it as far as the stream carries them in a run."""
    low, high = twin.box
    upstream = np.array([FRAMES * twin.interval, 0, 0])

    def seeds(rng: np.random.Generator, count: int) -> Array:
        points = rng.uniform(low - upstream, high, size=(2 * count, 3))
        return np.asarray(points[np.linalg.norm(points, axis=1) > 1][:count])

    def slab(points: Array) -> NDArray[np.int64]:
        return np.where(((points > low) & (points < high)).all(axis=-1), 0, -1)

    return Scenery(flow.velocity, seeds, slab, twin.interval, twin.window)


def _write_truth(path: Path, twin: Wake, flow: SphereFlow) -> None:
    """Sample the flow in the box and on the sphere."""
    scales, rng = twin.scales, np.random.default_rng(twin.seed)
    points = rng.uniform(*twin.box, size=(2 * twin.truth.points, 3))
    points = points[np.linalg.norm(points, axis=1) > 1][: twin.truth.points]
    on_sphere = rng.standard_normal((twin.truth.wall_points, 3))
    on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
    unit = scales.density * scales.velocity**2
    parts = []
    for time in np.linspace(*twin.window, twin.times):
        at = time * scales.time
        velocity = flow.velocity(points, time) * scales.velocity
        pressure, vorticity = flow.pressure_and_vorticity(points, time)
        parts.append(
            flow_rows(
                *(at, points * scales.length, velocity),
                *(pressure * unit, vorticity * scales.shear_rate),
            )
        )
        stress, at_wall = flow.on_sphere(on_sphere, time)
        parts.append(wall_rows(at, on_sphere * scales.length, stress * unit, at_wall * unit))
    write_table(path, parts)
