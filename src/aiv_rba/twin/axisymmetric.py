"""Unsteady axisymmetric Navier-Stokes round a sphere in a stream: Taylor-Hood triangles, SBDF3.

Lengths are in radii of the sphere, speeds in units of a given speed. The stream flows along x, r
is the distance from the axis, and the sphere's centre is the origin. The sides of the domain move
with the stream, so that a steady slow flow is that round a sphere on the axis of a tube.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.errors import UserError
from aiv_rba.settings.types import STRICT, Positive
from aiv_rba.twin.mesh import ngsolve

COMPRESSIBILITY = 1e-9


@dataclass(frozen=True, config=STRICT)
class Triangles:
    """Resolution in space and time, in radii of the sphere and its time unit."""

    size: Positive = 0.12
    """Size of the triangles at the sphere."""
    near: Positive = 0.5
    """Their size in its surroundings and its wake."""
    far: Positive = 2.0
    """Their size elsewhere."""
    reach: Positive = 15.0
    """Distance of the sides and of the inlet; the outlet is twice as far."""
    order: Annotated[int, Field(ge=2)] = 3
    """Polynomial order of the velocity; pressure has one less."""
    step: Positive = 0.025
    """Time step."""


def sphere_mesh(d: Triangles) -> Any:
    """Half a section through the domain; its edges are named axis, body, inlet, side, outlet."""
    n = ngsolve()
    from netgen.geom2d import SplineGeometry

    geometry = SplineGeometry()
    wide, before, behind = 3.0, -3.0, min(8.0, 1.5 * d.reach)
    corners = (
        *((-d.reach, 0), (before, 0), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0)),
        *((behind, 0), (2 * d.reach, 0), (2 * d.reach, d.reach), (-d.reach, d.reach)),
        *((behind, wide), (before, wide)),
    )
    numbers = [geometry.AppendPoint(*corner) for corner in corners]
    # Sides by the numbers of their corners, name, and the regions on the left and on the right.
    for side, name, left, right in (
        ((0, 1), "axis", 2, 0),
        ((1, 2), "axis", 1, 0),
        ((2, 3, 4), "body", 1, 0),
        ((4, 5, 6), "body", 1, 0),
        ((6, 7), "axis", 1, 0),
        ((7, 8), "axis", 2, 0),
        ((8, 9), "outlet", 2, 0),
        ((9, 10), "side", 2, 0),
        ((10, 0), "inlet", 2, 0),
        ((7, 11), "inside", 1, 2),
        ((11, 12), "inside", 1, 2),
        ((12, 1), "inside", 1, 2),
    ):
        kind = "line" if len(side) == 2 else "spline3"
        options = {"maxh": d.size} if name == "body" else {}
        geometry.Append(
            [kind, *(numbers[i] for i in side)],
            leftdomain=left,
            rightdomain=right,
            bc=name,
            **options,
        )
    geometry.SetDomainMaxH(1, d.near)
    mesh = n.Mesh(geometry.GenerateMesh(maxh=d.far))
    mesh.Curve(d.order)
    return mesh


class SphereInStream:
    """The flow from rest round a sphere in a stream whose speed changes with time.

    Attributes
    ----------
    mesh
        Half a section.
    time
        Time that has been reached.
    state
        Velocity (x, r) and pressure, in rho U^2, at that time.
    """

    def __init__(
        self, speed: Callable[[float], float], reynolds: float, resolution: Triangles
    ) -> None:
        """Start at rest; `reynolds` is that of the radius."""
        n = ngsolve()
        self.mesh = sphere_mesh(resolution)
        self.time = 0.0
        self.reynolds = reynolds
        self._speed, self._step = speed, resolution.step
        order = resolution.order
        along = n.H1(self.mesh, order=order, dirichlet="inlet|side|body")
        across = n.H1(self.mesh, order=order, dirichlet="inlet|side|body|axis")
        self.space = along * across * n.H1(self.mesh, order=order - 1)
        (u, v, p), (a, b, q) = self.space.TnT()
        r = n.y
        # Integrals over the circle round the axis, without its 2 pi.
        dx = n.dx(bonus_intorder=2)
        mass = 11 / 6 / self._step * (u * a + v * b) * r
        diffusion = (n.Grad(u) * n.Grad(a) + n.Grad(v) * n.Grad(b)) * r + v * b / r
        divergence = (n.Grad(u)[0] + n.Grad(v)[1]) * r + v
        transposed = (n.Grad(a)[0] + n.Grad(b)[1]) * r + b
        stokes = n.BilinearForm(self.space, symmetric=True)
        stokes += (mass + diffusion / reynolds - p * transposed - q * divergence) * dx
        # The factorisation does not exchange rows: see `solver.march`.
        stokes += -COMPRESSIBILITY * reynolds * p * q * r * dx
        self._stokes = stokes.Assemble()
        self._inverse = stokes.mat.Inverse(self.space.FreeDofs(), inverse="sparsecholesky")

        self._stream = n.GridFunction(self.space)
        self._stream.components[0].Set(n.CF(1), definedon=self.mesh.Boundaries("inlet|side"))
        self.state = n.GridFunction(self.space)
        self._history = [n.GridFunction(self.space) for _ in range(3)]
        past_u, past_v = n.CF(0), n.CF(0)
        coefficients = ((3.0, 3.0), (-1.5, -3.0), (1 / 3, 1.0))
        for (c, e), earlier in zip(coefficients, self._history, strict=True):
            w, s, _ = earlier.components
            past_u += c / self._step * w - e * (w * n.Grad(w)[0] + s * n.Grad(w)[1])
            past_v += c / self._step * s - e * (w * n.Grad(s)[0] + s * n.Grad(s)[1])
        self._past = n.LinearForm(self.space)
        self._past += (past_u.Compile() * a + past_v.Compile() * b) * r * dx

    def advance(self) -> None:
        """Go on by a time step.

        Raises
        ------
        UserError
            If the time steps are too long for the explicit convection.
        """
        n = ngsolve()
        self.time += self._step
        self._past.Assemble()
        self.state.vec.data = self._speed(self.time) * self._stream.vec
        rest = self._past.vec.CreateVector()
        rest.data = self._past.vec - self._stokes.mat * self.state.vec
        self.state.vec.data += self._inverse * rest
        for older, newer in ((2, 1), (1, 0)):
            self._history[older].vec.data = self._history[newer].vec
        self._history[0].vec.data = self.state.vec
        if not np.isfinite(n.Norm(self.state.vec)):
            raise UserError(
                f"twin: the flow grew beyond all bounds at time {self.time:g}, expected a shorter "
                f"discretisation.step than {self._step:g}"
            )

    @property
    def drag(self) -> float:
        """Force along x on the sphere, in rho U^2 R^2, from its viscous stress and pressure."""
        n = ngsolve()
        u, v, p = self.state.components
        normal = n.specialcf.normal(2)
        gradient = [n.BoundaryFromVolumeCF(n.Grad(f)) for f in (u, v)]
        viscous = 2 * gradient[0][0] * normal[0] + (gradient[0][1] + gradient[1][0]) * normal[1]
        traction = -p * normal[0] + viscous / self.reynolds
        body = self.mesh.Boundaries("body")
        return -2 * np.pi * float(n.Integrate(traction * n.y, self.mesh, definedon=body))

    def flux(self, edge: str) -> float:
        """Flow rate out of the domain through an edge."""
        n = ngsolve()
        u, v, _ = self.state.components
        normal = n.specialcf.normal(2)
        through = (u * normal[0] + v * normal[1]) * n.y
        return (
            2 * np.pi * float(n.Integrate(through, self.mesh, definedon=self.mesh.Boundaries(edge)))
        )
