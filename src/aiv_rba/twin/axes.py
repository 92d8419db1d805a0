"""Coordinates of the files: those of the solver, whose vessel axis is y, in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

AxisName = Literal["x", "y", "z"]

# Coordinates of the solver that become x, y, z of the files. For an axis x the files show the
# mirror image, in which the camera sees the same sections in depth.
ORDER = {"y": (0, 1, 2), "x": (1, 0, 2), "z": (2, 0, 1)}


@dataclass(frozen=True)
class Axes:
    """The order in which coordinates are written.

    Attributes
    ----------
    name
        Vessel axis of the files. The camera always looks along their z.
    """

    name: AxisName = "y"

    @property
    def axis(self) -> int:
        """Number of the vessel axis in the files."""
        return "xyz".index(self.name)

    @property
    def depth(self) -> int:
        """Coordinate of the solver along which the camera looks."""
        return ORDER[self.name][2]

    def vectors(self, values: NDArray[Any]) -> NDArray[Any]:
        """Positions, velocities or normals (..., 3) of the solver, in the files' coordinates."""
        return values[..., list(ORDER[self.name])]

    def gradients(self, values: NDArray[Any]) -> NDArray[Any]:
        """Velocity gradients (..., 3, 3), in the files' coordinates."""
        order = list(ORDER[self.name])
        return values[..., order, :][..., order]

    def triangles(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Triangles (M, 3), wound so that normals point out of the lumen in the files too."""
        return values[:, ::-1] if self.name == "x" else values
