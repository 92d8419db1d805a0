"""Whether the collocation points cover the lumen: its largest empty ball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.ranks.mpi import Processes

# Points of the lumen that are probed at least: no part with a thousandth of its volume is missed.
PROBES = 5000
BATCH = 8192
# Most points that are looked at, on all ranks together: as many of every group as that allows.
MOST = 2**19
# Largest radius of an empty ball, in expected spacings; `tests/unit/test_coverage.py` and
# docs/method.md say why.
LIMIT = 3.25


@dataclass(frozen=True)
class Coverage:
    """The largest empty ball of the collocation points about a point of the lumen.

    Attributes
    ----------
    radius
        Its radius.
    centre
        (3,) where it lies.
    spacing
        Spacing that is expected of the points.
    """

    radius: float
    centre: Array
    spacing: float

    @property
    def complete(self) -> bool:
        """Whether the points cover the lumen."""
        return self.radius <= LIMIT * self.spacing


def looked_at(groups: int, per_group: int) -> int:
    """Points of every group that are looked at, the same on any number of ranks."""
    return max(1, min(per_group, MOST // groups))


def distinct(counts: IntArray, n_t: int, drawn: int) -> float:
    """Expected number of distinct positions.

    Each of `n_t` groups of a cell draws so many of its candidates, all of them different where
    there are enough.
    """
    left_out = 1 - np.minimum(drawn, counts) / counts
    return float(np.sum(counts * (1 - left_out**n_t)))


def measure(
    positions: Array,
    count: float,
    inside: Callable[[Array], NDArray[np.bool_]],
    bounds: tuple[Array, Array],
    sparsest: float,
    group: Processes,
) -> Coverage:
    """Find the largest empty ball about points of the lumen; every rank gets the same.

    The expected spacing is the edge of the cube that one position has on average. Where
    candidates are sparser by design, on rays that stand in squares with edges up to `sparsest`,
    it is the distance of a ray from the middle of such a square.

    Parameters
    ----------
    positions
        (N, 3) positions of this rank's collocation points.
    count
        How many different ones there are on all ranks.
    inside
        Whether points (N, 3) lie in the lumen.
    bounds
        Corners (3,) of a box round it.
    sparsest
        How far neighbouring candidates are apart where they are sparsest by design.
    group
        The ranks.
    """
    low, high = bounds
    rng = np.random.default_rng(PROBES)
    drawn, probes = 0, np.empty((0, 3))
    while len(probes) < PROBES:
        batch = low + (high - low) * rng.uniform(size=(BATCH, 3))
        probes = np.concatenate([probes, batch[group.shared(inside, batch)]])
        drawn += BATCH
    volume = float(np.prod(high - low)) * len(probes) / drawn
    own, _ = KDTree(positions, balanced_tree=False, compact_nodes=False).query(probes)
    distance = group.join(np.asarray(own)[None]).min(axis=0)
    farthest = int(np.argmax(distance))
    spacing = max((volume / count) ** (1 / 3), sparsest / np.sqrt(2))
    return Coverage(float(distance[farthest]), probes[farthest], spacing)
