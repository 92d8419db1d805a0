"""The flow at the points that the twin writes: in the lumen, on the wall, and anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from aiv_rba.twin.geometry import Array, Duct, disc_to_square
from aiv_rba.twin.solver import Solution

ComplexArray = NDArray[np.complex128]

# Cells by which the grid of a periodic interpolant goes on beyond both ends.
BEYOND = 8


def flow_at(
    duct: Duct, solution: Solution, points: Array
) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """Modes of velocity (K, N, 3), pressure (K, N), velocity gradient (K, N, 3, 3) at points.

    Points beyond the wall take the value at the wall.
    """
    a, b = duct.unbend(*points.T)
    # Points on the wall may lie outside the deformed elements by rounding.
    r = np.minimum(np.hypot(a, b), 1 - 1e-9)
    if duct.core:
        r = np.maximum(r, duct.core + 1e-9)
    xi, zeta = disc_to_square(r, np.arctan2(b, a), duct.core)
    return solution.evaluate(np.stack([xi, points[:, 1], zeta], axis=1))


def wall_shear_stress(gradient: ComplexArray, normals: Array) -> ComplexArray:
    """Tangential viscous stress of the fluid on the wall (K, N, 3), in units of mu U / L."""
    stress = -np.einsum("knij,nj->kni", gradient + gradient.swapaxes(-1, -2), normals)
    along = np.einsum("kni,ni->kn", stress, normals)
    return np.asarray(stress - along[..., None] * normals)


def vorticity(gradient: ComplexArray) -> ComplexArray:
    """Curl (..., 3) of a velocity with gradient (..., 3, 3), rows d u_i / d x_j; Eq. 42."""
    g = gradient
    return np.stack(
        [g[..., 2, 1] - g[..., 1, 2], g[..., 0, 2] - g[..., 2, 0], g[..., 1, 0] - g[..., 0, 1]],
        axis=-1,
    )


@dataclass
class Interpolant:
    """Velocity on a (y, theta, r) grid with cubic interpolation: a tracer needs many look-ups.

    Attributes
    ----------
    modes
        (K, Y, Theta, R, 3).
    span
        Lowest and highest y of the grid.
    wrap
        Length after which the flow repeats along y, or None.
    """

    duct: Duct
    modes: ComplexArray
    span: tuple[float, float]
    wrap: float | None = None

    @classmethod
    def sample(
        cls,
        duct: Duct,
        solution: Solution,
        span: tuple[float, float],
        shape: tuple[int, int, int] = (121, 64, 17),
    ) -> Interpolant:
        """Sample the solution; a periodic one over its length, whatever the span."""
        if solution.wrap is not None:
            beyond = BEYOND * solution.wrap / (shape[0] - 1 - 2 * BEYOND)
            span = (-beyond, solution.wrap + beyond)
        y, theta, r = np.meshgrid(
            np.linspace(*span, shape[0]),
            2 * np.pi * np.arange(shape[1]) / shape[1],
            np.linspace(duct.core, 1, shape[2]),
            indexing="ij",
        )
        points = duct.place(r.ravel(), theta.ravel(), y.ravel())
        velocity, _, _ = flow_at(duct, solution, points)
        velocity = velocity.reshape(-1, *shape, 3)
        velocity[:, :, :, -1] = 0
        if duct.core:
            velocity[:, :, :, 0] = 0
        return cls(duct, velocity, span, solution.wrap)

    def __call__(self, points: Array, phase: float) -> Array:
        """Velocity (N, 3) at points (N, 3) and a phase of the cycle; zero outside the lumen."""
        k = np.arange(len(self.modes))
        waves = np.exp(2j * np.pi * k * phase)
        field = np.tensordot(waves, self.modes, axes=1).real
        field = np.concatenate([field[:, -3:], field, field[:, :4]], axis=1)
        a, b = self.duct.unbend(*points.T)
        r = np.hypot(a, b)
        theta = np.arctan2(b, a) % (2 * np.pi)
        low, high = self.span
        y = points[:, 1] if self.wrap is None else points[:, 1] % self.wrap
        shape, core = self.modes.shape[1:4], self.duct.core
        index = [
            (y - low) / (high - low) * (shape[0] - 1),
            theta / (2 * np.pi) * shape[1] + 3,
            (np.clip(r, core, 1) - core) / (1 - core) * (shape[2] - 1),
        ]
        out = np.stack(
            [map_coordinates(field[..., c], index, order=3, mode="nearest") for c in range(3)], 1
        )
        out[(r > 1) | (r < core)] = 0
        return out
