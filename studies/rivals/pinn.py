"""A plain physics-informed neural network in DeepXDE, which differentiates by nested autograd.

A network of x, y, z and the harmonics of time for u, v, w and p, trained by Adam on the tracks, on
Navier-Stokes at points of the lumen and on zero velocity at points of the wall. Every residual is
measured in its tolerance, that of the tracks is their noise, with Huber's loss against mismatches.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.jets import Order
from studies.rivals.lumen import inside_points, wall_points
from studies.rivals.tracks import training_rows

KNOWS = "wall, period, viscosity, density"
LAYERS, WIDTH = 4, 64
# Points of the lumen and rows of the tracks of one step, and points to draw from; distance of
# points of the wall, in hydraulic radii.
INTERIOR, ROWS, DRAWN_FROM, SPACING = 500, 500, 20_000, 0.4
# Tolerances: of momentum in viscous forces, of mass in shear rates, of the velocity on the wall in
# the velocity scale. The default training holds them ten to two hundred times as tightly, with
# which Adam gets nowhere in a short time. Huber's loss is quadratic up to so many standard
# deviations.
MOMENTUM, MASS, SLIP, HUBER = 10.0, 2.0, 0.2, 2.0
RATE, DECAY = 5e-3, ("step", 1000, 0.85)
# Steps between looks at the clock, at which the network is saved too.
PIECE = 50


def deepxde() -> Any:
    """The library, with torch below it."""
    os.environ.setdefault("DDE_BACKEND", "pytorch")
    try:
        import deepxde
    except ImportError:
        raise UserError("pinn: library not found, expected pip install 'aiv-rba[study]'") from None
    return deepxde


class PinnFlow:
    """The trained network as a `NondimensionalFlow` of order 0 or 1."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def jet(self, points: Tensor, order: Order = 1) -> Tensor:
        """Jet (5, N, 4) of (u, v, w, p) at points (N, 4); of order 0 the value alone."""
        with torch.enable_grad():
            x = points.float().requires_grad_()
            value = self.network(x)
            if order == 0:
                alone: Tensor = value.detach().double()[None]
                return alone
            slopes = [torch.autograd.grad(f.sum(), x, retain_graph=True)[0] for f in value.T]
        jet = torch.cat([value[None], torch.stack(slopes, dim=-1).permute(1, 0, 2)])
        return jet.detach().double()


def fit(
    case: Case, seconds: float, clock: Callable[[], float], folder: Path | None = None
) -> PinnFlow:
    """Train for so long, from the last piece that a folder holds.

    Parameters
    ----------
    case
        The case.
    seconds
        When to stop on the clock.
    clock
        Seconds that were spent so far, earlier pieces included.
    folder
        Where the network is saved; nowhere if left out.
    """
    model = _model(case)
    state = None if folder is None else folder / "pinn.pt"
    if state is not None and state.is_file():
        saved = torch.load(state, weights_only=True)
        for part, values in zip(_parts(model), saved, strict=True):
            part.load_state_dict(values)
    resample = deepxde().callbacks.PDEPointResampler(period=1, bc_points=True)
    while clock() < seconds:
        model.train(iterations=PIECE, display_every=PIECE, callbacks=[resample], verbose=0)
        if state is not None:
            with atomic_path(state) as temporary:
                torch.save([part.state_dict() for part in _parts(model)], temporary)
    return PinnFlow(model.net)


def _parts(model: Any) -> tuple[Any, Any, Any]:
    return model.net, model.opt, model.lr_scheduler


def _model(case: Case) -> Any:
    dde, rows, scales = deepxde(), training_rows(case), case.scales
    dde.config.set_random_seed(0)
    rng = np.random.default_rng(0)
    period = scales.nondimensional_period
    interior = _at_times(inside_points(case, DRAWN_FROM), period, rng)
    on_wall = _at_times(wall_points(case, SPACING * case.radius), period, rng)
    tracks = np.column_stack([rows.times, rows.positions])
    force = scales.diffusion / case.radius**2

    def equations(x: Tensor, y: Tensor) -> list[Tensor]:
        def first(i: int, j: int) -> Tensor:
            slope: Tensor = dde.grad.jacobian(y, x, i=i, j=j)
            return slope

        residuals = []
        for i in range(3):
            convection = sum(y[:, j : j + 1] * first(i, j + 1) for j in range(3))
            laplacian = sum(dde.grad.hessian(y, x, component=i, i=j, j=j) for j in (1, 2, 3))
            inertia = scales.inertia * (first(i, 0) + convection)
            residual = inertia + first(3, i + 1) - scales.diffusion * laplacian
            residuals.append(residual / (MOMENTUM * force))
        mass = first(0, 1) + first(1, 2) + first(2, 3)
        return [*residuals, mass / (MASS / case.radius)]

    conditions, losses = [], [_mean_square] * 4
    for column, component in enumerate(rows.components):
        measured = rows.measured[:, [column]] / rows.noise[:, [column]].mean()
        conditions.append(
            dde.icbc.PointSetOperatorBC(
                tracks,
                measured,
                _component(component, float(rows.noise[:, column].mean())),
                batch_size=ROWS,
                shuffle=True,
            )
        )
        losses.append(_huber)
    for component in range(3):
        zero = np.zeros((len(on_wall), 1))
        conditions.append(dde.icbc.PointSetOperatorBC(on_wall, zero, _component(component, SLIP)))
        losses.append(_mean_square)
    data = dde.data.PDE(
        dde.geometry.PointCloud(interior), equations, conditions, num_domain=INTERIOR
    )
    model = dde.Model(data, _network(dde, case, rows.measured, rows.components))
    model.compile("adam", lr=RATE, decay=DECAY, loss=losses)
    return model


def _network(dde: Any, case: Case, measured: Array, components: list[int]) -> Any:
    """A network whose inputs and outputs are of order one."""
    omega = 2 * np.pi / case.scales.nondimensional_period
    lower, upper = (torch.as_tensor(corner, dtype=torch.float32) for corner in case.corners)
    sizes = np.full(4, np.sqrt(np.mean(measured**2, axis=0)).min())
    sizes[components] = np.sqrt(np.mean(measured**2, axis=0))
    length = np.ptp(case.corners, axis=0).max()
    sizes[3] = case.scales.diffusion / case.radius**2 * length
    output_scales = torch.as_tensor(sizes, dtype=torch.float32)
    harmonics = range(1, case.harmonics + 1)

    def inputs(x: Tensor) -> Tensor:
        phases = [k * omega * x[:, :1] for k in harmonics]
        waves = [f(phase) for phase in phases for f in (torch.cos, torch.sin)]
        return torch.cat([2 * (x[:, 1:] - lower) / (upper - lower) - 1, *waves], dim=1)

    widths = [3 + 2 * case.harmonics, *[WIDTH] * LAYERS, 4]
    network = dde.nn.FNN(widths, "tanh", "Glorot normal")
    network.apply_feature_transform(inputs)
    network.apply_output_transform(lambda x, y: y * output_scales)
    return network


def _at_times(positions: Array, period: float, rng: np.random.Generator) -> Array:
    return np.column_stack([rng.uniform(0, period, len(positions)), positions])


def _component(number: int, unit: float) -> Callable[[Tensor, Tensor, Array], Tensor]:
    return lambda inputs, outputs, points: outputs[:, number : number + 1] / unit


def _mean_square(zero: Tensor, residual: Tensor) -> Tensor:
    return residual.square().mean()


def _huber(zero: Tensor, residual: Tensor) -> Tensor:
    return torch.nn.functional.huber_loss(residual, zero, delta=HUBER)
