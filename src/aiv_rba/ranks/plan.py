"""A plan for many ranks: a model of the time of a training step, and the memory of collocation.

A step is work and all-reduces by latency and bandwidth; docs/scaling.md has the figures. An
all-reduce of n bytes over W ranks on W / g nodes takes the shorter of

    ring   a + 2 ((W - W/g) l + (W/g - 1) L) + 2 (W - 1) / W n / B,
    tree   a + 2 ((g - 1) l + log2(W/g) L) + 2 n / B,

with a start-up time a, latencies l within and L between nodes, and the bandwidth B of the slowest
link. This is the form of NCCL's own estimate (src/graph/tuning.cc).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from aiv_rba.settings import PointsSettings


@dataclass(frozen=True)
class Cluster:
    """Ranks and the links between them; seconds, bytes per second.

    Attributes
    ----------
    ranks_per_node
        g.
    start
        a, start-up time of a collective.
    ring, tree
        (l, L) of either algorithm.
    within, between
        Bandwidth of a rank to its neighbour within and between nodes.
    """

    ranks_per_node: int
    start: float
    ring: tuple[float, float]
    tree: tuple[float, float]
    within: float
    between: float

    def all_reduce(self, size: float, ranks: int) -> float:
        """Seconds of an all-reduce of `size` bytes."""
        if ranks == 1:
            return 0.0
        nodes = -(-ranks // self.ranks_per_node)
        local = -(-ranks // nodes)
        bandwidth = self.within if nodes == 1 else self.between
        (l_ring, n_ring), (l_tree, n_tree) = self.ring, self.tree
        # Of a ring's W links one leaves each node; 2 (W - 1) of them are passed one after another.
        between = nodes - 1
        ring = 2 * ((ranks - 1 - between) * l_ring + between * n_ring)
        ring += 2 * (ranks - 1) / ranks * size / bandwidth
        tree = 2 * ((local - 1) * l_tree + math.ceil(math.log2(nodes)) * n_tree)
        tree += 2 * size / bandwidth
        return self.start + min(ring, tree)


@dataclass(frozen=True)
class Step:
    """A training step of `rows` groups, shared out to ranks.

    Attributes
    ----------
    rows
        Collocation points of one step over all ranks.
    per_row, fixed
        Seconds of work for each row, and whatever the number of rows.
    messages
        Bytes of the all-reduces of a step, none of which is overlapped with work.
    """

    rows: float
    per_row: float
    fixed: float
    messages: tuple[float, ...]

    def work(self, ranks: int) -> float:
        """Seconds of the rank with most rows."""
        return self.fixed + math.ceil(self.rows / ranks) * self.per_row

    def communication(self, ranks: int, cluster: Cluster) -> float:
        """Seconds in collectives."""
        return sum(cluster.all_reduce(size, ranks) for size in self.messages)

    def seconds(self, ranks: int, cluster: Cluster) -> float:
        """Seconds of a step."""
        return self.work(ranks) + self.communication(ranks, cluster)

    def efficiency(self, ranks: int, cluster: Cluster) -> float:
        """Share of the ranks' time that one rank would need for the same step."""
        return self.work(1) / (ranks * self.seconds(ranks, cluster))

    def most_ranks(self, cluster: Cluster, least_efficiency: float, limit: int = 2**24) -> int:
        """Largest power of two of ranks with at least this efficiency."""
        ranks = 1
        while 2 * ranks <= limit and self.efficiency(2 * ranks, cluster) >= least_efficiency:
            ranks *= 2
        return ranks

    def rows_per_rank(self, cluster: Cluster, ranks: int, efficiency: float) -> float:
        """Rows that every rank needs for this efficiency on so many ranks.

        With work f + n s of a rank, f + W n s = W E (f + n s + c) for n rows and time c in
        collectives.
        """
        idle = self.fixed * (efficiency - 1 / ranks) + efficiency * self.communication(
            ranks, cluster
        )
        return max(idle, 0.0) / ((1 - efficiency) * self.per_row)

    def by_world(self, cluster: Cluster, worlds: Sequence[int]) -> dict[int, dict[str, float]]:
        """Rows of a rank, seconds, those in collectives, and efficiency, by the ranks.

        Worlds with more ranks than rows are left out.
        """
        return {
            ranks: {
                "rows": math.ceil(self.rows / ranks),
                "seconds": self.seconds(ranks, cluster),
                "communication": self.communication(ranks, cluster),
                "efficiency": self.efficiency(ranks, cluster),
            }
            for ranks in worlds
            if ranks <= self.rows
        }

    def plan(self, cluster: Cluster, rows: Sequence[int], worlds: Sequence[int]) -> dict[str, Any]:
        """What steps of so many rows cost on so many ranks, and where more ranks stop helping.

        All-reduces, and rows that a rank needs to be busy half or four fifths of the time, are
        those of 1,024 ranks.
        """
        steps = {count: replace(self, rows=count) for count in rows}
        return {
            "cluster": asdict(cluster),
            "seconds_fixed": self.fixed,
            "seconds_per_row": self.per_row,
            "all_reduce_at_1024": [cluster.all_reduce(size, 1024) for size in self.messages],
            "rows_of_a_rank_at_1024": {
                share: self.rows_per_rank(cluster, 1024, share) for share in (0.5, 0.8)
            },
            "worlds": {
                count: {
                    "most_ranks": {share: step.most_ranks(cluster, share) for share in (0.8, 0.5)},
                    "by_world": step.by_world(cluster, worlds),
                }
                for count, step in steps.items()
            },
        }


NVIDIA = Cluster(
    # DGX H100: eight GPUs on NVLink 4, 900 GB/s in both directions; one 400 Gb/s InfiniBand port
    # per GPU. Latencies are NCCL's constants for its low-latency protocol.
    ranks_per_node=8,
    start=4.4e-6,
    ring=(0.47e-6, 2.7e-6),
    tree=(0.52e-6, 5.0e-6),
    within=450e9,
    between=50e9,
)


def messages(parameters: int, terms: int) -> tuple[float, ...]:
    """Bytes of the all-reduces of a step with Adam in single precision.

    They are the gradient and the maxima of the loss terms.
    """
    return 4.0 * parameters, 4.0 * terms


def collocation_points(section: PointsSettings) -> tuple[int, int]:
    """Interior and wall points."""
    of_a_section = section.wall_patches * section.per_group
    return of_a_section * section.n_r * section.n_t, of_a_section * section.wall_n_t


def collocation_memory(section: PointsSettings) -> float:
    """Most memory of a process of the collocation, bytes: libraries, a part, the wall's samples.

    Points are made and written part by part, so their number does not matter. Every process
    samples the wall and sorts the samples into patches, which takes 120 bytes each.
    """
    samples = section.per_group * section.wall_patches
    return 330 * 2**20 + 120 * samples


def points_file_size(section: PointsSettings) -> float:
    """Bytes of ``points.h5``: 32 for each point."""
    return 32 * sum(collocation_points(section))
