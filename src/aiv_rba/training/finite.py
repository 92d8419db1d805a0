"""Refusal of numbers that are not finite, without a wait for the device at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from aiv_rba.errors import NotFinite
from aiv_rba.problem import Batch, Blocks
from aiv_rba.ranks.ddp import Ranks

Terms = Mapping[str, tuple[str, ...]]


class FiniteCheck:
    """The first residual of a training that is not a finite number.

    Every step notes it on the device; whoever wants to know asks whether it is there.

    Parameters
    ----------
    terms
        Names of the terms of each block.
    batch_of
        Gives the rows of a step once more.
    ranks
        This process among its peers.

    Attributes
    ----------
    record
        (3,) of this rank: step, counted from 0 and infinite if there is none; place of the residual
        among all those of the step; its value.
    """

    def __init__(self, terms: Terms, batch_of: Callable[[int], Batch], ranks: Ranks) -> None:
        self.terms = terms
        self.batch_of = batch_of
        self.ranks = ranks
        self.forget()

    def forget(self) -> None:
        """Start anew, as training does after it went back to a checkpoint."""
        self.record = torch.full((3,), math.inf, dtype=torch.float64, device=self.ranks.device)
        self.batch: Batch | None = None
        self.columns: dict[str, int] = {}

    def note(self, batch: Batch, residuals: Blocks) -> None:
        """Note the first of these residuals (n, terms) that is not finite, if there is one."""
        self.batch = batch
        self.columns = {block: e.shape[1] for block, e in residuals.items()}
        flat = torch.cat([e.detach().flatten() for e in residuals.values()]).double()
        if not len(flat):
            return
        place = (~flat.isfinite()).to(torch.uint8).argmax(keepdim=True)
        value = flat.gather(0, place)
        found = torch.cat([torch.full_like(value, batch.step), place.double(), value])
        self.record = torch.where(self.record[:1].isfinite() | value.isfinite(), self.record, found)

    @property
    def failed(self) -> torch.Tensor:
        """(1,) Whether there is one on this rank, as a number on the device."""
        return self.record[:1].isfinite().double()

    def failure(self) -> NotFinite:
        """What to raise for the first one of any rank; every rank calls this, and gets the same."""
        records = self.ranks.gather(self.record[None])
        rank = int(records[:, 0].argmin())
        step, place, value = records[rank].tolist()
        own = self._where(int(step), int(place), value) if rank == self.ranks.rank else ""
        return NotFinite(int(step) + 1, self.ranks.tell(own, rank))

    def _where(self, step: int, place: int, value: float) -> str:
        assert self.batch is not None
        # The rows follow from the step, but for those that an optimiser has drawn by itself: it
        # stops at the step that fails.
        batch = self.batch if self.batch.step == step else self.batch_of(step)
        for block, columns in self.columns.items():
            count = columns * len(batch.inputs[block][0])
            if place < count:
                break
            place -= count
        i, term = divmod(place, columns)
        point = ", ".join(f"{x:.5g}" for x in batch.inputs[block][0][i].tolist())
        name = self.terms[block][term]
        return (
            f"residual {name} is {value} in rank {self.ranks.rank}'s row "
            f"{int(batch.rows[block][i])} of {block}, at ({point}), nondimensional; expected a "
            "finite number"
        )


def check_parameters(network: nn.Module, step: int) -> None:
    """Refuse a network with a parameter that is not finite, so that it is never saved.

    Raises
    ------
    NotFinite
        Naming the parameter; all ranks have the same.
    """
    for name, values in network.named_parameters():
        if not values.isfinite().all():
            raise NotFinite(
                step,
                f"found a number in the network's {name} that is not finite, expected finite ones",
            )
