"""Points in the lumen by shrinking and copying the wall; A.3.1, Fig. A.12."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.geometry import Lumen
from aiv_rba.parallel.mpi import Processes
from aiv_rba.store import Array, IntArray, Wall


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


@dataclass(frozen=True)
class Cells:
    """Candidate positions of each spatial cell, cell = (i_r * n_theta + i_theta) * n_y + i_y.

    Attributes
    ----------
    points
        (cells, candidates, 3), those in the lumen first.
    counts
        (cells,): how many of them are in the lumen.
    """

    points: Array
    counts: IntArray


def interior_cells(
    lumen: Lumen,
    samples: Array,
    members: list[IntArray],
    *,
    n_r: int,
    layers: int,
    group: Processes,
    shape: tuple[int, int],
) -> Cells:
    """Shrink-copy the wall samples of every patch; reject what falls outside the lumen.

    The layers are equally spaced, as in the paper, so points are denser near the centre line.

    Raises
    ------
    UserError
        If a cell is left without a point.
    """
    n_theta, n_y = shape
    per_patch = max(len(m) for m in members)
    # A short patch is filled by taking its samples again in turn.
    chosen = np.stack([np.resize(m, per_patch) for m in members])
    depths = (np.arange(layers) + 0.5) / layers
    own = chosen[group.share(len(members))]
    inside = lumen.copies_inside(lumen.shrink(samples[own.ravel()], depths))
    inside = group.join(inside.reshape(layers, len(own), per_patch).swapaxes(0, 1))
    # The numbers of layers of the radial sections may differ by one.
    edges = np.searchsorted(np.arange(layers) * n_r // layers, np.arange(n_r + 1))
    width = int(np.diff(edges).max()) * per_patch
    points = np.empty((n_r, len(members), width, 3))
    counts = np.empty((n_r, len(members)), dtype=np.int64)
    for i_r in range(n_r):
        section = slice(edges[i_r], edges[i_r + 1])
        copies = lumen.shrink(samples[chosen.ravel()], depths[section])
        copies = copies.reshape(-1, *chosen.shape, 3).swapaxes(0, 1)
        candidates = copies.reshape(len(members), -1, 3)
        within = inside[:, section].reshape(len(members), -1)
        order = np.argsort(~within, axis=1, kind="stable")
        order = np.pad(order, ((0, 0), (0, width - order.shape[1])), mode="edge")
        points[i_r] = np.take_along_axis(candidates, order[..., None], axis=1)
        counts[i_r] = within.sum(axis=1)
    if (counts == 0).any():
        i_r, patch = divmod(int(np.argmin(counts)), n_theta * n_y)
        t, y = divmod(patch, n_y)
        raise UserError(
            f"points: no shrunk copy of the patch theta {t} of {n_theta}, y {y} of {n_y} lies in "
            f"the lumen in radial section {i_r} of {n_r}; expected a lumen that its sections' "
            "centre sees whole, or fewer patches"
        )
    return Cells(points.reshape(-1, width, 3), counts.ravel())
