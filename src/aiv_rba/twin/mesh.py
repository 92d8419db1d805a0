"""Hexahedra in a duct: an O-grid, or a ring of it, swept along the axis and bent into shape."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.errors import UserError
from aiv_rba.settings.types import STRICT, Count
from aiv_rba.twin.geometry import INNER, INNER_IN_DISC, Duct

Ends = Literal["periodic", "open"]


def ngsolve() -> Any:
    """The finite-element package, which only twins need."""
    try:
        import ngsolve
    except ImportError:
        raise UserError("twin: ngsolve not found, expected pip install 'aiv-rba[twin]'") from None
    return ngsolve


@dataclass(frozen=True, config=STRICT)
class Scheme:
    """Order in space and resolution in time."""

    order: Annotated[int, Field(ge=2)] = 3
    """Polynomial order of the velocity; pressure has one less."""
    steps: Count = 80
    """Time steps per cycle."""
    cycles: Count = 2
    """Cycles, the last of which is kept."""
    modes: Annotated[int, Field(ge=0)] = 6
    """Highest harmonic kept."""
    largest_change: Annotated[float, Field(gt=0)] = 1e-3
    """Change from one cycle to the next, as a share of the flow, above which it is not periodic."""


@dataclass(frozen=True, config=STRICT)
class Discretisation(Scheme):
    """Resolution of a duct in space and time."""

    section: Count = 4
    """Elements along a side of the inner square of the O-grid; even where a wall has edges."""
    rings: Count = 2
    """Rings of elements round it."""
    axial: Count = 30
    """Elements along the axis."""
    lookup: tuple[Count, Count, Count] = (121, 64, 17)
    """Grid along, round and across the vessel on which tracers look up the flow."""


def square_mesh(
    d: Discretisation, start: float, stop: float, *, hollow: bool = False, ends: Ends = "open"
) -> Any:
    """O-grid of hexahedra on [-1, 1]^2 x [start, stop]; faces named wall, inlet, outlet.

    A hollow one lacks the inner square, whose sides are wall too. With periodic ends, outlet and
    inlet are the same nodes to a periodic space.
    """
    n = ngsolve()
    from netgen.csg import Pnt
    from netgen.meshing import Element2D, Element3D, FaceDescriptor, Mesh, MeshPoint

    sides = np.tan(np.pi / 4 * np.linspace(-1, 1, d.section + 1))
    number: dict[tuple[float, float], int] = {}
    quads: list[list[int]] = []

    def node(x: float, z: float) -> int:
        return number.setdefault((round(x, 10) + 0.0, round(z, 10) + 0.0), len(number))

    for i in range(d.section if not hollow else 0):
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
                if hollow and j == 0:
                    rim.append((quads[-1][1], quads[-1][0]))
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
    if ends == "periodic":
        for first, last in zip(ids[0], ids[-1], strict=True):
            mesh.AddPointIdentification(first, last, identnr=1)
    return n.Mesh(mesh)


def deform(mesh: Any, duct: Duct, order: int) -> Any:
    """Bend the square duct into shape; returns the displacement, which must stay alive."""
    n = ngsolve()
    xi, y, zeta = n.x, n.y, n.z
    ax, az = n.IfPos(xi, xi, -xi), n.IfPos(zeta, zeta, -zeta)
    rho = n.IfPos(ax - az, ax, az)
    distance = n.sqrt(xi * xi + zeta * zeta + 1e-30)
    if duct.core:
        r = duct.core + (rho - INNER) / (1 - INNER) * (1 - duct.core)
    else:
        inner = INNER_IN_DISC * distance / (rho + 1e-30)
        r = n.IfPos(
            INNER - rho,
            distance * INNER_IN_DISC / INNER,
            inner + (rho - INNER) / (1 - INNER) * (1 - inner),
        )
    a, b = r * xi / distance, r * zeta / distance
    x, z = duct.bend(a, b, y, n)
    displacement = n.GridFunction(n.VectorH1(mesh, order=order))
    displacement.Set(n.CF((x - xi, 0, z - zeta)).Compile())
    mesh.SetDeformation(displacement)
    return displacement


def duct_mesh(
    duct: Duct, span: tuple[float, float], d: Discretisation, ends: Ends
) -> tuple[Any, Any]:
    """The mesh of a duct, and the displacement that bends it into shape."""
    mesh = square_mesh(d, *span, hollow=duct.core > 0, ends=ends)
    return mesh, deform(mesh, duct, d.order)
