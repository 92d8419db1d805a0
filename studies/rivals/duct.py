"""The given wall as a duct of the twin's solver."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.interpolate import RectBivariateSpline, make_smoothing_spline
from scipy.optimize import linprog

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, across, lumen_of
from aiv_rba.twin.axes import ORDER, Axes
from aiv_rba.twin.geometry import Duct, unstretch

# Heights and angles at which the wall is looked for, and how many times finer it is stored.
HEIGHTS, ANGLES, FINER = 81, 192, 4
# Where it is looked for, in the radius of the vertices, and steps of the search.
NEAR, FAR, STEPS = 0.6, 1.4, 12
# Radius by which the middle of a section is stretched in all directions, over the smallest one.
MIDDLE = 1.2
# Damping of the line from which it is looked for, a length in hydraulic radii to the cube.
STRAIGHT = 0.1


class GivenDuct(Duct):
    """A tube along an axis as a duct along y, between the surface where the wall function vanishes.

    This goes on for one hydraulic radius beyond the given wall, and so does the duct. Rays to the
    wall start where they meet it least obliquely, which in a lobe is far from its centroid.

    Parameters
    ----------
    case
        A case whose lumen has sections that are seen whole from their centres, and no inner wall.

    Raises
    ------
    UserError
        If its lumen is another one.
    """

    def __init__(self, case: Case) -> None:
        lumen = lumen_of(case)
        if not isinstance(lumen, Lumen) or lumen.annular:
            raise UserError(f"cfd: found a {case.lumen} lumen, expected a single one")
        names: tuple[Literal["x", "y", "z"], ...] = ("x", "y", "z")
        self.axes = Axes(names[case.axis])
        self._order = np.argsort(ORDER[self.axes.name])
        along = case.wall.points[:, case.axis]
        low, high = float(along.min()), float(along.max())
        self.length = high - low
        self.span = (low - case.radius, high + case.radius)
        y = np.linspace(*self.span, HEIGHTS)
        inside = np.clip(y, low, high)
        sections = self._sections(lumen, inside)
        centre = np.zeros((HEIGHTS, 3))
        centre[:, case.axis] = y
        centre[:, across(case.axis)] = line_of_sight(sections, inside, y, case.radius)
        radius = self._found(case, sections, centre)
        # Three more angles at either side make the spline periodic.
        turns = 2 * np.pi * np.arange(-4, ANGLES + 4) / ANGLES - np.pi
        wrapped = np.concatenate([radius[:, -4:], radius, radius[:, :4]], axis=1)
        self._radius = RectBivariateSpline(y, turns, wrapped)
        self._middle, *self._centre = (
            RectBivariateSpline(y, turns, np.repeat(of_y[:, None], len(turns), axis=1))
            for of_y in (MIDDLE * radius.min(axis=1), *self.to_solver(centre)[:, [0, 2]].T)
        )

    def to_solver(self, vectors: Array) -> Array:
        """Vectors (..., 3) of the case in the order of the solver, whose axis is y."""
        return vectors[..., self._order]

    def _sections(self, lumen: Lumen, heights: Array) -> Array:
        """Outlines (Y, Theta, 2) of sections, counterclockwise."""
        angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
        at = [a.ravel() for a in np.meshgrid(angle, heights)]
        radius = lumen.outer_radius(*at).reshape(len(heights), ANGLES)
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        outlines = lumen.centre(heights)[:, None] + radius[..., None] * direction
        return np.asarray(outlines)

    def _found(self, case: Case, sections: Array, centre: Array) -> Array:
        """Distances (Y, Theta) of the wall from a line, by regula falsi (Illinois)."""
        turn = 2 * np.pi * np.arange(ANGLES) / ANGLES - np.pi
        direction = np.zeros((ANGLES, 3))
        direction[:, 0], direction[:, 2] = np.cos(turn), np.sin(turn)
        direction = self.axes.vectors(direction)
        first, second = across(case.axis)
        angle = np.arctan2(direction[:, second], direction[:, first])
        rays = sections - centre[:, None, [first, second]]
        vertices = np.stack(
            [
                np.interp(angle, np.arctan2(*ray.T[::-1]), np.hypot(*ray.T), period=2 * np.pi)
                for ray in rays
            ]
        )

        def phi(radius: Array) -> Array:
            points = centre[:, None] + radius[..., None] * direction
            return case.wall_function(points.reshape(-1, 3)).reshape(radius.shape)

        near, far = NEAR * vertices, FAR * vertices
        at_near, at_far = phi(near), phi(far)
        if not ((at_near > 0) & (at_far < 0)).all():
            raise UserError("cfd: the wall function has no zero near some vertices of the wall")
        for _ in range(STEPS):
            at = (near * at_far - far * at_near) / (at_far - at_near)
            value = phi(at)
            inner = value > 0
            at_near, at_far = (
                np.where(inner, value, at_near / 2),
                np.where(inner, at_far / 2, value),
            )
            near, far = np.where(inner, at, near), np.where(inner, far, at)
            if np.abs(value).max() < 1e-6 * case.wall_function.unit:
                break
        return at

    @property
    def width(self) -> float:
        """Mean diameter."""
        return float(2 * np.mean(self._radius(*self._grid)))

    @property
    def section(self) -> float:
        """Mean area."""
        return float(np.pi * np.mean(self._radius(*self._grid) ** 2))

    @property
    def _grid(self) -> tuple[Array, Array]:
        return (
            np.linspace(*self.span, FINER * HEIGHTS),
            np.linspace(-np.pi, np.pi, FINER * ANGLES),
        )

    def bend(self, a: Any, b: Any, y: Any, lib: Any = np) -> tuple[Any, Any]:
        """X and z of the disc point (a, b) of the section at y."""
        splines = (self._radius, self._middle, *self._centre)
        if lib is np:
            turn = np.arctan2(b, a)
            radius, middle, *centre = (f.ev(y, turn) for f in splines)
        else:
            start, end = (self.span[0], -np.pi), (self.span[1], np.pi)
            place = lib.CF((y, lib.atan2(b, a)))
            # The first coordinate is the one that changes fastest in the array.
            radius, middle, *centre = (
                lib.VoxelCoefficient(start, end, f(*self._grid).T.copy(), trafocf=place)
                for f in splines
            )
        stretch = middle + (radius - middle) * (a * a + b * b)
        return centre[0] + stretch * a, centre[1] + stretch * b

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Disc point (a, b) of (x, y, z)."""
        x_centre, z_centre = (f.ev(y, np.zeros_like(y)) for f in self._centre)
        p, q = x - x_centre, z - z_centre
        turn = np.arctan2(q, p)
        middle = self._middle.ev(y, turn)
        s = np.hypot(p, q) / middle
        r = unstretch(s, self._radius.ev(y, turn) / middle)
        return r * np.cos(turn), r * np.sin(turn)


def line_of_sight(sections: Array, inside: Array, heights: Array, radius: float) -> Array:
    """A line (Y, 2) from which sections are seen whole, straight beyond the openings.

    Parameters
    ----------
    sections
        Outlines (Y, Theta, 2), counterclockwise.
    inside, heights
        Heights (Y,) of the outlines, and of the line. They differ beyond the openings.
    radius
        Hydraulic radius.

    Raises
    ------
    UserError
        If a section is not seen whole from any place.
    """
    places = []
    for outline, height in zip(sections, inside, strict=True):
        side = np.roll(outline, -1, axis=0) - outline
        normal = np.stack([side[:, 1], -side[:, 0]], axis=1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        # The middle of the largest circle in front of all sides.
        bounds = np.column_stack([normal, np.ones(len(normal))])
        reach = (outline * normal).sum(axis=1)
        found = linprog([0, 0, -1], bounds, reach, bounds=(None, None))
        if found.x is None or not found.x[2] > 0:
            raise UserError(
                f"cfd: found a section at {height:g} that is not seen whole from any place in it, "
                "expected such a place in all"
            )
        places.append(found.x[:2])
    known = np.flatnonzero(inside == heights)
    line = [
        make_smoothing_spline(heights[known], along, lam=STRAIGHT * radius**3)(heights)
        for along in np.array(places)[known].T
    ]
    return np.stack(line, axis=1)
