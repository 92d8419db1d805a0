"""Navier-Stokes residual and parameter gradient: jets against nested autograd and JAX.

5,250 points, 8 x 200 sin network, single precision. The variants take turns; ratios are medians
over rounds. Writes results/bench.json.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aiv_rba.multipliers.rba import RBA
from aiv_rba.problem import Batch
from aiv_rba.problems.velocimetry import navier_stokes
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import RBASettings, load_stage
from bench.measure import PAPER, in_turns, ratios, spread, timed, write

POINTS, LAYERS, WIDTH = 5250, 8, 200
PRODUCTS = 20


def network(layers: int, width: int, *, weight_normalisation: bool = False) -> FlowNetwork:
    """The paper's network in single precision, on the box [-1, 1]^4, of this size."""
    torch.manual_seed(0)
    paper = load_stage(PAPER, "train").network
    settings = replace(paper, layers=layers, width=width, weight_normalisation=weight_normalisation)
    return FlowNetwork(settings, -torch.ones(4), torch.ones(4))


def mean_square(jet: Tensor) -> Tensor:
    """Mean square of the residuals of momentum and mass."""
    return navier_stokes.residuals(jet, 1.0, 1.0).square().mean()


def with_gradient(net: FlowNetwork, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A step: the loss and its gradient."""

    def step() -> None:
        net.zero_grad()
        torch.autograd.backward(loss())

    return step


def jets_step(net: FlowNetwork, x: Tensor) -> Callable[[], None]:
    """A step by jets, compiled."""
    return with_gradient(net, torch.compile(lambda: mean_square(net.jet(x))))


def nested_loss(net: FlowNetwork, x: Tensor) -> Callable[[], Tensor]:
    """Mean square of residuals by differentiating the graph of derivatives."""

    def gradient(column: Tensor, q: Tensor) -> Tensor:
        return torch.autograd.grad(column.sum(), q, create_graph=True)[0]

    def loss() -> Tensor:
        q = x.clone().requires_grad_()
        value = net.value(q)
        first = torch.stack([gradient(column, q) for column in value.unbind(-1)])
        laplacian = [
            torch.stack([gradient(first[c, :, d], q)[:, d] for d in (1, 2, 3)]).sum(0)
            for c in (0, 1, 2)
        ]
        second = torch.stack([*laplacian, torch.zeros_like(laplacian[0])], -1)
        return mean_square(torch.cat([value[None], first.permute(2, 1, 0), second[None]]))

    return loss


def multipliers_step(rows: int) -> Callable[[], object]:
    """Residual-based attention alone, updated and applied: what it adds to a step."""
    rba = RBA(RBASettings(), {"navier_stokes": (rows, 4)}, Ranks(0, 1, torch.device("cpu")))
    batch = Batch(0, {}, {"navier_stokes": torch.arange(rows)}, {})
    e = torch.randn(rows, 4)
    return lambda: (rba.update(batch, {"navier_stokes": e})["navier_stokes"] * e).square().mean()


def jax_step(net: FlowNetwork, x: Tensor) -> Callable[[], object]:
    """JAX, second derivatives as jvp of jvp, jit-compiled.

    Raises
    ------
    RuntimeError
        If its loss is not that of the jets.
    """
    import jax
    import jax.numpy as jnp

    tensors = [jnp.array(tensor.numpy()) for tensor in net.body.mlp.state_dict().values()]
    points, scales = jnp.array(x.numpy()), jnp.array(net.scales.numpy())

    def loss(tensors: Any) -> Any:
        *hidden, (last, shift) = zip(tensors[::2], tensors[1::2], strict=True)

        def flow(q: Any) -> Any:
            for weight, bias in hidden:
                q = jnp.sin(q @ weight.T + bias)
            return (q @ last.T + shift) * scales

        def along(d: int, f: Callable[[Any], Any]) -> Any:
            return jax.jvp(f, (points,), (jnp.broadcast_to(jnp.eye(4)[d], points.shape),))

        def first_and_second(d: int) -> Any:
            return along(d, lambda q: jax.jvp(flow, (q,), (jnp.zeros_like(q).at[:, d].set(1),))[1])

        value, d_t = along(0, flow)
        first, second = zip(*map(first_and_second, (1, 2, 3)), strict=True)
        advection = sum(value[:, d : d + 1] * first[d] for d in range(3))
        grad_p = jnp.stack([d[:, 3] for d in first], -1)
        momentum = (d_t + advection - sum(second))[:, :3] + grad_p
        mass = sum(first[d][:, d] for d in range(3))
        return (jnp.sum(momentum**2) + jnp.sum(mass**2)) / (4 * len(points))

    gradient = jax.jit(jax.value_and_grad(loss))
    if not np.isclose(float(gradient(tensors)[0]), mean_square(net.jet(x)).item(), rtol=1e-3):
        raise RuntimeError("JAX and torch disagree on the loss: the comparison would be void")
    return lambda: jax.block_until_ready(gradient(tensors))


def run(rounds: int = 15) -> None:
    """Time every variant in so many rounds."""
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    x = 2 * torch.rand(POINTS, 4, generator=torch.Generator().manual_seed(0)) - 1
    net, normalised = (network(LAYERS, WIDTH, weight_normalisation=n) for n in (False, True))
    # Matrix products of the network's inner size are the peak to compare with.
    a, b = torch.randn(6 * POINTS, WIDTH), torch.randn(WIDTH, WIDTH)
    out = torch.empty(6 * POINTS, WIDTH)
    steps = {
        "nested_autograd": with_gradient(net, nested_loss(net, x)),
        "jax_jvp_of_jvp": jax_step(net, x),
        "jets_compiled": jets_step(net, x),
        "weight_normalised": jets_step(normalised, x),
        "matmul": lambda: [torch.mm(a, b, out=out) for _ in range(PRODUCTS)],
        "rba_update": multipliers_step(POINTS),
    }
    seconds = in_turns({name: timed(step) for name, step in steps.items()}, rounds, warm_up=2)
    over_jets = {name: median(ratios(s, seconds["jets_compiled"])) for name, s in seconds.items()}
    # Operations of the matrix products of a residual and its gradient: three times the forward
    # pass, six slices of a jet.
    slices = 2 * 6 * POINTS
    jet_flops = 3 * slices * (4 * WIDTH + (LAYERS - 1) * WIDTH**2 + WIDTH * 4)
    matmul_flops = PRODUCTS * slices * WIDTH**2
    result = {
        "jets_over_nested_autograd": over_jets["nested_autograd"],
        "jets_over_jax": over_jets["jax_jvp_of_jvp"],
        "fraction_of_matmul_peak": jet_flops / matmul_flops * over_jets["matmul"],
        "rba_overhead": over_jets["rba_update"],
        "weight_norm_overhead": over_jets["weight_normalised"] - 1,
        "threads": threads,
        "matmul_peak_gflops": matmul_flops / median(seconds["matmul"]) / 1e9,
        "seconds": {name: spread(values) for name, values in seconds.items()},
    }
    write("bench", result)
