"""Allen-Cahn and Helmholtz as problems of the training loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor

from aiv_rba import config
from aiv_rba.errors import UserError
from aiv_rba.nn.scalar import ScalarNetwork
from aiv_rba.parallel.ddp import Ranks
from aiv_rba.pde import allen_cahn, helmholtz
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.store import Array


class Benchmark:
    """What both problems share: all points in every step, the error on a grid.

    Only the residuals of the equation have multipliers, as in sections 3.1 and 3.2, but for the
    conditions on which self-adaptive weights are asked to start, as in section 3.4.
    """

    residuals: Residuals
    network: ScalarNetwork
    weights: dict[str, list[float]]
    time_span: tuple[float, float] | None = None
    inputs: dict[str, tuple[Tensor, ...]]
    test_points: Tensor
    exact: Tensor

    def __init__(self, settings: config.Benchmark, ranks: Ranks) -> None:
        self.settings = settings
        self.ranks = ranks
        self.dtype = torch.float64 if settings.precision == "double" else torch.float32
        torch.manual_seed(settings.seed)

    def tensor(self, values: Array) -> Tensor:
        """Array on the device, in the precision of the training."""
        return torch.as_tensor(values, dtype=self.dtype).to(self.ranks.device)

    def collocation(self, lower: tuple[float, float], upper: tuple[float, float]) -> Tensor:
        """Collocation points (n, 2) in a box."""
        settings = self.settings
        if settings.sampling == "grid":
            side = np.linspace(0, 1, round(settings.points**0.5))
            unit = nodes(side, side)
        else:
            unit = qmc.LatinHypercube(2, rng=settings.seed).random(settings.points)
        return self.tensor(qmc.scale(unit, lower, upper))

    def share(self, tensors: dict[str, tuple[Tensor, ...]]) -> None:
        """Take this rank's part of the rows of every block."""
        self.counts = {block: len(parts[0]) for block, parts in tensors.items()}
        self.inputs = {
            block: tuple(part[self.ranks.share(len(part))] for part in parts)
            for block, parts in tensors.items()
        }
        self.rows = {
            block: torch.arange(len(parts[0]), device=self.ranks.device)
            for block, parts in self.inputs.items()
        }
        weighting = self.settings.weighting
        started = weighting.start if isinstance(weighting, config.SelfAdaptive) else {}
        self.sizes = {
            block: (len(rows), len(self.residuals.terms[block]))
            for block, rows in self.rows.items()
            if block == "equation" or block in started
        }

    def test_on(self, first: Array, second: Array) -> None:
        """Measure errors on the grid of these coordinates."""
        self.axes = first, second
        self.test_points = self.tensor(nodes(first, second))

    def batch(self, step: int) -> Batch:
        """All points."""
        return Batch(step, self.inputs, self.rows, self.counts)

    def factors(self, batch: Batch, residuals: Blocks) -> Blocks:
        """None but the multipliers."""
        return {}

    @torch.no_grad()
    def predict(self) -> Tensor:
        """Values (n,) at the test points."""
        return self.network.value(self.test_points)[:, 0]

    def adapt(self, step: int, history: Sequence[dict[str, float]]) -> dict[str, float]:
        """Nothing: weights are fixed."""
        return {}

    def errors(self) -> dict[str, float]:
        """Relative L2 error on the test points; Eq. 27."""
        error = (self.predict() - self.exact).norm() / self.exact.norm()
        return {"error_u": float(error)}


def nodes(first: Array, second: Array) -> Array:
    """Nodes (n m, 2) of the grid of coordinates (n,) and (m,)."""
    return np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)


class AllenCahnResiduals(Residuals):
    """Eqs. 24-26; the periodic condition is a loss term where no embedding meets it."""

    network: ScalarNetwork

    def __init__(self, network: ScalarNetwork, *, periodic: bool) -> None:
        super().__init__(network)
        self.terms = {"equation": ("equation",), "initial": ("initial",)}
        self.governing = "equation"
        if not periodic:
            self.terms["boundary"] = ("boundary_value", "boundary_slope")

    def equation(self, points: Tensor) -> Tensor:
        """Residual of the equation, (n, 1)."""
        return allen_cahn.residual(self.network.jet(points))

    def initial(self, points: Tensor) -> Tensor:
        """u(0, x) less the initial condition, (n, 1)."""
        return self.network.value(points) - allen_cahn.initial(points[:, 1:])

    def boundary(self, left: Tensor, right: Tensor) -> Tensor:
        """Jumps of u and u_x across the period, (n, 2)."""
        a, b = self.network.jet(left), self.network.jet(right)
        return torch.cat([a[0] - b[0], a[2] - b[2]], dim=1)


class AllenCahn(Benchmark):
    """The Allen-Cahn benchmark; section 3.1, Table A.7.

    Parameters
    ----------
    settings
        Network, points, weighting, optimiser.
    reference
        t (T,), x (N,), u (T, N).
    """

    time_span = (0.0, 1.0)

    def __init__(
        self, settings: config.Benchmark, ranks: Ranks, reference: tuple[Array, Array, Array]
    ) -> None:
        super().__init__(settings, ranks)
        if settings.network.embedding not in ("none", "fourier_x"):
            raise UserError(
                f"allen_cahn: found embedding {settings.network.embedding}, expected none or "
                "fourier_x: the solution is not periodic in time"
            )
        if settings.network.distance:
            raise UserError(
                "allen_cahn: found distance true, expected false: u is not zero at x = 1"
            )
        periodic = settings.network.embedding == "fourier_x"
        lower, upper = self.tensor(np.array([[0.0, -1.0], [1.0, 1.0]]))
        lift = allen_cahn.kink if settings.network.kink else None
        self.network = ScalarNetwork(settings.network, lower, upper, allen_cahn.SECOND_ORDER, lift)
        self.residuals = AllenCahnResiduals(self.network.to(ranks.device), periodic=periodic)
        self.weights = {"equation": [1.0], "initial": [settings.boundary_weight]}

        x = np.linspace(-1, 1, settings.boundary_points)
        start = np.stack([np.zeros_like(x), x], axis=1)
        inputs: dict[str, tuple[Tensor, ...]] = {
            "equation": (self.collocation((0, -1), (1, 1)),),
            "initial": (self.tensor(start),),
        }
        if not periodic:
            self.weights["boundary"] = [settings.boundary_weight] * 2
            t = np.linspace(0, 1, settings.boundary_points)
            inputs["boundary"] = tuple(
                self.tensor(np.stack([t, np.full_like(t, side)], axis=1)) for side in (-1, 1)
            )
        self.share(inputs)
        times, places, u = reference
        self.test_on(times, places)
        self.exact = self.tensor(u.ravel())


class HelmholtzResiduals(Residuals):
    """Eqs. 28-30; the boundary values are a loss term where no distance function meets them."""

    network: ScalarNetwork

    def __init__(self, network: ScalarNetwork) -> None:
        super().__init__(network)
        self.terms = {"equation": ("equation",)}
        self.governing = "equation"
        if network.distance is None:
            self.terms["boundary"] = ("boundary",)

    def equation(self, points: Tensor) -> Tensor:
        """Residual of the equation, (n, 1)."""
        return helmholtz.residual(self.network.jet(points), points)

    def boundary(self, points: Tensor) -> Tensor:
        """Values on the boundary, (n, 1)."""
        return self.network.value(points)


class Helmholtz(Benchmark):
    """The Helmholtz benchmark; section 3.2, Table A.9.

    The "1201" points of Table A.9 on a uniform grid are no square; the results say how many were
    used.
    """

    def __init__(self, settings: config.Benchmark, ranks: Ranks) -> None:
        super().__init__(settings, ranks)
        if settings.network.embedding == "fourier_x":
            raise UserError(
                "helmholtz: found embedding fourier_x, expected none, fourier_each, fourier_xy or "
                "fourier_truncated"
            )
        if settings.network.kink:
            raise UserError("helmholtz: found kink true, expected false: the solution is smooth")
        lower, upper = self.tensor(np.array([[-1.0, -1.0], [1.0, 1.0]]))
        self.network = ScalarNetwork(settings.network, lower, upper, helmholtz.SECOND_ORDER)
        self.residuals = HelmholtzResiduals(self.network.to(ranks.device))
        self.weights = {"equation": [1.0]}

        inputs: dict[str, tuple[Tensor, ...]] = {"equation": (self.collocation((-1, -1), (1, 1)),)}
        if self.network.distance is None:
            self.weights["boundary"] = [settings.boundary_weight]
            along = np.linspace(-1, 1, max(settings.boundary_points // 4, 2))
            edge = [
                np.insert(along[:, None], column, value, axis=1)
                for column in (0, 1)
                for value in (-1.0, 1.0)
            ]
            inputs["boundary"] = (self.tensor(np.concatenate(edge)),)
        self.share(inputs)
        self.test_on(np.linspace(-1, 1, 201), np.linspace(-1, 1, 201))
        self.exact = helmholtz.exact(self.test_points)[:, 0]
