"""Ducts as maps from a disc, or from a ring, to the sections of a vessel along y.

Square (xi, y, zeta) -> disc (a, b) = r (cos theta, sin theta) -> section (x, z). Every step has a
closed inverse, so that a field sampled on a (theta, r, y) grid can be looked up at any point.
Lengths are in units of the twin's length scale; y is the vessel axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Half width of the inner square of the O-grid in the square, and what it becomes in the disc.
INNER = 0.5
INNER_IN_DISC = 0.45
# A box round the sections is larger than the vertices that it is measured by.
BOX_MARGIN = 0.02


class Duct(ABC):
    """A vessel along y whose sections repeat after `length`.

    Attributes
    ----------
    length
        Length that is measured, also the period along y.
    core
        Radius of the inner wall in the disc; zero in a single lumen.
    """

    core: ClassVar[float] = 0.0
    length: float

    @property
    @abstractmethod
    def width(self) -> float:
        """Mean width of the gap, or the diameter."""

    @property
    @abstractmethod
    def section(self) -> float:
        """Area that the flow rate is a multiple of: about that of a section."""

    @abstractmethod
    def bend(self, a: Any, b: Any, y: Any, lib: Any = np) -> tuple[Any, Any]:
        """X and z of the disc point (a, b) of the section at y.

        `lib` has the functions sin, cos, exp and sqrt: NumPy, or NGSolve for the mesh.
        """

    @abstractmethod
    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Disc point (a, b) of (x, y, z)."""

    @property
    def walls(self) -> tuple[float, ...]:
        """Radius in the disc of every wall: the outer one and, in an annulus, the inner one."""
        return (1.0, self.core) if self.core else (1.0,)

    def place(self, r: Array, theta: Array, y: Array) -> Array:
        """Points (..., 3) of disc radii, angles and heights (...)."""
        x, z = self.bend(r * np.cos(theta), r * np.sin(theta), y)
        return np.stack([x, y, z], axis=-1)

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (N, 3) lie in the lumen, whatever their height."""
        r = np.hypot(*self.unbend(*points.T))
        inside: NDArray[np.bool_] = r < 1 - 1e-6
        return inside & (r > self.core + 1e-6) if self.core else inside

    @cached_property
    def extent(self) -> tuple[Array, Array]:
        """Lowest and highest x and z (2,) of the wall."""
        theta, y = np.meshgrid(np.linspace(0, 2 * np.pi, 181), np.linspace(0, self.length, 241))
        wall = self.place(np.ones_like(theta), theta, y)[..., [0, 2]].reshape(-1, 2)
        return wall.min(axis=0), wall.max(axis=0)

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """Lowest and highest x and z (2,) of a box round the sections."""
        low, high = self.extent
        margin = BOX_MARGIN * (high - low)
        return low - margin, high + margin

    def uniform(self, rng: np.random.Generator, tries: int, start: float, stop: float) -> Array:
        """Points uniform in the lumen, those of `tries` in a box that fall inside."""
        (x_low, z_low), (x_high, z_high) = self.box
        low, high = np.array([x_low, start, z_low]), np.array([x_high, stop, z_high])
        points = rng.uniform(low, high, size=(tries, 3))
        return np.asarray(points[self.contains(points)])


def disc_to_square(r: Array, theta: Array, core: float = 0.0) -> tuple[Array, Array]:
    """Square point of the disc point (r, theta); angles are kept."""
    sec = 1 / np.maximum(np.abs(np.cos(theta)), np.abs(np.sin(theta)))
    if core:
        rho = INNER + (1 - INNER) * (r - core) / (1 - core)
    else:
        inner = INNER_IN_DISC * sec
        rho = np.where(
            r <= inner, INNER * r / inner, INNER + (1 - INNER) * (r - inner) / (1 - inner)
        )
    return rho * sec * np.cos(theta), rho * sec * np.sin(theta)


def unstretch(s: Array, edge: Array) -> Array:
    """Radii r of a disc that r + (edge - 1) r^3 takes to s, so that r = 1 goes to `edge`.

    The stretch leaves the middle of the disc round; beyond the edge it goes on linearly.
    """
    k = edge - 1
    r = np.minimum(s / edge, 1)
    for _ in range(8):
        r = np.clip(r - (r + k * r**3 - s) / (1 + 3 * k * r**2), 0, 1)
    return np.where(s > edge, 1 + (s - edge) / (1 + 3 * k), r)
