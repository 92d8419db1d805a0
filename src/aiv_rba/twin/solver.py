"""Unsteady incompressible Navier-Stokes in a duct: Taylor-Hood Q3-Q2 hexahedra, SBDF3.

Nondimensional, dv/dt + (v . grad) v = -grad p + lap v / Re. The flow rate is prescribed: a step
is the response to the history plus a multiple of the response to a unit pressure difference, and
the multiple is chosen so that the flow rate is met. NGSolve (Schoberl) does the finite elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.twin.geometry import INNER, INNER_IN_DISC, Lobe, Tube

Array = NDArray[np.float64]


def _ngsolve() -> Any:
    try:
        import ngsolve
    except ImportError:
        raise UserError("twin: ngsolve not found, expected pip install 'aiv-rba[twin]'") from None
    return ngsolve


@dataclass(frozen=True)
class Discretisation:
    """Resolution in space and time.

    Attributes
    ----------
    section
        Elements along a side of the inner square of the O-grid.
    rings
        Rings of elements round it.
    axial
        Elements along the axis.
    order
        Polynomial order of the velocity; pressure has one less.
    steps, cycles
        Time steps per cycle; cycles, the last of which is kept.
    modes
        Highest harmonic kept.
    """

    section: int = 4
    rings: int = 2
    axial: int = 30
    order: int = 3
    steps: int = 80
    cycles: int = 2
    modes: int = 6


def square_mesh(d: Discretisation, start: float, stop: float) -> Any:
    """O-grid of hexahedra on [-1, 1]^2 x [start, stop]; faces named wall, inlet, outlet."""
    ngsolve = _ngsolve()
    from netgen.csg import Pnt
    from netgen.meshing import Element2D, Element3D, FaceDescriptor, Mesh, MeshPoint

    sides = np.tan(np.pi / 4 * np.linspace(-1, 1, d.section + 1))
    number: dict[tuple[float, float], int] = {}
    quads: list[list[int]] = []

    def node(x: float, z: float) -> int:
        return number.setdefault((round(x, 10) + 0.0, round(z, 10) + 0.0), len(number))

    for i in range(d.section):
        for j in range(d.section):
            corners = ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j))
            quads.append([node(INNER * sides[a], INNER * sides[b]) for a, b in corners])
    rho = np.linspace(INNER, 1, d.rings + 1)
    rim = []
    for quarter in range(4):
        c, s = round(np.cos(quarter * np.pi / 2)), round(np.sin(quarter * np.pi / 2))
        for i in range(d.section):
            for j in range(d.rings):
                corners = ((j, i), (j, i + 1), (j + 1, i + 1), (j + 1, i))
                points = [(rho[a], rho[a] * sides[b]) for a, b in corners]
                quads.append([node(c * x - s * z, s * x + c * z) for x, z in points])
            rim.append((quads[-1][3], quads[-1][2]))

    section = list(number)
    mesh = Mesh()
    mesh.dim = 3
    heights = np.linspace(start, stop, d.axial + 1)
    ids = [[mesh.Add(MeshPoint(Pnt(x, y, z))) for x, z in section] for y in heights]
    for face, name in enumerate(("wall", "inlet", "outlet")):
        mesh.Add(FaceDescriptor(surfnr=face + 1, domin=1, domout=0, bc=face + 1))
        mesh.SetBCName(face, name)
    for low, high in pairwise(ids):
        for quad in quads:
            mesh.Add(Element3D(1, [low[n] for n in quad] + [high[n] for n in quad]))
        for a, b in rim:
            mesh.Add(Element2D(1, [low[b], high[b], high[a], low[a]]))
    for quad in quads:
        mesh.Add(Element2D(2, [ids[0][n] for n in reversed(quad)]))
        mesh.Add(Element2D(3, [ids[-1][n] for n in quad]))
    return ngsolve.Mesh(mesh)


def deform(mesh: Any, duct: Lobe | Tube, order: int) -> Any:
    """Bend the square duct into shape; returns the displacement, which must stay alive."""
    n = _ngsolve()
    xi, y, zeta = n.x, n.y, n.z
    ax, az = n.IfPos(xi, xi, -xi), n.IfPos(zeta, zeta, -zeta)
    rho = n.IfPos(ax - az, ax, az)
    distance = n.sqrt(xi * xi + zeta * zeta + 1e-30)
    inner = INNER_IN_DISC * distance / (rho + 1e-30)
    r = n.IfPos(
        INNER - rho,
        distance * INNER_IN_DISC / INNER,
        inner + (rho - INNER) / (1 - INNER) * (1 - inner),
    )
    a, b = r * xi / distance, r * zeta / distance
    x, z = duct.bend(a, b, y, n.sin, n.cos)
    displacement = n.GridFunction(n.VectorH1(mesh, order=order))
    displacement.Set(n.CF((x - xi, 0, z - zeta)).Compile())
    mesh.SetDeformation(displacement)
    return displacement


class Solution:
    """Periodic flow as Fourier modes, f(t) = Re sum_k c_k exp(2 pi i k t / T).

    Points are given in the square duct; derivatives are physical.
    """

    def __init__(self, mesh: Any, modes: list[tuple[Any, Any]], report: dict[str, float]) -> None:
        self.mesh = mesh
        self.modes = modes
        self.report = report

    def evaluate(self, square: Array) -> tuple[Any, Any, Any]:
        """Velocity (K, N, 3), pressure (K, N), velocity gradient (K, N, 3, 3), complex."""
        n = _ngsolve()
        points = self.mesh(*(np.ascontiguousarray(column) for column in square.T))

        def modes(pick: Callable[[Any], Any]) -> Any:
            return np.array(
                [
                    np.asarray(pick(cosine)(points)) - 1j * np.asarray(pick(sine)(points))
                    for cosine, sine in self.modes
                ]
            )

        count, rows = len(self.modes), len(square)
        return (
            modes(lambda f: f.components[0]),
            modes(lambda f: f.components[1]).reshape(count, rows),
            modes(lambda f: n.Grad(f.components[0])).reshape(count, rows, 3, 3),
        )


def solve(
    duct: Lobe | Tube,
    flow_rate: Callable[[float], float],
    *,
    reynolds: float,
    period: float,
    span: tuple[float, float],
    discretisation: Discretisation,
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
    progress
        Called with a line now and then.
    """
    n = _ngsolve()
    d = discretisation
    mesh = square_mesh(d, *span)
    displacement = deform(mesh, duct, d.order)
    space = n.VectorH1(mesh, order=d.order, dirichlet="wall") * n.H1(mesh, order=d.order - 1)
    (u, p), (v, q) = space.TnT()
    dt = period / d.steps
    progress(f"twin: {mesh.ne} hexahedra, {space.ndof} unknowns")

    stokes = n.BilinearForm(space, symmetric=True)
    stokes += (
        11 / 6 / dt * u * v
        + 1 / reynolds * n.InnerProduct(n.Grad(u), n.Grad(v))
        - p * n.div(v)
        - q * n.div(u)
    ) * n.dx
    stokes.Assemble()
    inverse = stokes.mat.Inverse(space.FreeDofs(), inverse="sparsecholesky")
    progress("twin: factorised")

    normal = n.specialcf.normal(3)
    push = n.LinearForm(space)
    push += -v * normal * n.ds("inlet")
    push.Assemble()
    unit = n.GridFunction(space)
    unit.vec.data = inverse * push.vec

    # The functional u -> integral of u_y over the inlet, so that a flow rate is a dot product.
    through = n.LinearForm(space)
    through += -v * normal * n.ds("inlet")
    through.Assemble()
    out = n.LinearForm(space)
    out += v * normal * n.ds("outlet")
    out.Assemble()

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
    before = now.vec.CreateVector()
    total = d.steps * d.cycles
    for step in range(1, total + 1):
        forcing.Assemble()
        now.vec.data = inverse * forcing.vec
        missing = flow_rate(step * dt) - n.InnerProduct(through.vec, now.vec)
        now.vec.data += missing / n.InnerProduct(through.vec, unit.vec) * unit.vec
        for older, newer in ((2, 1), (1, 0)):
            history[older].vec.data = history[newer].vec
        history[0].vec.data = now.vec
        if step == total - d.steps:
            before.data = now.vec
        if step > total - d.steps:
            for k, (cosine, sine) in enumerate(modes):
                angle = 2 * np.pi * k * step / d.steps
                weight = (1 if k == 0 else 2) / d.steps
                cosine.vec.data += weight * float(np.cos(angle)) * now.vec
                sine.vec.data += weight * float(np.sin(angle)) * now.vec
        if step % 20 == 0:
            progress(f"twin: step {step} of {total}")

    size = n.Norm(now.vec)
    before.data -= now.vec
    inflow = n.InnerProduct(through.vec, now.vec)
    report = {
        "unknowns": float(space.ndof),
        "cycle_to_cycle": n.Norm(before) / size,
        "mass_imbalance": abs(n.InnerProduct(out.vec, now.vec) - inflow) / abs(inflow),
    }
    solution = Solution(mesh, modes, report)
    solution.keep_alive = displacement  # type: ignore[attr-defined]
    return solution
