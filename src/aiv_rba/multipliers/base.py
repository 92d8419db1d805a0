"""What the training loop asks of a scheme of multipliers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch

from aiv_rba.errors import UserError
from aiv_rba.problem import Batch, Blocks


class MultiplierScheme(ABC):
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


class ConstantMultipliers(MultiplierScheme):
    """All multipliers are one."""

    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Ones."""
        return {block: torch.ones_like(e) for block, e in residuals.items()}


def check_blocks(key: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a setting of a block of loss terms that the problem does not have.

    Raises
    ------
    UserError
        Naming the key, the block and the known ones.
    """
    known = list(known)
    for block in asked:
        if block not in known:
            raise UserError(
                f"multipliers.{key}: found {block!r}, expected some of {', '.join(known)}"
            )
