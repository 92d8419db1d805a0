"""The given wall as a duct of the twin's solver."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.interpolate import RectBivariateSpline

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, across, lumen_of
from aiv_rba.twin.axes import ORDER, Axes
from aiv_rba.twin.geometry import Duct

# Heights and angles at which the wall is looked for, and how many times finer it is stored.
HEIGHTS, ANGLES, FINER = 81, 96, 6
# Where it is looked for, in the radius of the vertices, and steps of the search.
NEAR, FAR, STEPS = 0.6, 1.4, 12


class GivenDuct(Duct):
    """A tube along an axis as a duct along y, between the surface where the wall function vanishes.

    This goes on for one hydraulic radius beyond the given wall, and so does the duct.

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
        centre = np.zeros((HEIGHTS, 3))
        centre[:, case.axis] = y
        centre[:, across(case.axis)] = lumen.centre(inside)
        # Beyond the openings the centre line goes on straight.
        for end, beyond in ((low, y < low), (high, y > high)):
            step = 1e-3 * np.sign((low + high) / 2 - end)
            slope = np.diff(lumen.centre(np.array([end, end + step])), axis=0) / step
            centre[np.ix_(np.flatnonzero(beyond), np.array(across(case.axis)))] += (
                y[beyond] - end
            )[:, None] * slope
        radius = self._found(case, lumen, centre, inside)
        # Three more angles at either side make the spline periodic.
        turns = 2 * np.pi * np.arange(-4, ANGLES + 4) / ANGLES - np.pi
        wrapped = np.concatenate([radius[:, -4:], radius, radius[:, :4]], axis=1)
        self._radius = RectBivariateSpline(y, turns, wrapped)
        self._centre = [
            RectBivariateSpline(y, turns, np.repeat(c[:, None], len(turns), axis=1))
            for c in self.to_solver(centre)[:, [0, 2]].T
        ]

    def to_solver(self, vectors: Array) -> Array:
        """Vectors (..., 3) of the case in the order of the solver, whose axis is y."""
        return vectors[..., self._order]

    def _found(self, case: Case, lumen: Lumen, centre: Array, inside: Array) -> Array:
        """Distances (Y, Theta) of the wall from the centre line, by regula falsi (Illinois)."""
        turn = 2 * np.pi * np.arange(ANGLES) / ANGLES - np.pi
        direction = np.zeros((ANGLES, 3))
        direction[:, 0], direction[:, 2] = np.cos(turn), np.sin(turn)
        direction = self.axes.vectors(direction)
        first, second = across(case.axis)
        angle = np.arctan2(direction[:, second], direction[:, first])
        heights, angles = (a.ravel() for a in np.meshgrid(inside, angle, indexing="ij"))
        vertices = lumen.outer_radius(angles, heights).reshape(len(centre), ANGLES)

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
        if lib is np:
            turn = np.arctan2(b, a)
            radius, *centre = (f.ev(y, turn) for f in (self._radius, *self._centre))
        else:
            start, end = (self.span[0], -np.pi), (self.span[1], np.pi)
            place = lib.CF((y, lib.atan2(b, a)))
            # The first coordinate is the one that changes fastest in the array.
            radius, *centre = (
                lib.VoxelCoefficient(start, end, f(*self._grid).T.copy(), trafocf=place)
                for f in (self._radius, *self._centre)
            )
        return centre[0] + radius * a, centre[1] + radius * b

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Disc point (a, b) of (x, y, z)."""
        x_centre, z_centre = (f.ev(y, np.zeros_like(y)) for f in self._centre)
        p, q = x - x_centre, z - z_centre
        radius = self._radius.ev(y, np.arctan2(q, p))
        return p / radius, q / radius
