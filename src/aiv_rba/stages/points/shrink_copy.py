"""Points in the lumen by shrinking and copying the wall; A.3.1, Fig. A.12."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen
from aiv_rba.ranks.mpi import Processes
from aiv_rba.stages.points.cells import BLOCK


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
        inside = np.unpackbits(self.inside[cells], axis=1, count=self.width).view(bool)
        # The copies in the lumen, in their order, cell by cell.
        copies = np.flatnonzero(inside) % self.width
        first = np.cumsum(self.counts[cells]) - self.counts[cells]
        layer, sample = np.divmod(copies[first[:, None] + numbers], self.per_patch)
        i_r, patch = np.divmod(cells[:, None], self.patches)
        number = patch * self.per_patch + sample
        feet, tips = (np.take(p.reshape(-1, 3), number, axis=0) for p in (self.feet, self.tips))
        depth = self.depths[self.edges[i_r] + layer]
        return np.asarray(feet + depth[..., None] * (tips - feet))
