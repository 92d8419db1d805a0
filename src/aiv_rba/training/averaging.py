"""The mean of the parameters over the last steps.

Steps that draw other rows scatter about the optimum; their mean is nearer to it (Polyak & Juditsky
1992).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

# Largest part of all steps that is averaged: while the loss still falls, old steps only harm.
PART = 4
# A loss so many times the median of the last steps is a step that went wrong. Training recovers
# from it within a few more, but a mean that counts it does not.
SPIKE = 3.0


class TailAverage:
    """Parameters of the last steps.

    Parameters
    ----------
    parameters
        Those of the network.
    steps
        Number of steps to average over, at most a quarter of all; 0 for none.

    Attributes
    ----------
    last
        Parameters after the last steps, one more than are averaged.
    losses
        What each of these steps found the loss to be, which is that of the parameters before it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], steps: int) -> None:
        self.parameters = list(parameters)
        self.steps = steps
        self.last = nn.utils.parameters_to_vector(self.parameters).detach().new_empty(0)
        self.losses = self.last.new_empty(0, dtype=torch.float64)

    def note(self, loss: float) -> None:
        """Keep the parameters after a step, and the loss that it found before."""
        now = nn.utils.parameters_to_vector(self.parameters).detach()
        kept = self.steps + 1
        self.last = torch.cat([self.last.view(-1, len(now)), now[None]])[-kept:]
        self.losses = torch.cat([self.losses, self.losses.new_tensor([loss])])[-kept:]

    def apply(self, done: int) -> None:
        """Give the parameters their mean, after so many steps of training.

        The last ones are left out, since no step has found their loss, and so are those whose loss
        is far above the median. After a single step the parameters stay as they are.
        """
        count = min(self.steps, max(done // PART, 1), len(self.losses) - 1)
        if count < 1:
            return
        tail, losses = self.last[-1 - count : -1], self.losses[-count:]
        usual = losses <= SPIKE * losses.median()
        nn.utils.vector_to_parameters(tail[usual].mean(0), self.parameters)
