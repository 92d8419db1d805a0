"""A whole step of Adam at the paper's scale: jets against nested autograd, JAX and the matmul peak.

Rows of Table A.12, 8 x 200 sin network with weight normalisation, residual-based attention, single
precision. The variants take turns; ratios are medians over rounds. Writes results/bench_step.json.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from torch import Tensor

from aiv_rba.jets import Order
from aiv_rba.multipliers.rba import RBA
from aiv_rba.optimisers.compilation import CACHED
from aiv_rba.problem import Batch
from aiv_rba.problems.fixed_points import FixedPoints
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.residuals import FlowResiduals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, RBASettings, TrainSettings, load_stage
from aiv_rba.training.loop import Run
from bench.measure import PAPER, in_turns, ratios, spread, timed, write

COMPONENTS = [0, 1, 2]
SLICES = 6


@dataclass(frozen=True)
class Size:
    """Rows of each block in a step, and the network's hidden layers and width."""

    rows: Mapping[str, int]
    layers: int
    width: int

    @property
    def operations(self) -> float:
        """Floating-point operations of the matrix products of a step.

        Forward, and twice that for the gradients by inputs and by weights. Rows of the equations
        take six slices of a jet, the others one.
        """
        weights = 4 * self.width + (self.layers - 1) * self.width**2 + self.width * 4
        slices = sum(self.rows.values()) + (SLICES - 1) * self.rows["navier_stokes"]
        return 3 * 2.0 * slices * weights

    @property
    def equation_rows(self) -> int:
        """Rows of the products of the equations' jets in a hidden layer."""
        return SLICES * self.rows["navier_stokes"]


PAPER_SIZE = Size({"no_slip": 5630, "tracks": 9400, "navier_stokes": 5250}, 8, 200)
SMALL_SIZE = Size({"no_slip": 20, "tracks": 30, "navier_stokes": 25}, 2, 8)


class NestedNetwork(FlowNetwork):
    """The same network, whose jets come from differentiating the graph of derivatives."""

    def jet(self, points: Tensor, order: Order = 2) -> Tensor:
        """Jet (6, N, 4) at points (N, 4)."""
        if order < 2:
            return super().jet(points, order)
        q = points.clone().requires_grad_()
        value = self.value(q)

        def gradient(column: Tensor) -> Tensor:
            return torch.autograd.grad(column.sum(), q, create_graph=True)[0]

        first = torch.stack([gradient(column) for column in value.unbind(-1)])
        laplacian = [
            torch.stack([gradient(first[c, :, d])[:, d] for d in (1, 2, 3)]).sum(0)
            for c in range(3)
        ]
        # The pressure's Laplacian is not in the equations.
        second = torch.stack([*laplacian, torch.zeros_like(laplacian[0])], -1)
        return torch.cat([value[None], first.permute(2, 1, 0), second[None]])


def settings(size: Size, *, compile: bool, cuda_graphs: bool = False) -> TrainSettings:
    """Those of the paper, with a network of this size."""
    paper: TrainSettings = load_stage(PAPER, "train")
    assert isinstance(paper.optimiser, AdamSettings)
    network = replace(paper.network, layers=size.layers, width=size.width)
    optimiser = replace(paper.optimiser, compile=compile, cuda_graphs=cuda_graphs)
    return replace(paper, network=network, optimiser=optimiser)


class Training(Run):
    """A training that is taken step by step, on rows that stay the same.

    Positions and measured velocities are drawn at random in the box [-1, 1]^4.
    """

    def __init__(
        self,
        size: Size,
        device: torch.device,
        kind: type[FlowNetwork] = FlowNetwork,
        *,
        compile: bool = False,
        cuda_graphs: bool = False,
    ) -> None:
        chosen = settings(size, compile=compile, cuda_graphs=cuda_graphs)
        torch.manual_seed(0)
        network = kind(chosen.network, -torch.ones(4), torch.ones(4)).to(device)
        points = {block: 2 * torch.rand(n, 4) - 1 for block, n in size.rows.items()}
        measured = torch.randn(size.rows["tracks"], len(COMPONENTS))
        inputs: dict[str, tuple[Tensor, ...]] = {
            block: (at.to(device),) for block, at in points.items()
        }
        inputs["tracks"] += (measured.to(device),)
        ranks = Ranks(0, 1, device)
        residuals = FlowResiduals(network, 1.0, 1.0, COMPONENTS, soft_wall=True)
        problem = FixedPoints(residuals, inputs, attended=tuple(inputs), ranks=ranks)
        super().__init__(chosen, problem, ranks)
        self.taken = 0

    def step(self) -> Tensor:
        """One step of Adam; the loss before it."""
        batch = self.problem.batch(self.taken)
        self.taken += 1
        rows = self.optimiser.step(batch, self.weigh)
        return torch.stack([values.detach().square().sum() for values in rows.values()]).sum()


def multipliers_step(size: Size) -> Callable[[], object]:
    """Residual-based attention alone, updated and applied: what it adds to a step."""
    sizes = {block: (rows, 4) for block, rows in size.rows.items()}
    chosen = settings(size, compile=False).multipliers
    assert isinstance(chosen, RBASettings)
    rba = RBA(chosen, sizes, Ranks(0, 1, torch.device("cpu")))
    rows = {block: torch.arange(count) for block, count in size.rows.items()}
    batch = Batch(0, {}, rows, dict(size.rows))
    e = {block: torch.randn(size) for block, size in sizes.items()}
    return lambda: [factor * e[block] for block, factor in rba.update(batch, e).items()]


def products(rows: int, width: int, device: torch.device, count: int) -> Callable[[], object]:
    """So many products of matrices (rows, width) and (width, width)."""
    a = torch.randn(rows, width, device=device)
    b = torch.randn(width, width, device=device)
    out = torch.empty_like(a)
    return lambda: [torch.mm(a, b, out=out) for _ in range(count)]


def product_operations(rows: int, width: int, count: int) -> float:
    """Floating-point operations of `products`."""
    return 2.0 * count * rows * width**2


def run(rounds: int = 15) -> None:
    """Time every variant in so many rounds."""
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(threads)
    write("bench_step", measure(PAPER_SIZE, rounds) | {"threads": threads})


def measure(size: Size, rounds: int) -> dict[str, Any]:
    """Seconds of every variant on processor cores, and their ratios."""
    here = torch.device("cpu")
    # Rows and number of products: of all rows at once, which go through memory, and of so few that
    # they stay in a core's cache.
    few = min(size.equation_rows, CACHED // size.width)
    shapes = {"matmul": (size.equation_rows, 20), "matmul_in_cache": (few, 500)}
    steps: dict[str, Callable[[], object]] = {
        "jets": Training(size, here, compile=True).step,
        "nested_autograd": Training(size, here, NestedNetwork).step,
        **{name: products(rows, size.width, here, n) for name, (rows, n) in shapes.items()},
        "multipliers": multipliers_step(size),
    }
    if find_spec("jax"):
        from bench.jax_step import jax_steps

        steps["jax"] = partial(jax_steps(Training(size, here)), 1)
    seconds = in_turns({name: timed(step) for name, step in steps.items()}, rounds, warm_up=2)
    over_jets = {name: ratios(s, seconds["jets"]) for name, s in seconds.items()}
    done = {name: product_operations(rows, size.width, n) for name, (rows, n) in shapes.items()}
    return {
        **{
            f"share_of_{name}": spread([size.operations / done[name] * r for r in over_jets[name]])
            for name in shapes
        },
        **{
            f"{name}_over_jets": spread(over_jets[name])
            for name in ("nested_autograd", "jax")
            if name in over_jets
        },
        "share_of_multipliers": median(over_jets["multipliers"]),
        "gflops": {name: done[name] / median(seconds[name]) / 1e9 for name in shapes},
        "seconds": {name: spread(values) for name, values in seconds.items()},
    }
