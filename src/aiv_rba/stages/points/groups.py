"""Training groups: patches of the wall, radial and temporal sections; A.3.1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen


def uniform(seed: int, purpose: int, *counters: NDArray[np.int64]) -> Array:
    """Random numbers in [0, 1) that depend on nothing but seed, purpose and counters.

    SplitMix64 (Steele, Lea & Flood 2014) of the counters, so that every rank draws the numbers of
    its own groups and all together draw what one rank would.
    """
    state = np.full(
        np.broadcast_shapes(*(c.shape for c in counters)),
        (seed * 0x9E3779B97F4A7C15 + purpose) % 2**64,
        dtype=np.uint64,
    )
    for counter in counters:
        state = _splitmix(state ^ _splitmix(np.asarray(counter, dtype=np.uint64)))
    return np.asarray((state >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def patches(lumen: Lumen, points: Array, n_theta: int, n_y: int, bins: str) -> list[IntArray]:
    """Numbers of the wall points in each patch, patch = i_theta * n_y + i_y.

    With "quantile" bins the points are cut into n_y axial bands of equal numbers, and each band
    into n_theta angular ones; with "uniform" bins into equal lengths and angles.

    Raises
    ------
    UserError
        If a patch is empty.
    """
    angle, height, _ = lumen.polar(points)
    if bins == "quantile":
        i_y = _rank_bins(height, n_y)
        i_theta = np.empty_like(i_y)
        for band in range(n_y):
            members = i_y == band
            i_theta[members] = _rank_bins(angle[members], n_theta)
    else:
        low, high = lumen.wall.points[:, lumen.axis].min(), lumen.wall.points[:, lumen.axis].max()
        i_y = np.clip(((height - low) / (high - low) * n_y).astype(int), 0, n_y - 1)
        i_theta = np.clip(((angle + np.pi) / (2 * np.pi) * n_theta).astype(int), 0, n_theta - 1)
    patch = i_theta * n_y + i_y
    counts = np.bincount(patch, minlength=n_theta * n_y)
    if (counts == 0).any():
        t, y = divmod(int(np.argmin(counts)), n_y)
        raise UserError(
            f"points: the patch theta {t} of {n_theta}, y {y} of {n_y} holds no wall point; "
            "expected fewer patches, or points.bins: quantile"
        )
    order = np.argsort(patch, kind="stable")
    return np.split(order, np.cumsum(counts)[:-1])


def bisected(features: Array, parts: int) -> list[IntArray]:
    """Numbers of the points (N, D) in each of `parts` parts, equal within one point.

    The points are halved again and again, each time across their longest extent.
    """
    edges = np.arange(parts + 1) * len(features) // parts

    def cut(numbers: IntArray, first: int, last: int) -> list[IntArray]:
        if last - first == 1:
            return [numbers]
        middle = (first + last) // 2
        own = features[numbers]
        longest = np.argmax(np.ptp(own, axis=0))
        lower, upper = np.split(
            numbers[np.argsort(own[:, longest], kind="stable")], [edges[middle] - edges[first]]
        )
        return [*cut(lower, first, middle), *cut(upper, middle, last)]

    return cut(np.arange(len(features)), 0, parts)


def _rank_bins(values: Array, bins: int) -> IntArray:
    """Bin of each value by its rank, so that the bins hold equal numbers."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks * bins // len(values)


def time_bins(levels: int, n_t: int) -> tuple[IntArray, IntArray]:
    """First level and number of levels of each of n_t temporal sections."""
    edges = np.arange(n_t + 1) * levels // n_t
    return edges[:-1], np.diff(edges)
