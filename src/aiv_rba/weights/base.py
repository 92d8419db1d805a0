"""What the training loop asks of a weighting scheme."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from aiv_rba.problem import Batch, Blocks


class Weighting(ABC):
    """Multipliers lambda* of the residuals, one per row and term or one per term.

    Attributes
    ----------
    multipliers
        lambda of the blocks that have any, for the history and the pictures.
    state
        (owned rows, ...) tensors of this rank, which checkpoints join over all ranks.
    shared
        Tensors that are the same on every rank, which checkpoints keep.
    """

    def __init__(self) -> None:
        self.multipliers: Blocks = {}
        self.state: Blocks = {}
        self.shared: Blocks = {}

    @abstractmethod
    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Update the multipliers of the batch's rows from their residuals; every rank calls this.

        Parameters
        ----------
        batch
            Its points, and the numbers of its rows among the owned ones.
        residuals
            (n, terms) per block.

        Returns
        -------
        Blocks
            lambda*, (n, terms) per block, detached.
        """


class NoWeighting(Weighting):
    """All multipliers are one."""

    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Ones."""
        return {block: torch.ones_like(e) for block, e in residuals.items()}
