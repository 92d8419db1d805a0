"""What problems with one unknown in two coordinates and a known solution share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor

from aiv_rba import jets
from aiv_rba.files.formats import Array
from aiv_rba.networks.scalar import ScalarNetwork
from aiv_rba.problem import Residuals
from aiv_rba.problems.fixed_points import FixedPoints
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import MethodSettings, SelfAdaptiveSettings

Solution = tuple[Array, Array, Array]
"""First coordinate (n,), second coordinate (m,), and values (n, m) on their grid."""


class ScalarResiduals(Residuals):
    """Residuals of u: a method for each block, which takes points (n, 2) and gives (n, terms).

    Parameters
    ----------
    network
        u.
    coordinates
        Their letters.
    """

    network: ScalarNetwork
    governing = "equation"

    def __init__(self, network: ScalarNetwork, coordinates: str) -> None:
        super().__init__(network)
        self.coordinates = coordinates

    def u(self, points: Tensor) -> jets.View:
        """U and its derivatives, (n, 1) each, at points (n, 2)."""
        return jets.View(self.network.jet(points), self.coordinates)


class ScalarProblem(FixedPoints, ABC):
    """A problem with a known solution; all points take part in every step.

    A subclass names its coordinates, box, equation and solution, and the points of its conditions.
    Only the residuals of the equation have multipliers, as in sections 3.1 and 3.2, but for the
    conditions on which self-adaptive weights are asked to start, as in section 3.4.

    Parameters
    ----------
    settings
        Network, points, multipliers, optimiser.
    ranks
        This process among its peers.
    solution
        What errors are measured against.
    """

    title: ClassVar[str]
    """The equation and its conditions in a line of text."""
    coordinates: ClassVar[str]
    """A letter for each coordinate."""
    lower: ClassVar[tuple[float, float]]
    upper: ClassVar[tuple[float, float]]
    """The box in which the problem is solved."""
    second_order: ClassVar[tuple[float, float]]
    """Coefficients of the second-order operator of the jets: (0, 1) is d^2/dx^2."""
    span: ClassVar[tuple[float, float] | None] = None
    """First and last time of a problem that goes on from an initial state."""
    settings_type: ClassVar[type[MethodSettings]] = MethodSettings
    """What a method may set; a subclass may add to it."""

    def __init__(self, settings: MethodSettings, ranks: Ranks, solution: Solution) -> None:
        self.settings = settings
        self.dtype = torch.float64 if settings.precision == "double" else torch.float32
        self.device = ranks.device
        torch.manual_seed(settings.seed)
        lower, upper = self.tensor(np.array([self.lower, self.upper]))
        self.network = ScalarNetwork(
            settings.network, lower, upper, self.second_order, self.lift()
        ).to(ranks.device)
        points: dict[str, tuple[Tensor, ...]] = {"equation": (self._collocation(),)}
        conditions = self.conditions()
        points |= {block: tuple(map(self.tensor, parts)) for block, parts in conditions.items()}
        scheme = settings.multipliers
        started = scheme.start if isinstance(scheme, SelfAdaptiveSettings) else {}
        super().__init__(
            self.make_residuals(),
            points,
            weights=dict.fromkeys(conditions, settings.boundary_weight),
            attended=("equation", *started),
            errors=self._relative_error,
            ranks=ranks,
        )
        self.time_span = self.span
        self.axes = solution[:2]
        self.test_points = self.tensor(nodes(*self.axes))
        self.exact = self.tensor(solution[2].ravel())

    @staticmethod
    @abstractmethod
    def solution() -> Solution:
        """The solution on a grid, exact or computed by another method."""

    @abstractmethod
    def make_residuals(self) -> ScalarResiduals:
        """Residuals of `self.network`.

        Raises
        ------
        UserError
            If the network's settings do not fit the problem.
        """

    @abstractmethod
    def conditions(self) -> dict[str, tuple[Array, ...]]:
        """Points (n, 2) of each block of initial and boundary conditions."""

    def lift(self) -> Callable[[Tensor], Tensor] | None:
        """Known part of the solution, from the jet of the coordinates; Eq. 20."""
        return None

    def tensor(self, values: Array) -> Tensor:
        """Array on the device, in the precision of the training."""
        return torch.as_tensor(values, dtype=self.dtype).to(self.device)

    def _collocation(self) -> Tensor:
        """Collocation points (n, 2) in the box."""
        settings = self.settings
        if settings.sampling == "grid":
            side = np.linspace(0, 1, round(settings.points**0.5))
            unit = nodes(side, side)
        else:
            unit = qmc.LatinHypercube(2, rng=settings.seed).random(settings.points)
        return self.tensor(qmc.scale(unit, self.lower, self.upper))

    @torch.no_grad()
    def predict(self) -> Tensor:
        """Values (n,) at the test points."""
        return self.network.value(self.test_points)[:, 0]

    def _relative_error(self) -> dict[str, float]:
        """Relative L2 error on the test points; Eq. 27."""
        error = (self.predict() - self.exact).norm() / self.exact.norm()
        return {"error_u": float(error)}


def nodes(first: Array, second: Array) -> Array:
    """Nodes (n m, 2) of the grid of coordinates (n,) and (m,)."""
    return np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)


def edge(coordinate: int, value: float, lower: float, upper: float, count: int) -> Array:
    """Equally spaced points (count, 2) on the line on which one coordinate has this value."""
    along = np.linspace(lower, upper, count)
    return np.insert(along[:, None], coordinate, value, axis=1)
