"""Gauss-Newton steps with Levenberg damping on the weighted residual rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
from scipy.linalg import LinAlgError
from torch import Tensor, nn

from aiv_rba.errors import NotFinite, UserError
from aiv_rba.networks.layers import Linear
from aiv_rba.optimisers.jacobian import Linearised, Room
from aiv_rba.optimisers.least_squares import (
    Curvature,
    Jacobians,
    ParameterSpace,
    SampleSpace,
    Solver,
    System,
    transposed,
)
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import GaussNewtonSettings

# Between the seeds of draws.
SEEDS = 104_729
# Length at which the residuals' bend is measured, and how much of the velocity it may be; the
# values of Transtrum & Sethna 2012.
PROBE, LARGEST_BEND = 0.1, 0.75


class GaussNewton:
    """Recursive Gauss-Newton on a random subset of the batch's rows.

    Every step, or every few, draws new rows. Its curvature is that of these rows plus a fading
    memory of earlier ones, as in recursive least squares (Ljung 1999, section 11.2):

        H_k = beta_k H_{k-1} + J^T J,    H_k dtheta = -J^T r,    beta_k = k / (k + memory).

    where the first `curvature_memory_from` steps do not count, since their curvature is soon wrong.
    The step then moves little in directions that earlier rows have settled, so that the noise of
    single draws averages out over 1 + k / memory of them. H is damped relative to its diagonal
    (Marquardt 1963) or to its mean (Levenberg 1944); a step that does not lower the loss of the
    drawn rows is refused and the damping raised, by the ratio of the decrease to what H predicts
    if `damping_update` is gain_ratio (Nielsen 1999). J^T J and J^T r are sums over rows, so ranks
    add theirs.

    Without a memory, and with fewer rows than parameters, the same step is found in sample space.
    There `momentum` takes the place of the memory, as in SPRING (Goldshlager, Abrahamsen & Lin
    2024): the damping holds the step to that part of the last one, instead of to zero. A refused
    step is tried again without.

    With `importance_sampling` more rows are drawn where the residuals are large (Wu et al. 2023),
    which sharp fronts need: points drawn evenly leave gaps in them.

    With `acceleration` the step follows the bend of the residuals to second order (Transtrum &
    Sethna 2012), for one more evaluation of the residuals and one more right-hand side.

    The damping is divided by `scale`, which shortens the steps where it is less than one.

    Raises
    ------
    UserError
        If the network is weight-normalised, or `rows` does not fit the problem.
    NotFinite
        If a derivative of the residuals is not a finite number.
    """

    def __init__(
        self,
        settings: GaussNewtonSettings,
        residuals: Residuals,
        ranks: Ranks,
        seed: int,
        scale: float = 1.0,
    ) -> None:
        self.settings = settings
        self.residuals = residuals
        self.ranks = ranks
        self.seed = seed
        self.scale = scale
        self.layers = [m for m in residuals.modules() if isinstance(m, Linear)]
        if any(layer.weight_normalisation for layer in self.layers):
            raise UserError(
                "train.network.weight_normalisation: found true, expected false with the "
                "optimiser gauss_newton, which is indifferent to it"
            )
        if settings.rows != "auto" and len(settings.rows) != len(residuals.terms):
            raise UserError(
                f"train.optimiser.rows: found {len(settings.rows)} numbers, expected one for each "
                f"of {', '.join(residuals.terms)}"
            )
        self.parameters = [p for layer in self.layers for p in (layer.weight, layer.bias)]
        self.last_step = torch.zeros_like(self._position())
        self.damping = settings.damping
        self.steps = 0
        # For the Jacobian of each block.
        self.rooms = defaultdict[str, Room](Room)
        # Numbers of the drawn rows of each block among those of all ranks, and how many these were.
        self.drawn: Blocks = {}
        self.drawn_from: dict[str, int] = {}

    @cached_property
    def curvature(self) -> Curvature:
        """H and its memory; sample space does without."""
        settings = self.settings
        memory, forgotten = settings.curvature_memory, settings.curvature_memory_from
        return Curvature(self._position(), memory, forgotten, self.ranks)

    @property
    def relative_damping(self) -> float:
        """Damping of the next step, relative to the diagonal of J^T J or to its mean."""
        return self.damping / self.scale

    @property
    def diagnostics(self) -> dict[str, float]:
        """Damping, for the history."""
        return {"damping": self.relative_damping}

    def step(self, batch: Batch, weigh: Callable[[Batch, Blocks], Blocks]) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        part = self._choose(batch)
        linearised = {
            block: Linearised(partial(getattr(self.residuals, block), *inputs), self.layers)
            for block, inputs in part.inputs.items()
        }
        e = {block: found.residuals for block, found in linearised.items()}
        weights = weigh(part, e)
        rows = {block: weights[block] * values for block, values in e.items()}
        jacobians = {
            block: found.jacobian(weights[block], self.rooms[block])
            for block, found in linearised.items()
        }
        del linearised
        gradient = transposed(jacobians, rows, self.ranks)
        if not gradient.isfinite().all():
            raise NotFinite(
                batch.step + 1,
                "found a derivative of the residuals that is not a finite number, expected finite "
                "ones",
            )
        samples = sum(part.counts[block] * values.shape[1] for block, values in e.items())
        system = self._system(jacobians, samples)
        before = float(self.ranks.sum(_sum_of_squares(rows)))

        start = self._position()
        prior = self.settings.momentum * self.last_step
        self.last_step = torch.zeros_like(prior)
        growth = 2.0 if self.settings.damping_update == "gain_ratio" else 3.0
        for _ in range(self.settings.trials):
            solve = self._factored(system)
            velocity = prior - solve(_moved(rows, jacobians, prior))
            step = velocity
            if self.settings.acceleration:
                self._move(start + PROBE * velocity)
                ahead = self._rows(part, weights)
                bend = -solve(_second_derivative(rows, ahead, jacobians, velocity)) / 2
                # Farther out the expansion does not hold.
                if float(bend.norm()) <= LARGEST_BEND * float(velocity.norm()):
                    step = velocity + bend
            self._move(start + step)
            after = float(self.ranks.sum(_sum_of_squares(self._rows(part, weights))))
            if after < before:
                damped = self.relative_damping * system.unit * (velocity - prior)
                predicted = float(velocity @ (damped - gradient))
                self._lower_damping((before - after) / predicted)
                self.last_step = step
                break
            prior = torch.zeros_like(prior)
            self.damping *= growth
            if self.settings.damping_update == "gain_ratio":
                growth *= 2
        else:
            self._move(start)
        self.steps += 1
        return rows

    def _system(self, jacobians: Jacobians, samples: int) -> System:
        """In the space of smaller dimension; the memory is one of parameters."""
        levenberg = self.settings.scaling == "levenberg"
        if self.settings.curvature_memory is None and samples < len(self.last_step):
            return SampleSpace(jacobians, self.ranks, levenberg=levenberg)
        self.curvature.update(jacobians, self.steps)
        return ParameterSpace(self.curvature, jacobians, self.ranks, levenberg=levenberg)

    def _factored(self, system: System) -> Solver:
        """Solver of the damped system, whose damping is raised until it is positive definite."""
        while True:
            try:
                return system.damped(self.relative_damping)
            except LinAlgError:
                self.damping *= 3

    def _lower_damping(self, gain: float) -> None:
        """After a step that lowered the loss `gain` times as much as predicted."""
        factor = 1 / 3
        if self.settings.damping_update == "gain_ratio":
            factor = max(1 / 5, 1 - (2 * gain - 1) ** 3)
        self.damping = max(self.damping * factor, self.settings.smallest_damping)

    def _choose(self, batch: Batch) -> Batch:
        """A random subset of the rows of all ranks, the same for any number of ranks."""
        if self.steps % self.settings.redraw == 0 or batch.counts != self.drawn_from:
            self.drawn, self.drawn_from = self._draw(batch), batch.counts
        chosen, counts = {}, {}
        for block, order in self.drawn.items():
            counts[block] = len(order)
            local = order - batch.firsts.get(block, 0)
            local = local[(local >= 0) & (local < len(batch.rows[block]))]
            chosen[block] = local.to(self.ranks.device)
        return batch.select(chosen, counts)

    def _draw(self, batch: Batch) -> Blocks:
        """Numbers of rows of each block."""
        draw = self.steps // self.settings.redraw
        generator = torch.Generator().manual_seed(self.seed + SEEDS * (draw + 1))
        drawn = {}
        limits = [batch.counts[block] for block in batch.rows]
        if self.settings.rows != "auto":
            limits = list(self.settings.rows)
        for block, limit in zip(batch.rows, limits, strict=True):
            count = batch.counts[block]
            if self.settings.importance_sampling and limit < count:
                # The smallest of exponential variables of these rates (Efraimidis & Spirakis 2006).
                waits = torch.empty(count, dtype=torch.float64).exponential_(generator=generator)
                order = torch.argsort(waits / self._rates(batch, block))[:limit]
            else:
                order = shuffled(draw, count, limit, self.seed)
            drawn[block] = order
        return drawn

    @torch.no_grad()
    def _rates(self, batch: Batch, block: str) -> Tensor:
        """Mean 1 rates at which the rows of all ranks are drawn."""
        own = getattr(self.residuals, block)(*batch.inputs[block]).abs().double()
        e = self.ranks.gather(own).cpu()
        relative = (e / e.mean(0).clamp_min(torch.finfo(e.dtype).tiny)).mean(1)
        return 1 - self.settings.importance_sampling + self.settings.importance_sampling * relative

    @torch.no_grad()
    def _rows(self, part: Batch, weights: Blocks) -> Blocks:
        """Weighted residual rows with the parameters as they are."""
        e = self.residuals(part.inputs)
        return {block: weights[block] * values for block, values in e.items()}

    def _position(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.parameters).detach()

    def _move(self, parameters: Tensor) -> None:
        nn.utils.vector_to_parameters(parameters, self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        state = {
            "damping": self.damping,
            "steps": self.steps,
            "drawn": self.drawn,
            "drawn_from": self.drawn_from,
            "last_step": self.last_step,
        }
        if self.settings.curvature_memory is not None:
            state["curvature"] = self.curvature.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.damping, self.steps = state["damping"], state["steps"]
        self.drawn = {block: order.cpu() for block, order in state["drawn"].items()}
        self.drawn_from = state["drawn_from"]
        self.last_step.copy_(state["last_step"])
        if self.settings.curvature_memory is not None:
            self.curvature.load_state_dict(state["curvature"])


def shuffled(draw: int, count: int, limit: int, seed: int) -> Tensor:
    """Numbers of the rows of a draw, at most `limit` of so many.

    Draws go through one random order of all rows after the other, so that every row is seen as
    often as any other, and a mean over some draws is nearly one over all rows. A draw that
    reaches into the next order may have a row twice.
    """
    limit = min(limit, count)
    turn, start = divmod(draw * limit, count)
    turns = (turn,) if start + limit <= count else (turn, turn + 1)
    orders = [
        torch.randperm(count, generator=torch.Generator().manual_seed(seed + SEEDS * (1 + each)))
        for each in turns
    ]
    return torch.cat(orders)[start : start + limit]


def _moved(rows: Blocks, jacobians: Jacobians, step: Tensor) -> Blocks:
    """Rows after a step, to first order."""
    return {block: values + jacobians[block].times(step) for block, values in rows.items()}


def _second_derivative(
    rows: Blocks, ahead: Blocks, jacobians: Jacobians, velocity: Tensor
) -> Blocks:
    """Second derivative of the rows along the velocity, from the rows a small way ahead."""
    here = _moved(rows, jacobians, PROBE * velocity)
    return {block: 2 / PROBE**2 * (ahead[block] - values) for block, values in here.items()}


def _sum_of_squares(rows: Blocks) -> Tensor:
    return torch.stack([values.square().sum() for values in rows.values()]).sum()
