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


class TailAverage:
    """Parameters of the last steps.

    Parameters
    ----------
    parameters
        Those of the network.
    steps
        Number of steps to average over, at most a quarter of all; 0 for none.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], steps: int) -> None:
        self.parameters = list(parameters)
        self.steps = steps
        self.last = nn.utils.parameters_to_vector(self.parameters).detach().new_empty(0)

    def note(self) -> None:
        """Keep the parameters after a step."""
        if self.steps:
            now = nn.utils.parameters_to_vector(self.parameters).detach()
            self.last = torch.cat([self.last.view(-1, len(now)), now[None]])[-self.steps :]

    def apply(self, done: int) -> None:
        """Give the parameters their mean, after so many steps of training."""
        tail = self.last[-min(self.steps, max(done // PART, 1)) :]
        if len(tail):
            nn.utils.vector_to_parameters(tail.mean(0), self.parameters)
