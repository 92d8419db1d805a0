"""The flow at the points that the twin writes: in the lumen, on the wall, and anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from aiv_rba.twin.geometry import Lobe, Tube, disc_to_square
from aiv_rba.twin.solver import Solution

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
ComplexArray = NDArray[np.complex128]


def wall_surface(
    duct: Lobe | Tube, around: int, along: int, span: tuple[float, float]
) -> tuple[Array, Array, IntArray]:
    """Structured wall: points (N, 3), outward normals (N, 3), triangles (M, 3)."""
    theta = 2 * np.pi * np.arange(around) / around
    height = np.linspace(*span, along)
    t, y = (grid.ravel() for grid in np.meshgrid(theta, height))
    points = _place(duct, np.ones_like(t), t, y)
    step = 1e-5
    around_wall = _place(duct, np.ones_like(t), t + step, y) - _place(
        duct, np.ones_like(t), t - step, y
    )
    along_wall = _place(duct, np.ones_like(t), t, y + step) - _place(
        duct, np.ones_like(t), t, y - step
    )
    normals = np.cross(along_wall, around_wall)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    outward = np.sum(normals * (points - _place(duct, 0.9 * np.ones_like(t), t, y)), axis=1)
    normals *= np.sign(outward)[:, None]

    low = np.arange(along - 1)[:, None] * around
    here, beyond = np.arange(around), (np.arange(around) + 1) % around
    a, b = (low + here).ravel(), (low + beyond).ravel()
    c, d = a + around, b + around
    triangles = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    corners = points[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flipped = np.sum(faces * normals[triangles[:, 0]], axis=1) < 0
    triangles[flipped] = triangles[flipped][:, ::-1]
    return points, normals, triangles


def _place(duct: Lobe | Tube, r: Array, theta: Array, y: Array) -> Array:
    x, z = duct.bend(r * np.cos(theta), r * np.sin(theta), y)
    return np.stack([x, y, z], axis=-1)


def flow_at(
    duct: Lobe | Tube, solution: Solution, points: Array
) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """Modes of velocity (K, N, 3), pressure (K, N), velocity gradient (K, N, 3, 3) at points."""
    a, b = duct.unbend(*points.T)
    # Points on the wall may lie outside the deformed elements by rounding.
    r = np.minimum(np.hypot(a, b), 1 - 1e-9)
    xi, zeta = disc_to_square(r, np.arctan2(b, a))
    return solution.evaluate(np.stack([xi, points[:, 1], zeta], axis=1))


def vorticity(gradient: ComplexArray) -> ComplexArray:
    """Curl (..., 3) of a velocity with gradient (..., 3, 3), rows d u_i / d x_j; Eq. 42."""
    g = gradient
    return np.stack(
        [g[..., 2, 1] - g[..., 1, 2], g[..., 0, 2] - g[..., 2, 0], g[..., 1, 0] - g[..., 0, 1]],
        axis=-1,
    )


def wall_shear_stress(gradient: ComplexArray, normals: Array) -> ComplexArray:
    """Tangential viscous stress of the fluid on the wall (K, N, 3), in units of mu U / L."""
    stress = -np.einsum("knij,nj->kni", gradient + gradient.swapaxes(-1, -2), normals)
    along = np.einsum("kni,ni->kn", stress, normals)
    return np.asarray(stress - along[..., None] * normals)


@dataclass
class Interpolant:
    """Velocity on a (y, theta, r) grid with cubic interpolation: a tracer needs many look-ups."""

    duct: Lobe
    modes: ComplexArray
    span: tuple[float, float]

    @classmethod
    def sample(
        cls,
        duct: Lobe,
        solution: Solution,
        span: tuple[float, float],
        shape: tuple[int, int, int] = (121, 64, 17),
    ) -> Interpolant:
        """Sample the solution."""
        y, theta, r = np.meshgrid(
            np.linspace(*span, shape[0]),
            2 * np.pi * np.arange(shape[1]) / shape[1],
            np.linspace(0, 1, shape[2]),
            indexing="ij",
        )
        points = _place(duct, r.ravel(), theta.ravel(), y.ravel())
        velocity, _, _ = flow_at(duct, solution, points)
        velocity = velocity.reshape(-1, *shape, 3)
        velocity[:, :, :, -1] = 0
        return cls(duct, velocity, span)

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
        shape = self.modes.shape[1:4]
        index = [
            (points[:, 1] - low) / (high - low) * (shape[0] - 1),
            theta / (2 * np.pi) * shape[1] + 3,
            np.minimum(r, 1) * (shape[2] - 1),
        ]
        out = np.stack(
            [map_coordinates(field[..., c], index, order=3, mode="nearest") for c in range(3)], 1
        )
        out[r > 1] = 0
        return out
