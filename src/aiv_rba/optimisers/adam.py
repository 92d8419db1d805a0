"""Adam with exponential decay of the learning rate, data-parallel."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from aiv_rba.optimisers.compilation import compiled
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings


def distributed(residuals: Residuals, ranks: Ranks, *, compile: bool) -> nn.Module:
    """Residuals whose gradients DistributedDataParallel averages over ranks.

    Wrap them only once in a training: the hooks of an earlier wrapper would still reduce
    gradients until Python collects it.
    """
    forward = compiled(residuals) if compile else residuals
    if ranks.size == 1:
        return forward
    with warnings.catch_warnings():
        # The successor that is recommended synchronises buffers at the start, this one never.
        warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
        # Residuals of derivatives alone give the output bias no gradient: without
        # find_unused_parameters DDP would silently skip the reduction.
        return DistributedDataParallel(
            forward, find_unused_parameters=True, broadcast_buffers=False
        )


class Adam:
    """First-order steps on the weighted residual rows, `scale` times as long as settings ask.

    `forward` is what `distributed` makes of the residuals.
    """

    def __init__(
        self, settings: AdamSettings, forward: nn.Module, ranks: Ranks, scale: float = 1.0
    ) -> None:
        self.settings = settings
        self.forward = forward
        self.scale = scale
        self.ranks = ranks
        self.adam: torch.optim.Optimizer = torch.optim.Adam(
            forward.parameters(), lr=settings.learning_rate
        )
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

    def step(self, batch: Batch, weigh: Callable[[Batch, Blocks], Blocks]) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate
        self.adam.zero_grad()
        e: Blocks = self.forward(batch.inputs)
        weights = weigh(batch, e)
        rows = {block: weights[block] * values for block, values in e.items()}
        loss = torch.stack([values.square().sum() for values in rows.values()]).sum()
        # DDP averages gradients over ranks; the rows are normalised to be summed.
        torch.autograd.backward(loss * self.ranks.size)
        self.adam.step()
        self.steps += 1
        return rows

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"adam": self.adam.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.adam.load_state_dict(state["adam"])
        self.steps = state["steps"]
