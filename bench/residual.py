"""Navier-Stokes residual and parameter gradient: jets against nested autograd and JAX.

5,250 points, 8 x 200 sin network, single precision. Every variant is timed in turn, round by
round, so that a drift of the machine's speed hits all of them; ratios are medians over rounds.
Writes results/bench.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

THREADS = os.cpu_count() or 1

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from aiv_rba.multipliers.rba import RBA  # noqa: E402
from aiv_rba.problem import Batch  # noqa: E402
from aiv_rba.problems.velocimetry import navier_stokes  # noqa: E402
from aiv_rba.problems.velocimetry.network import FlowNetwork  # noqa: E402
from aiv_rba.ranks.ddp import Ranks  # noqa: E402
from aiv_rba.settings import FlowNetworkSettings, RBASettings  # noqa: E402

POINTS, LAYERS, WIDTH = 5250, 8, 200
PRODUCTS = 20
ARCHITECTURE = {
    "layers": LAYERS,
    "width": WIDTH,
    "activation": "sin",
    "time": "input",
    "time_harmonics": 0,
    "no_slip": "soft",
    "output_scales": (0.1, 1.0, 0.1, 100.0),
}


def network(*, weight_normalisation: bool = False) -> FlowNetwork:
    """The paper's network in single precision."""
    torch.manual_seed(0)
    settings = FlowNetworkSettings(weight_normalisation=weight_normalisation, **ARCHITECTURE)
    return FlowNetwork(settings, -torch.ones(4), torch.ones(4))


def jets_step(net: FlowNetwork, x: Tensor, *, compiled: bool) -> Callable[[], None]:
    """Residual by jets and its gradient."""

    def loss() -> Tensor:
        return navier_stokes.residuals(net.jet(x), 1.0, 1.0).square().mean()

    evaluate = torch.compile(loss) if compiled else loss

    def step() -> None:
        net.zero_grad()
        evaluate().backward()

    return step


def rba_step(net: FlowNetwork, x: Tensor) -> Callable[[], None]:
    """The same with residual-based attention on every row."""
    ranks = Ranks(0, 1, torch.device("cpu"))
    rba = RBA(RBASettings(), {"navier_stokes": (len(x), 4)}, ranks)
    batch = Batch(0, {}, {"navier_stokes": torch.arange(len(x))}, {})
    residuals = torch.compile(lambda: navier_stokes.residuals(net.jet(x), 1.0, 1.0))

    def step() -> None:
        net.zero_grad()
        e = residuals()
        weights = rba.update(batch, {"navier_stokes": e})["navier_stokes"]
        (weights * e).square().mean().backward()

    return step


def rba_update(rows: int) -> Callable[[], None]:
    """The multipliers alone, updated and applied: what RBA adds to a step."""
    rba = RBA(RBASettings(), {"navier_stokes": (rows, 4)}, Ranks(0, 1, torch.device("cpu")))
    e = {"navier_stokes": torch.randn(rows, 4)}
    batch = Batch(0, {}, {"navier_stokes": torch.arange(rows)}, {})

    def step() -> None:
        weights = rba.update(batch, e)["navier_stokes"]
        (weights * e["navier_stokes"]).square().mean()

    return step


def unweighted_step(net: FlowNetwork, x: Tensor) -> Callable[[], None]:
    """The counterpart of `rba_step` without multipliers."""
    residuals = torch.compile(lambda: navier_stokes.residuals(net.jet(x), 1.0, 1.0))

    def step() -> None:
        net.zero_grad()
        residuals().square().mean().backward()

    return step


def nested_autograd_step(net: FlowNetwork, x: Tensor) -> Callable[[], None]:
    """First and second derivatives by differentiating the graph of derivatives."""

    def derivatives(column: Tensor, q: Tensor) -> Tensor:
        return torch.autograd.grad(column.sum(), q, create_graph=True)[0]

    def step() -> None:
        net.zero_grad()
        q = x.clone().requires_grad_()
        value = net.value(q)
        gradients = torch.stack([derivatives(column, q) for column in value.unbind(-1)], -1)
        laplacians = torch.stack(
            [sum(derivatives(gradients[:, d, c], q)[:, d] for d in (1, 2, 3)) for c in (0, 1, 2)]
            + [torch.zeros(len(q))],
            -1,
        )
        jet = torch.cat([value[None], gradients.permute(1, 0, 2), laplacians[None]])
        navier_stokes.residuals(jet, 1.0, 1.0).square().mean().backward()

    return step


def jax_step(net: FlowNetwork, x: Tensor) -> Callable[[], None]:
    """JAX, second derivatives as jvp of jvp, jit-compiled."""
    layers = [*net.mlp.hidden, net.mlp.out]
    parameters = [
        (jnp.array(layer.weight.detach().numpy().T), jnp.array(layer.bias.detach().numpy()))
        for layer in layers
    ]
    points = jnp.array(x.numpy())
    scales = jnp.array(net.scales.numpy())

    def flow(parameters, q):
        for weight, bias in parameters[:-1]:
            q = jnp.sin(q @ weight + bias)
        weight, bias = parameters[-1]
        return (q @ weight + bias) * scales

    def loss(parameters):
        def f(q):
            return flow(parameters, q)

        def directional(direction):
            tangent = jnp.broadcast_to(direction, points.shape)

            def first(q):
                return jax.jvp(f, (q,), (tangent,))[1]

            return jax.jvp(first, (points,), (tangent,))

        value = f(points)
        time_tangent = jnp.broadcast_to(jnp.eye(4)[0], points.shape)
        d_t = jax.jvp(f, (points,), (time_tangent,))[1]
        pairs = [directional(direction) for direction in jnp.eye(4)[1:]]
        (d_x, d_y, d_z), seconds = zip(*pairs, strict=True)
        u, v, w = value[:, 0:1], value[:, 1:2], value[:, 2:3]
        advection = u * d_x + v * d_y + w * d_z
        grad_p = jnp.stack([d_x[:, 3], d_y[:, 3], d_z[:, 3]], -1)
        momentum = (d_t + advection - sum(seconds))[:, :3] + grad_p
        mass = d_x[:, 0] + d_y[:, 1] + d_z[:, 2]
        return (jnp.sum(momentum**2) + jnp.sum(mass**2)) / (4 * len(points))

    gradient = jax.jit(jax.value_and_grad(loss))
    reference = navier_stokes.residuals(net.jet(x), 1.0, 1.0).square().mean().item()
    if not np.isclose(float(gradient(parameters)[0]), reference, rtol=1e-3):
        raise RuntimeError("JAX and torch disagree on the loss: the comparison would be void")
    return lambda: jax.block_until_ready(gradient(parameters))


def matmul_step() -> Callable[[], None]:
    """Matrix products of the network's inner size: the peak to compare with."""
    a, b = torch.randn(6 * POINTS, WIDTH), torch.randn(WIDTH, WIDTH)
    out = torch.empty(6 * POINTS, WIDTH)

    def step() -> None:
        for _ in range(PRODUCTS):
            torch.mm(a, b, out=out)

    return step


def matmul_flops() -> float:
    """Floating-point operations of one `matmul_step`."""
    return PRODUCTS * 2 * 6 * POINTS * WIDTH**2


def jet_flops() -> float:
    """Floating-point operations of the matrix products of one residual and gradient."""
    weights = 4 * WIDTH + (LAYERS - 1) * WIDTH**2 + WIDTH * 4
    return 3 * 2 * 6 * POINTS * weights


def measure(variants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each variant in each round."""
    for step in variants.values():
        step()
        step()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, step in variants.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], of: str, to: str) -> float:
    """Median over rounds of the ratio of two variants' times in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[of], seconds[to], strict=True))


def main() -> None:
    """Run and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("results/bench.json"))
    arguments = parser.parse_args()

    torch.set_num_threads(THREADS)
    x = 2 * torch.rand(POINTS, 4, generator=torch.Generator().manual_seed(0)) - 1
    net = network()
    seconds = measure(
        {
            "nested_autograd": nested_autograd_step(net, x),
            "jax_jvp_of_jvp": jax_step(net, x),
            "jets_eager": jets_step(net, x, compiled=False),
            "jets_compiled": jets_step(net, x, compiled=True),
            "matmul": matmul_step(),
            "weight_normalised": jets_step(network(weight_normalisation=True), x, compiled=True),
            "unweighted": unweighted_step(net, x),
            "rba": rba_step(net, x),
            "rba_update": rba_update(len(x)),
        },
        arguments.rounds,
    )
    median = {name: statistics.median(values) for name, values in seconds.items()}
    matmul_share = ratio(seconds, "matmul", "jets_compiled")
    result = {
        "jets_over_nested_autograd": ratio(seconds, "nested_autograd", "jets_compiled"),
        "jets_over_jax": ratio(seconds, "jax_jvp_of_jvp", "jets_compiled"),
        "fraction_of_matmul_peak": jet_flops() / matmul_flops() * matmul_share,
        # Two whole steps differ by more than this from round to round on a busy machine.
        "rba_overhead": ratio(seconds, "rba_update", "unweighted"),
        "rba_step_over_unweighted_step": ratio(seconds, "rba", "unweighted"),
        "weight_norm_overhead": ratio(seconds, "weight_normalised", "jets_compiled") - 1,
        "threads": THREADS,
        "matmul_peak_gflops": matmul_flops() / median["matmul"] / 1e9,
        "seconds": {
            name: {"median": median[name], "min": min(values), "max": max(values)}
            for name, values in seconds.items()
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
