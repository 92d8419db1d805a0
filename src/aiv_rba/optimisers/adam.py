"""Adam with exponential decay of the learning rate, data-parallel."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from aiv_rba.optimisers.base import Weigh
from aiv_rba.problem import Batch, Blocks
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings


class Adam:
    """First-order steps on the weighted residual rows, `scale` times as long as settings ask.

    Nothing in a step waits for the device, and ranks meet once, to add up their gradients:
    DistributedDataParallel would meet twice to find parameters without a gradient, such as the
    output bias where all residuals are derivatives, and cannot add up parts if it is told that they
    are the same in every step.

    Parameters
    ----------
    forward
        The residuals, perhaps compiled.
    parts
        Parts in which the rows of a step are taken, if they do not fit into memory together. They
        are then evaluated once more, without gradients, since multipliers may depend on all of
        them: the largest residual, for one. This costs about a third of the time.
    """

    def __init__(
        self,
        settings: AdamSettings,
        forward: nn.Module,
        ranks: Ranks,
        scale: float = 1.0,
        parts: int = 1,
    ) -> None:
        self.settings = settings
        self.forward = forward
        self.scale = scale
        self.ranks = ranks
        self.parts = parts
        parameters = list(forward.parameters())
        # Gradients of all parameters in one piece, which is reduced where it lies.
        self.gradient = torch.zeros_like(nn.utils.parameters_to_vector(parameters).detach())
        pieces = torch.split(self.gradient, [p.numel() for p in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)
        self.adam = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)
        decays = math.log(settings.final_learning_rate / settings.learning_rate)
        decays /= math.log(settings.decay)
        self.interval = settings.iterations / max(decays, 1e-12)
        self.steps = 0

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        decays = int(self.steps // self.interval)
        return float(self.scale * self.settings.learning_rate * self.settings.decay**decays)

    @property
    def diagnostics(self) -> dict[str, float]:
        """Learning rate, for the history."""
        return {"learning_rate": self.learning_rate}

    def step(self, batch: Batch, weigh: Weigh) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate
        self.gradient.zero_()
        rows = self._in_parts(batch, weigh) if self.parts > 1 else self._at_once(batch, weigh)
        self.ranks.sum(self.gradient)
        self.adam.step()
        self.steps += 1
        return rows

    def _at_once(self, batch: Batch, weigh: Weigh) -> Blocks:
        e: Blocks = self.forward(batch.inputs)
        return self._add_gradient(e, weigh(batch, e))

    def _in_parts(self, batch: Batch, weigh: Weigh) -> Blocks:
        parts = [
            {
                block: tuple(tensor.tensor_split(self.parts)[part] for tensor in tensors)
                for block, tensors in batch.inputs.items()
            }
            for part in range(self.parts)
        ]
        with torch.no_grad():
            # Copies, since a CUDA graph gives its results in the same memory every time.
            e = _joined([_clones(self.forward(inputs)) for inputs in parts])
        weights = {b: values.tensor_split(self.parts) for b, values in weigh(batch, e).items()}
        rows = [
            self._add_gradient(
                self.forward(inputs), {block: values[part] for block, values in weights.items()}
            )
            for part, inputs in enumerate(parts)
        ]
        return _joined(rows)

    def _add_gradient(self, e: Blocks, weights: Blocks) -> Blocks:
        """Add the gradient of the sum of squares of weighted residuals; these, detached."""
        rows = {block: weights[block] * values for block, values in e.items()}
        loss = torch.stack([values.square().sum() for values in rows.values()]).sum()
        torch.autograd.backward(loss)
        return {block: values.detach() for block, values in rows.items()}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"adam": self.adam.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.adam.load_state_dict(state["adam"])
        self.steps = state["steps"]


def _clones(blocks: Blocks) -> Blocks:
    return {block: values.clone() for block, values in blocks.items()}


def _joined(parts: list[Blocks]) -> Blocks:
    return {block: torch.cat([part[block] for part in parts]) for block in parts[0]}
