"""Points in the lumen by shrinking and copying the wall; A.3.1, Fig. A.12."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.case import Wall
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen
from aiv_rba.ranks.mpi import Processes

# Points or copies that are made at a time: what they need beside the slab itself stays small.
BLOCK = 2**18


def sample_wall(wall: Wall, count: int, seed: int, patch: int | None = None) -> Array:
    """Points (count, 3) spread uniformly over the wall's area, or over one patch of it.

    A user's triangles may differ in size by orders; their vertices would cluster.
    """
    triangles = wall.triangles if patch is None else wall.triangles[wall.patch == patch]
    corners = wall.points[triangles]
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(edge_1, edge_2), axis=1)
    rng = np.random.default_rng(seed)
    # Stratified: one point in every `count`-th of the area, in the order of the triangles. Evenly
    # spaced points would fall into step with the rows of a structured mesh.
    at = (np.arange(count) + rng.uniform(size=count)) / count * area.sum()
    chosen = np.minimum(np.searchsorted(np.cumsum(area), at), len(area) - 1)
    a, b = rng.uniform(size=(2, count))
    flip = a + b > 1
    a[flip], b[flip] = 1 - a[flip], 1 - b[flip]
    points = corners[chosen, 0] + a[:, None] * edge_1[chosen] + b[:, None] * edge_2[chosen]
    return np.asarray(points)


class Cells(Protocol):
    """Candidate positions of spatial cells, from which their groups take their points."""

    counts: IntArray
    """(cells,) candidates of each cell."""

    def positions(self, cells: IntArray, numbers: IntArray) -> Array:
        """Positions (n, b, 3) of candidates of cells (n,), by their numbers (n, b) below counts."""
        ...


class WallCells:
    """Wall samples of every patch."""

    def __init__(self, samples: Array, members: list[IntArray]) -> None:
        self.samples = samples
        self.counts = np.array([len(m) for m in members])
        self._members = np.concatenate(members)
        self._first = np.cumsum(self.counts) - self.counts

    def positions(self, cells: IntArray, numbers: IntArray) -> Array:
        """Positions (n, b, 3)."""
        return np.asarray(self.samples[self._members[self._first[cells, None] + numbers]])


class InteriorCells:
    """Shrunk copies of the wall samples of every patch that lie in the lumen.

    The layers are equally spaced, as in the paper, so points are denser near the centre line. A
    cell is a radial section of a patch's copies, cell = (i_r * n_theta + i_theta) * n_y + i_y. Of
    each copy one bit is kept, whether it lies in the lumen, and positions are made when they are
    asked for: there are many more copies than a process has points.

    Raises
    ------
    UserError
        If a cell is left without a point.
    """

    def __init__(
        self,
        lumen: Lumen,
        samples: Array,
        members: list[IntArray],
        *,
        n_r: int,
        layers: int,
        group: Processes,
        shape: tuple[int, int],
    ) -> None:
        self.patches = len(members)
        self.per_patch = max(len(m) for m in members)
        # A short patch is filled by taking its samples again in turn.
        chosen = np.stack([np.resize(m, self.per_patch) for m in members])
        self.tips = samples[chosen]
        self.feet = lumen.feet(samples[chosen.ravel()]).reshape(self.tips.shape)
        self.depths = (np.arange(layers) + 0.5) / layers
        # The numbers of layers of the radial sections may differ by one.
        self.edges = np.searchsorted(np.arange(layers) * n_r // layers, np.arange(n_r + 1))
        self.width = int(np.diff(self.edges).max()) * self.per_patch

        share = group.share(self.patches)
        at_a_time = max(1, BLOCK // (layers * self.per_patch))
        parts = [
            self._bits(lumen, slice(first, min(first + at_a_time, share.stop)))
            for first in range(share.start, share.stop, at_a_time)
        ]
        own = np.concatenate([*parts, np.empty((0, n_r, -(-self.width // 8)), dtype=np.uint8)])
        self.inside = group.join(own).swapaxes(0, 1).reshape(n_r * self.patches, -1)
        self.counts = np.bitwise_count(self.inside).sum(axis=1, dtype=np.int64)
        if (self.counts == 0).any():
            i_r, patch = divmod(int(np.argmin(self.counts)), self.patches)
            n_theta, n_y = shape
            t, y = divmod(patch, n_y)
            raise UserError(
                f"points: no shrunk copy of the patch theta {t} of {n_theta}, y {y} of {n_y} lies "
                f"in the lumen in radial section {i_r} of {n_r}; expected a lumen that its "
                "sections' centre sees whole, or fewer patches"
            )

    def _bits(self, lumen: Lumen, patches: slice) -> NDArray[np.uint8]:
        """Bits (patches, n_r, bytes): whether the copies lie in the lumen, by radial section."""
        samples = self.tips[patches].reshape(-1, 3)
        inside = lumen.copies_inside(lumen.shrink(samples, self.depths))
        by_patch = inside.reshape(len(self.depths), -1, self.per_patch).swapaxes(0, 1)
        sections = np.zeros((len(by_patch), len(self.edges) - 1, self.width), dtype=bool)
        for i_r, (first, last) in enumerate(pairwise(self.edges)):
            section = by_patch[:, first:last].reshape(len(by_patch), -1)
            sections[:, i_r, : section.shape[1]] = section
        return np.packbits(sections, axis=-1)

    def positions(self, cells: IntArray, numbers: IntArray) -> Array:
        """Positions (n, b, 3)."""
        inside = np.unpackbits(self.inside[cells], axis=1, count=self.width)
        # Copies in the lumen first, in their order.
        copies = np.argsort(1 - inside, axis=1, kind="stable")
        layer, sample = np.divmod(np.take_along_axis(copies, numbers, axis=1), self.per_patch)
        i_r, patch = np.divmod(cells[:, None], self.patches)
        feet, tips = self.feet[patch, sample], self.tips[patch, sample]
        depth = self.depths[self.edges[i_r] + layer]
        return np.asarray(feet + depth[..., None] * (tips - feet))
