"""Flow rates and mean pressures of the openings of a vessel, and what they say of it as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import roots_sh_jacobi

from aiv_rba.files.case import Opening
from aiv_rba.files.formats import Array
from aiv_rba.scales import Scales

# Sides of the triangles of a quadrature over the hydraulic radius, and its points for each
# direction of a triangle: 9 integrate polynomials of degree 5 exactly.
LARGEST, ORDER = 1.0, 3
# Times of the cycle or window from which the main flow is taken.
TIMES = 8


@dataclass(frozen=True)
class Quadrature:
    """Quadrature points of all openings, one opening after the other.

    Attributes
    ----------
    points
        (Q, 3), nondimensional.
    areas
        (Q, 3): weights times the unit normal out of the lumen, in units of L^2.
    starts
        (O,): number of the first point of each of the O openings.
    """

    points: Array
    areas: Array
    starts: tuple[int, ...]

    @classmethod
    def of(cls, openings: Sequence[Opening], largest: float, order: int = ORDER) -> Self:
        """Gauss points in triangles whose sides are not longer than `largest`."""
        points, areas = [], []
        for opening in openings:
            triangles = _bisected(opening.points[opening.triangles], largest)
            sides = triangles[:, 1:] - triangles[:, :1]
            vectors = np.cross(sides[:, 0], sides[:, 1]) / 2
            # Out of the lumen, whichever way the triangles are wound.
            vectors *= np.sign(vectors.sum(axis=0) @ opening.normal)
            corners, weights = _in_triangle(order)
            points.append(np.einsum("qc,mcx->mqx", corners, triangles).reshape(-1, 3))
            areas.append(np.einsum("q,mx->mqx", weights, vectors).reshape(-1, 3))
        counts = [len(part) for part in points]
        return cls(
            np.concatenate(points),
            np.concatenate(areas),
            tuple(np.cumsum([0, *counts[:-1]]).tolist()),
        )

    def flow_rates(self, velocity: Array, scales: Scales) -> Array:
        """Flow rates (..., O) out of the openings, m^3/s, from the velocity (..., Q, 3), m/s."""
        return self._sums(np.sum(velocity * self.areas, axis=-1)) * scales.length**2

    def mean_pressures(self, pressure: Array) -> Array:
        """Means (..., O) over the openings of a pressure (..., Q)."""
        weights = np.linalg.norm(self.areas, axis=1)
        return self._sums(pressure * weights) / self._sums(weights)

    def _sums(self, values: Array) -> Array:
        """Sums (..., O) over the points of each opening of (..., Q)."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1))


@dataclass(frozen=True)
class MainFlow:
    """The flow through a vessel as a whole: from which openings to which.

    Attributes
    ----------
    shares
        (O,): share of the throughput that leaves by each opening over the cycle, negative where it
        enters. Their signs are those of the main flow.
    """

    shares: Array

    @classmethod
    def of(cls, rates: Array) -> Self:
        """Of flow rates (T, O) at times of the cycle.

        An opening is compared with that of the largest flow rate over the cycle, whether or not
        the mean flow is zero.
        """
        if not rates.size:
            return cls(np.zeros(rates.shape[-1]))
        largest = int(np.argmax(np.sum(rates**2, axis=0)))
        together = rates.T @ rates[:, largest]
        if (rates @ np.sign(together)).sum() < 0:
            together = -together
        throughput = np.abs(together).sum() / 2
        return cls(together / throughput if throughput else together)

    @property
    def inlet(self) -> int:
        """Number of the opening by which most enters."""
        return int(np.argmin(self.shares))

    @property
    def outlet(self) -> int:
        """Number of the opening by which most leaves."""
        return int(np.argmax(self.shares))

    def throughput(self, rates: Array) -> Array:
        """Flow rate (...) through the vessel from those (..., O) out of its openings.

        Half the sum of their magnitudes; what flows against the main flow counts as negative.
        """
        return np.asarray(rates @ np.sign(self.shares) / 2)

    def drop(self, pressures: Array) -> Array:
        """Pressure drop (...) from inlet to outlet; not a number without two openings."""
        if pressures.shape[-1] < 2:
            return np.full(pressures.shape[:-1], np.nan)
        return np.asarray(pressures[..., self.inlet] - pressures[..., self.outlet])


def rate_column(name: str, suffix: str = "") -> str:
    """Column of the flow rate out of an opening, or with `suffix` "_std" of its deviation."""
    return f"flow_rate_{name}{suffix}_m3_s"


def pressure_column(name: str, suffix: str = "") -> str:
    """Column of the mean pressure on an opening, likewise."""
    return f"pressure_{name}{suffix}_pa"


def imbalance(rates: Array, main: MainFlow) -> Array:
    """Sum (T,) of flow rates (T, O), over the root mean square of the throughput."""
    size = np.sqrt(np.mean(main.throughput(rates) ** 2))
    return np.asarray(rates.sum(axis=1) / size) if size else np.zeros(len(rates))


def _bisected(triangles: Array, largest: float) -> Array:
    """Triangles (M, 3, 3), halved across their longest sides until none is longer."""
    done = []
    while len(triangles):
        sides = np.linalg.norm(np.roll(triangles, -1, axis=1) - triangles, axis=2)
        longest = np.argmax(sides, axis=1)
        long = sides.max(axis=1) > largest
        done.append(triangles[~long])
        # Corners in an order in which the longest side is the first.
        turned = (longest[long, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(triangles[long], turned[..., None], axis=1), 1, 0)
        middle = (a + b) / 2
        triangles = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
    return np.concatenate(done)


def _in_triangle(order: int) -> tuple[Array, Array]:
    """Barycentric coordinates (Q, 3) and weights (Q,) of the conical product rule (Stroud 1971)."""
    x, along = np.polynomial.legendre.leggauss(order)
    # Weight 1 - y, since a triangle is the narrower the nearer to its tip.
    y, up = roots_sh_jacobi(order, 2, 1)
    first = np.outer(1 - y, (1 + x) / 2).ravel()
    second = np.repeat(y, order)
    weights = np.outer(up, along).ravel()
    return np.stack([1 - first - second, first, second], axis=1), weights / weights.sum()
