"""Some of the points of a surface or of a mesh, and how to interpolate between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyvista as pv
from numpy.typing import NDArray
from scipy.spatial import Delaunay, KDTree

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen, Region, apart

# On a surface about so many points are chosen, and the others lie between the nearest of them.
ON_SURFACE, NEAREST = 400, 4
# In a volume of any shape about so many.
IN_VOLUME = 4_000


@dataclass(frozen=True)
class Thinned:
    """Chosen ones of N points, and weights of the chosen ones at every point.

    Attributes
    ----------
    chosen
        (C,) numbers of the chosen points.
    near, weights
        (N, k): for every point some of the chosen ones, by their place in `chosen`, and their
        weights, which sum to one.
    """

    chosen: IntArray
    near: IntArray
    weights: Array

    @classmethod
    def on_surface(cls, points: Array, area: float) -> Self:
        """Of points (N, 3) of a surface, with inverse squares of the distances as weights."""
        spacing = float(np.sqrt(area / ON_SURFACE))
        chosen = apart(points, spacing)
        nearest = list(range(1, min(NEAREST, len(chosen)) + 1))
        distance, near = map(np.asarray, KDTree(points[chosen]).query(points, k=nearest))
        inverse = 1 / np.maximum(distance, 1e-9 * spacing) ** 2
        return cls(chosen, near, inverse / inverse.sum(axis=1, keepdims=True))

    @classmethod
    def of_mesh(cls, lumen: Lumen | Region, mesh: pv.UnstructuredGrid, area: float) -> Self:
        """Of the points of a mesh of a lumen, whose walls have the area."""
        points = np.asarray(mesh.points)
        if isinstance(lumen, Region):
            return cls.in_volume(
                points, np.asarray(mesh["on_boundary"], dtype=bool), float(mesh.volume)
            )
        return cls.in_layers(points.reshape(-1, int(lumen.outer.sum()), 3), area)

    @classmethod
    def in_layers(cls, layers: Array, area: float) -> Self:
        """Of K copies (K, V, 3) of the points of a surface: those on lines from copy to copy."""
        outer = cls.on_surface(layers[-1], area)
        copies = np.arange(len(layers))[:, None]
        count, lines = layers.shape[1], len(outer.chosen)
        return cls(
            (copies * count + outer.chosen).ravel(),
            (copies[..., None] * lines + outer.near).reshape(-1, outer.near.shape[1]),
            np.tile(outer.weights, (len(layers), 1)),
        )

    @classmethod
    def in_volume(cls, points: Array, on_boundary: NDArray[np.bool_], volume: float) -> Self:
        """Of points (N, 3) in a volume, some of which lie on its boundary: linear in tetrahedra.

        The chosen ones on the boundary are as far apart as those inside, and none of the latter is
        left out for them, so that what vanishes on a wall does so between them.
        """
        spacing = (volume / IN_VOLUME) ** (1 / 3)
        parts = (np.flatnonzero(on_boundary), np.flatnonzero(~on_boundary))
        chosen = np.concatenate([part[apart(points[part], spacing)] for part in parts])
        tetrahedra = Delaunay(points[chosen])
        found = tetrahedra.find_simplex(points)
        transform = tetrahedra.transform[found]
        first = np.einsum("nij,nj->ni", transform[:, :3], points - transform[:, 3])
        weights = np.column_stack([first, 1 - first.sum(axis=1)])
        near = tetrahedra.simplices[found].astype(np.int64)
        # Beyond the outermost tetrahedra the value is that of the nearest point.
        beyond = found < 0
        nearest = np.asarray(KDTree(points[chosen]).query(points[beyond])[1])
        near[beyond] = nearest[:, None]
        weights[beyond] = 0.25
        return cls(chosen, near, weights)

    def everywhere(self, values: Array) -> Array:
        """Values (N, ...) at all points from those (C, ...) at the chosen ones."""
        return np.asarray(np.einsum("nk,nk...->n...", self.weights, values[self.near]))
