"""The truth where the inferred flow is drawn, from the differences on the truth's own points.

The truth is known on scattered points. To interpolate it would blur it near the wall, where it is
steep; the difference of inferred and true fields is small and is interpolated instead, and the
truth is the inferred field less the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.spatial import Delaunay, KDTree

from aiv_rba.files.differences import Differences
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen
from aiv_rba.harmonics import fourier
from aiv_rba.scales import Scales
from aiv_rba.stages.report.unrolled import Unrolled, on_grid

# Points of the truth next to one of the wall between which its stress is interpolated.
NEAREST = 4


@dataclass(frozen=True)
class TrueFields:
    """What is known of the true flow.

    Attributes
    ----------
    differences
        Inferred minus true fields.
    scales
        Scales of the case.
    """

    differences: Differences
    scales: Scales

    def flow_rate(self, shares: Array) -> Array:
        """True flow rates (T,) at phases (T,), m^3/s."""
        return np.array([fourier(self.differences.flow_rate, share) for share in shares])

    def pressure_drop(self, shares: Array) -> Array:
        """True pressure drops (T,) at phases (T,), Pa; not a number where not known."""
        return np.array([fourier(self.differences.pressure_drop, share) for share in shares])

    def on_points(self, points: Array, share: float) -> tuple[Array, Array]:
        """Inferred minus true velocity (..., 3) and pressure (...) at points (..., 3), m.

        Linear between the points of the truth, and that of the nearest one beyond the outermost.
        """
        values = np.column_stack(
            [fourier(self.differences.velocity, share), fourier(self.differences.pressure, share)]
        )
        wanted = self._nondimensional(points)
        found = np.asarray(LinearNDInterpolator(self._tetrahedra, values)(wanted))
        outside = np.isnan(found).any(axis=-1)
        if outside.any():
            found[outside] = NearestNDInterpolator(self._tetrahedra.points, values)(wanted[outside])
        return found[..., :3], found[..., 3]

    def on_vertices(self, points: Array, share: float) -> Array:
        """Inferred minus true wall shear stress (V, 3), Pa, at points (V, 3) of the wall, m.

        That of the nearest points of the truth, weighted by their inverse squared distances.
        """
        at = self._nondimensional(self.differences.wall_points)
        values = fourier(self.differences.wall_shear_stress, share)
        nearest = list(range(1, min(NEAREST, len(at)) + 1))
        distance, near = map(np.asarray, KDTree(at).query(self._nondimensional(points), k=nearest))
        inverse = 1 / np.maximum(distance, 1e-9) ** 2
        weights = inverse / inverse.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("vk,vki->vi", weights, values[near]))

    def on_wall(self, patch: Unrolled, lumen: Lumen, share: float) -> Array:
        """Inferred minus true wall shear stress (A, H, 3) on an unrolled outer wall, Pa."""
        at = self._nondimensional(self.differences.wall_points)
        values = fourier(self.differences.wall_shear_stress, share)
        if lumen.annular:
            angle, height, radius = lumen.polar(at)
            inner, outer = (
                getattr(lumen, f"{which}_radius")(angle, height) for which in ("inner", "outer")
            )
            # Beyond the outermost vertex no radius is known; such a point is on neither patch.
            mine = np.abs(radius - outer) < np.abs(radius - inner)
            at, values = at[mine], values[mine]
        return on_grid(lumen, at, values, patch.angle, patch.height)

    @cached_property
    def _tetrahedra(self) -> Delaunay:
        return Delaunay(self._nondimensional(self.differences.points))

    def _nondimensional(self, points: Array) -> Array:
        return np.asarray((points - np.array(self.scales.origin)) / self.scales.length)
