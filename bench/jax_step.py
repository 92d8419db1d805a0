"""The same step in JAX: second derivatives as jvp of jvp, one jit-compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from torch import Tensor

from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.settings import AdamSettings, RBASettings

if TYPE_CHECKING:
    from bench.step import Training

BETAS, EPSILON = (0.9, 0.999), 1e-8
# As torch does; by itself JAX takes TensorFloat-32 where a GPU has it.
jax.config.update("jax_default_matmul_precision", "highest")


def jax_steps(training: Training) -> Callable[[int], None]:
    """So many steps of JAX that do what steps of the training do, on the device that JAX chooses.

    They wait for the device once, after the last.

    Raises
    ------
    RuntimeError
        If the first loss is not that of the training.
    """
    step, state = _step_and_state(training)
    expected = float(training.step())
    loss, state = step(state)
    if not np.isclose(float(loss), expected, rtol=1e-3):
        raise RuntimeError(
            f"JAX and torch disagree on the loss, {float(loss)} and {expected}: the comparison "
            "would be void"
        )

    def go_on(times: int) -> None:
        nonlocal state
        for _ in range(times):
            _, state = step(state)
        jax.block_until_ready(state)

    return go_on


def _step_and_state(training: Training) -> tuple[Callable[[Any], Any], Any]:
    problem, chosen = training.problem, training.settings
    network = problem.residuals.network
    assert isinstance(network, FlowNetwork)
    assert isinstance(chosen.optimiser, AdamSettings)
    assert isinstance(chosen.multipliers, RBASettings)
    rba, rate = chosen.multipliers, chosen.optimiser.learning_rate
    scales = _array(network.scales)
    batch = problem.batch(0)
    inputs = {block: tuple(map(_array, tensors)) for block, tensors in batch.inputs.items()}
    weights = {block: jnp.array(values) for block, values in problem.weights.items()}
    layers = [*network.body.mlp.hidden, network.body.mlp.out]
    theta = [tuple(map(_array, (layer.weight, layer.length, layer.bias))) for layer in layers]
    multipliers = {block: jnp.zeros(size) for block, size in problem.sizes.items()}

    def flow(theta: Any, q: Any) -> Any:
        for number, (weight, length, bias) in enumerate(theta):
            normalised = length * weight / jnp.linalg.norm(weight, axis=1, keepdims=True)
            q = q @ normalised.T + bias
            q = jnp.sin(q) if number < len(theta) - 1 else q * scales
        return q

    def navier_stokes(theta: Any, points: Any) -> Any:
        def along(d: int, f: Callable[[Any], Any]) -> Any:
            return jax.jvp(f, (points,), (jnp.broadcast_to(jnp.eye(4)[d], points.shape),))

        def first_and_second(d: int) -> Any:
            direction = jnp.zeros_like(points).at[:, d].set(1)
            return along(d, lambda q: jax.jvp(lambda p: flow(theta, p), (q,), (direction,))[1])

        value, d_t = along(0, lambda q: flow(theta, q))
        first, second = zip(*map(first_and_second, (1, 2, 3)), strict=True)
        advection = sum(value[:, d : d + 1] * first[d] for d in range(3))
        grad_p = jnp.stack([d[:, 3] for d in first], -1)
        momentum = (d_t + advection - sum(second))[:, :3] + grad_p
        mass = sum(first[d][:, d] for d in range(3))
        return jnp.concatenate([momentum, mass[:, None]], axis=1)

    def residuals(theta: Any) -> dict[str, Any]:
        points, measured = inputs["tracks"]
        return {
            "no_slip": flow(theta, *inputs["no_slip"])[:, :3],
            "tracks": flow(theta, points)[:, : measured.shape[1]] - measured,
            "navier_stokes": navier_stokes(theta, *inputs["navier_stokes"]),
        }

    def loss(theta: Any, multipliers: Any) -> Any:
        total, updated = 0.0, {}
        for block, e in residuals(theta).items():
            size = jax.lax.stop_gradient(jnp.abs(e))
            eta = rba.eta_by_block.get(block, rba.eta)
            updated[block] = rba.gamma * multipliers[block] + eta * size / size.max(axis=0)
            factor = (updated[block] + rba.offset) * jnp.sqrt(weights[block] / len(e))
            total += jnp.sum((factor * e) ** 2)
        return total, updated

    def step(state: Any) -> Any:
        theta, first, second, multipliers, count = state
        (value, multipliers), g = jax.value_and_grad(loss, has_aux=True)(theta, multipliers)
        count = count + 1
        first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, g)
        second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, g)

        def moved(p: Any, m: Any, v: Any) -> Any:
            root = jnp.sqrt(v / (1 - BETAS[1] ** count)) + EPSILON
            return p - rate * m / (1 - BETAS[0] ** count) / root

        theta = jax.tree.map(moved, theta, first, second)
        return value, (theta, first, second, multipliers, count)

    nothing = jax.tree.map(jnp.zeros_like, theta)
    return jax.jit(step), (theta, nothing, nothing, multipliers, 0)


def _array(tensor: Tensor) -> Any:
    return jnp.array(tensor.detach().cpu().numpy())
