"""A perivascular lobe bent round an artery, as a map from a straight square duct.

Square (xi, y, zeta) -> disc (r, theta) -> lobe (x, y, z). Every step has a closed inverse, so
that a field sampled on a (theta, r, y) grid can be looked up at any point. Lengths are in units
of the twin's length scale; y is the vessel axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Half width of the inner square of the O-grid in the square, and what it becomes in the disc.
INNER = 0.5
INNER_IN_DISC = 0.45


@dataclass(frozen=True)
class Lobe:
    """Lobe of a perivascular space.

    With the defaults every section can be seen whole from its centroid, so that copies of the
    wall shrunk towards the centre line stay inside.

    Attributes
    ----------
    artery
        Radius of the artery that the lobe is bent round.
    gap
        Mean width of the gap at mid-lobe.
    opening
        Half angle of the lobe round the artery, radians.
    length
        Length that is measured; the irregularity has this period.
    irregularity
        Relative amplitude of the irregularity along the axis and round the section.
    """

    artery: float = 0.6
    gap: float = 0.8
    opening: float = 0.85
    length: float = 12.0
    irregularity: float = 0.15

    def shape(self, a: Any, y: Any, sin: Any = np.sin) -> tuple[Any, Any, Any, Any]:
        """Mean radius, gap, opening angle and turn of the lobe at arc coordinate a, height y."""
        k = 2 * np.pi / self.length
        e = self.irregularity
        gap = self.gap * (
            1
            + e * sin(k * y + 0.4)
            + 0.6 * e * sin(2 * k * y + 1.9)
            + e * a * sin(k * y + 2.2)
            + 0.8 * e * (2 * a * a - 1) * sin(2 * k * y + 0.3)
        )
        radius = self.artery + self.gap / 2 + self.gap * e * (0.8 * sin(k * y + 3.0) + 0.5 * a)
        opening = self.opening * (1 + e * sin(k * y + 5.0) + 0.5 * e * sin(2 * k * y + 1.0))
        turn = 0.8 * e * sin(k * y + 1.2)
        return radius, gap, opening, turn

    def bend(self, a: Any, b: Any, y: Any, sin: Any = np.sin, cos: Any = np.cos) -> tuple[Any, Any]:
        """X and z of the disc point (a, b) of the section at y."""
        radius, gap, opening, turn = self.shape(a, y, sin)
        r = radius + gap / 2 * b
        phi = turn + opening * a
        return r * sin(phi), r * cos(phi) - self.artery - self.gap / 2

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Disc point (a, b) of the lobe point (x, y, z)."""
        z = z + self.artery + self.gap / 2
        _, _, opening, turn = self.shape(np.zeros_like(y), y)
        a = (np.arctan2(x, z) - turn) / opening
        radius, gap, _, _ = self.shape(a, y)
        return a, 2 * (np.hypot(x, z) - radius) / gap


@dataclass(frozen=True)
class Tube:
    """A round tube, for which the flow is known in closed form."""

    radius: float = 1.0
    length: float = 2.0

    def bend(self, a: Any, b: Any, y: Any, sin: Any = np.sin, cos: Any = np.cos) -> tuple[Any, Any]:
        """X and z of the disc point (a, b)."""
        return self.radius * a, self.radius * b

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Disc point (a, b) of (x, y, z)."""
        return x / self.radius, z / self.radius


def disc_to_square(r: Array, theta: Array) -> tuple[Array, Array]:
    """Square point of the disc point (r, theta); angles are kept."""
    sec = 1 / np.maximum(np.abs(np.cos(theta)), np.abs(np.sin(theta)))
    inner = INNER_IN_DISC * sec
    rho = np.where(r <= inner, INNER * r / inner, INNER + (1 - INNER) * (r - inner) / (1 - inner))
    return rho * sec * np.cos(theta), rho * sec * np.sin(theta)
