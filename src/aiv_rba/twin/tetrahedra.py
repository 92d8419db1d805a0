"""Tetrahedra in a vessel with branches: those of its round parts, moved onto the smooth wall."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.twin.branches import Branches
from aiv_rba.twin.geometry import Array
from aiv_rba.twin.mesh import ngsolve

ENDS = ("inlet", "outlet_left", "outlet_right")
# Radius of the ball, in radii of the parent: a little larger, so that no face has a thin tip.
BALL = 1.2
# The displacement is a few percent of an element, so that a fixed point is found at once.
LOOK_UPS = 4
# By how much a point may be missed, in radii of the parent.
TOLERANCE = 1e-3


class TetrahedralMesh:
    """Curved tetrahedra between the wall and an end across every branch.

    Attributes
    ----------
    mesh
        Tetrahedra with straight sides, which `displacement` bends; faces are named wall, inlet,
        outlet_left and outlet_right.
    displacement
        Of the straight tetrahedra's points; it is not zero only at the wall.
    """

    def __init__(self, branches: Branches, size: float, length: float, order: int) -> None:
        """Mesh with elements of about `size` in branches of `length`.

        Raises
        ------
        UserError
            If the elements are too large for the wall.
        """
        n = ngsolve()
        self.branches = branches
        straight = _round_parts(branches, length).GenerateMesh(maxh=size, curvaturesafety=0.5)
        _move_onto_wall(straight, branches)
        self.mesh = n.Mesh(straight)
        self.displacement = n.GridFunction(n.VectorH1(self.mesh, order=order))
        here = (n.x, n.y, n.z)
        there = here
        # The corners are on the wall already, so that two steps reach it.
        for _ in range(2):
            value, slope = branches.level(*there, lib=n)
            square = sum(s * s for s in slope)
            there = tuple(t - value / square * s for t, s in zip(there, slope, strict=True))
        shift = n.CF(tuple(t - h for t, h in zip(there, here, strict=True))).Compile()
        self.displacement.Set(shift, definedon=self.mesh.Boundaries("wall"))
        self.mesh.SetDeformation(self.displacement)
        rule = n.IntegrationRule(n.TET, 2 * order)
        sizes = n.Det(n.specialcf.JacobianMatrix(3))(self.mesh.MapToAllElements(rule, n.VOL))
        if not sizes.min() > 0:
            raise UserError(
                f"twin: found tetrahedra that the wall turns inside out, expected a "
                f"discretisation.size of less than {size:g}"
            )

    def places(self, straight: Array) -> Array:
        """Where points (N, 3) of the straight tetrahedra are in the vessel."""
        return straight + self._shift(straight)

    def look_up(self, points: Array) -> Array:
        """Points (N, 3) of the straight tetrahedra that are at points of the vessel.

        Not a number where there is none, and within the thin layer between the wall and the
        straight sides, where a fixed point need not be found.
        """
        straight = points
        for _ in range(LOOK_UPS):
            straight = points - self._shift(straight)
        off = np.linalg.norm(self.places(straight) - points, axis=1)
        straight[~(off < TOLERANCE)] = np.nan
        return straight

    def wall_points(self, rng: np.random.Generator, count: int) -> Array:
        """Points (count, 3) of the straight tetrahedra, uniform on their faces at the wall."""
        corners = np.array(
            [
                [self.mesh.vertices[vertex.nr].point for vertex in element.vertices]
                for element in self.mesh.Boundaries("wall").Elements()
            ]
        )
        sides = corners[:, 1:] - corners[:, :1]
        area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
        chosen = rng.choice(len(corners), count, p=area / area.sum())
        share = rng.dirichlet(np.ones(3), count)
        return np.asarray(np.einsum("ni,nij->nj", share, corners[chosen]))

    def _shift(self, straight: Array) -> Array:
        """Displacement (N, 3), not a number outside the tetrahedra."""
        shift = np.full(straight.shape, np.nan)
        found = np.flatnonzero(np.isfinite(straight).all(axis=1))
        where = self.mesh(*np.ascontiguousarray(straight[found].T))
        within = where["nr"] >= 0
        shift[found[within]] = self.displacement(where[within])
        return shift


def _round_parts(branches: Branches, length: float) -> Any:
    """Three cylinders and a ball where they meet."""
    ngsolve()
    from netgen.occ import Cylinder, Dir, OCCGeometry, Pnt, Sphere

    middle = Pnt(0, 0, 0)
    solid = Sphere(middle, BALL)
    for direction, radius in zip(branches.directions, branches.radii, strict=True):
        solid += Cylinder(middle, Dir(*direction), r=float(radius), h=length)
    for face in solid.faces:
        face.name = "wall"
        for name, direction in zip(ENDS, branches.directions, strict=True):
            if np.allclose(tuple(face.center), length * direction, atol=1e-3):
                face.name = name
    return OCCGeometry(solid)


def _move_onto_wall(straight: Any, branches: Branches) -> None:
    """Move the corners on the wall onto the smooth one, and those inside along with them."""
    n = ngsolve()
    mesh = n.Mesh(straight)
    space = n.VectorH1(mesh, order=1, dirichlet=".*")
    on_wall = np.unique(
        [vertex.nr for element in mesh.Boundaries("wall").Elements() for vertex in element.vertices]
    )
    corners = straight.Coordinates()
    shift = n.GridFunction(space)
    values = shift.vec.FV().NumPy().reshape(3, -1)
    values[:, on_wall] = (branches.onto_wall(corners[on_wall])[0] - corners[on_wall]).T
    u, v = space.TnT()
    stiffness = n.BilinearForm(n.InnerProduct(n.Grad(u), n.Grad(v)) * n.dx).Assemble()
    rest = (stiffness.mat * shift.vec).Evaluate()
    inverse = stiffness.mat.Inverse(space.FreeDofs(), inverse="sparsecholesky")
    shift.vec.data -= inverse * rest
    corners += values.T
