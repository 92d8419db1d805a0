"""Unsteady incompressible Navier-Stokes in a vessel: Taylor-Hood elements, SBDF3.

Nondimensional, dv/dt + (v . grad) v = -grad p + lap v / Re. The flow rate is prescribed: a step
is the response to the history plus a multiple of the response to a unit pressure difference, and
the multiple is chosen so that the flow rate is met. NGSolve (Schoberl) does the finite elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.twin.geometry import Duct
from aiv_rba.twin.mesh import Discretisation, Ends, Scheme, duct_mesh, ngsolve
from aiv_rba.twin.saved_steps import SavedSteps

Array = NDArray[np.float64]


class Solution:
    """Periodic flow as Fourier modes, f(t) = Re sum_k c_k exp(2 pi i k t / T).

    Points are given in the mesh before it is bent; derivatives are physical.

    Attributes
    ----------
    mesh, displacement
        The mesh and what bends it.
    modes
        Cosine and sine part (velocity, pressure) of every harmonic.
    push
        (K,) complex: mean pressure gradient against the flow, which a periodic pressure lacks.
    wrap
        Length after which the flow repeats along y; None if its ends are open.
    report
        Figures of the run.
    """

    def __init__(
        self,
        mesh: Any,
        displacement: Any,
        modes: list[tuple[Any, Any]],
        push: NDArray[np.complex128],
        wrap: float | None,
        report: dict[str, float],
    ) -> None:
        self.mesh = mesh
        self.displacement = displacement
        self.modes = modes
        self.push = push
        self.wrap = wrap
        self.report = report

    def evaluate(self, straight: Array) -> tuple[Any, Any, Any]:
        """Velocity (K, N, 3), pressure (K, N), velocity gradient (K, N, 3, 3), complex."""
        n = ngsolve()
        height = straight[:, 1]
        if self.wrap is not None:
            straight = straight.copy()
            straight[:, 1] %= self.wrap
        points = self.mesh(*(np.ascontiguousarray(column) for column in straight.T))

        def modes(pick: Callable[[Any], Any]) -> Any:
            return np.array(
                [
                    np.asarray(pick(cosine)(points)) - 1j * np.asarray(pick(sine)(points))
                    for cosine, sine in self.modes
                ]
            )

        count, rows = len(self.modes), len(straight)
        pressure = modes(lambda f: f.components[1]).reshape(count, rows)
        return (
            modes(lambda f: f.components[0]),
            pressure - self.push[:, None] * height,
            modes(lambda f: n.Grad(f.components[0])).reshape(count, rows, 3, 3),
        )


@dataclass
class _Drive:
    """What pushes the flow through the duct, and measures it.

    Attributes
    ----------
    push
        Load of a unit pressure difference (open ends) or gradient (periodic ends).
    through
        Functional u -> flow rate, so that a flow rate is a dot product.
    out
        Functional u -> flow rate through the outlets.
    """

    push: Any
    through: Any
    out: Any


def _drive(space: Any, ends: Ends, length: float) -> _Drive:
    n = ngsolve()
    v, _ = space.TestFunction()
    normal = n.specialcf.normal(3)

    def functional(form: Any) -> Any:
        functional = n.LinearForm(space)
        functional += form
        functional.Assemble()
        return functional

    out = functional(v * normal * n.ds("outlet.*"))
    if ends == "periodic":
        return _Drive(functional(v[1] * n.dx), functional(v[1] / length * n.dx), out)
    inlet = -v * normal * n.ds("inlet")
    return _Drive(functional(inlet), functional(inlet), out)


def flow_space(mesh: Any, order: int, ends: Ends) -> Any:
    """Taylor-Hood space of velocities that vanish on the wall, and pressures."""
    n = ngsolve()
    velocity = n.VectorH1(mesh, order=order, dirichlet="wall")
    pressure = n.H1(mesh, order=order - 1)
    if ends == "periodic":
        return n.Periodic(velocity) * n.Periodic(pressure)
    return velocity * pressure


def solve(
    duct: Duct,
    flow_rate: Callable[[float], float],
    *,
    reynolds: float,
    period: float,
    span: tuple[float, float],
    discretisation: Discretisation,
    ends: Ends = "open",
    saved: Path | None = None,
    progress: Callable[[str], None] = print,
) -> Solution:
    """Solve to the periodic state.

    Parameters
    ----------
    duct
        Geometry.
    flow_rate
        Q(t), nondimensional, positive along +y.
    reynolds, period
        Reynolds number and nondimensional period.
    span
        Ends of the duct along y, buffers included.
    discretisation
        Resolution.
    ends
        Open ends have no stress but the pressure; at periodic ones the flow goes on where it
        came in, so that inflow at high Reynolds number needs no profile.
    saved
        File that keeps every cycle but the last, so that an interrupted run can go on.
    progress
        Called with a line now and then.

    Raises
    ------
    UserError
        If the time steps are too long for the explicit convection, or the flow is not periodic.
    """
    mesh, displacement = duct_mesh(duct, span, discretisation, ends)
    return march(
        mesh,
        displacement,
        flow_rate,
        reynolds=reynolds,
        period=period,
        length=span[1] - span[0],
        scheme=discretisation,
        ends=ends,
        saved=saved,
        progress=progress,
    )


def march(
    mesh: Any,
    displacement: Any,
    flow_rate: Callable[[float], float],
    *,
    reynolds: float,
    period: float,
    length: float,
    scheme: Scheme,
    ends: Ends = "open",
    compressibility: float = 0.0,
    saved: Path | None = None,
    progress: Callable[[str], None] = print,
) -> Solution:
    """Step to the periodic state in any mesh with faces named wall, inlet and outlet.

    There may be several outlets, whose names begin so.

    Parameters
    ----------
    mesh, displacement
        The mesh and what bends it.
    flow_rate
        Q(t), nondimensional, into the inlet.
    reynolds, period
        Reynolds number and nondimensional period.
    length
        Length after which a flow with periodic ends repeats.
    scheme
        Order in space and resolution in time.
    ends
        See `solve`.
    compressibility
        Minus the divergence over the pressure. The factorisation does not exchange rows, so that
        a pressure with nothing on its diagonal may stop it: a little of this prevents that.
    saved
        See `solve`.
    progress
        Called with a line now and then.

    Raises
    ------
    UserError
        If the time steps are too long for the explicit convection, or the flow is not periodic.
    """
    n = ngsolve()
    d = scheme
    space = flow_space(mesh, d.order, ends)
    (u, p), (v, q) = space.TnT()
    dt = period / d.steps
    progress(f"twin: {mesh.ne} elements, {space.ndof} unknowns")

    stokes = n.BilinearForm(space, symmetric=True)
    stokes += (
        11 / 6 / dt * u * v
        + 1 / reynolds * n.InnerProduct(n.Grad(u), n.Grad(v))
        - p * n.div(v)
        - q * n.div(u)
    ) * n.dx
    if compressibility:
        stokes += -compressibility * p * q * n.dx
    stokes.Assemble()
    free = space.FreeDofs()
    if ends == "periodic":
        # A periodic pressure is known but for a constant.
        free.Clear(space.Range(1).start)
    inverse = stokes.mat.Inverse(free, inverse="sparsecholesky")
    progress("twin: factorised")

    drive = _drive(space, ends, length)
    unit = n.GridFunction(space)
    unit.vec.data = inverse * drive.push.vec
    unit_rate = n.InnerProduct(drive.through.vec, unit.vec)

    history = [n.GridFunction(space) for _ in range(3)]
    now = n.GridFunction(space)
    coefficients = ((3.0, 3.0), (-1.5, -3.0), (1 / 3, 1.0))
    forcing = n.LinearForm(space)
    past = n.CF((0, 0, 0))
    for (c, e), earlier in zip(coefficients, history, strict=True):
        velocity = earlier.components[0]
        past += c / dt * velocity - e * (n.Grad(velocity) * velocity)
    forcing += past.Compile() * v * n.dx

    modes = [(n.GridFunction(space), n.GridFunction(space)) for _ in range(d.modes + 1)]
    push = np.zeros(d.modes + 1, dtype=complex)
    before, difference = n.GridFunction(space), n.GridFunction(space)
    largest = 0.0
    total = d.steps * d.cycles
    state = SavedSteps(
        saved,
        [
            *([*vertex.point] for vertex in mesh.vertices),
            displacement.vec.FV().NumPy(),
            [reynolds, period, length, d.order, d.steps, space.ndof, compressibility],
            [flow_rate(step * dt) for step in range(d.steps)],
        ],
    )
    done = min(state.read(history), d.cycles - 1)
    before.vec.data = history[0].vec

    def size(field: Any) -> float:
        velocity = field.components[0]
        return float(np.sqrt(n.Integrate(velocity * velocity, mesh)))

    for step in range(d.steps * done + 1, total + 1):
        forcing.Assemble()
        now.vec.data = inverse * forcing.vec
        missing = flow_rate(step * dt) - n.InnerProduct(drive.through.vec, now.vec)
        now.vec.data += missing / unit_rate * unit.vec
        for older, newer in ((2, 1), (1, 0)):
            history[older].vec.data = history[newer].vec
        history[0].vec.data = now.vec
        if step > total - d.steps:
            for k, (cosine, sine) in enumerate(modes):
                angle = 2 * np.pi * k * step / d.steps
                weight = (1 if k == 0 else 2) / d.steps
                cosine.vec.data += weight * float(np.cos(angle)) * now.vec
                sine.vec.data += weight * float(np.sin(angle)) * now.vec
                push[k] += weight * np.exp(-1j * angle) * missing / unit_rate
        if step % 20 == 0:
            if not np.isfinite(missing):
                raise UserError(
                    f"twin: the flow grew beyond all bounds before step {step}, expected more "
                    f"than {d.steps} discretisation.steps"
                )
            progress(f"twin: step {step} of {total}")
            largest = max(largest, size(now))
        if step % d.steps == 0:
            difference.vec.data = now.vec - before.vec
            change = size(difference) / max(largest, size(now))
            cycle = step // d.steps
            progress(f"twin: cycle {cycle} of {d.cycles} changed by {100 * change:.2g} percent")
            before.vec.data = now.vec
            largest = 0.0
            if cycle < d.cycles:
                state.write(cycle, history)

    if not change <= d.largest_change:
        raise UserError(
            f"twin: cycle {d.cycles} differs by {100 * change:.2g} percent from the one before, "
            f"expected at most {100 * d.largest_change:.2g}: give it more discretisation.cycles, "
            "or a smaller Reynolds number if the flow does not become periodic"
        )
    inflow = n.InnerProduct(drive.through.vec, now.vec)
    report = {
        "unknowns": float(space.ndof),
        "cycle_to_cycle": change,
        "mass_imbalance": abs(n.InnerProduct(drive.out.vec, now.vec) - inflow) / abs(inflow),
    }
    if ends == "open":
        return Solution(mesh, displacement, modes, 0 * push, None, report)
    return Solution(mesh, displacement, modes, push, length, report)
