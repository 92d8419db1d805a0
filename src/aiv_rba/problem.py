"""What the training loop asks of a problem: network, residuals, and the rows of every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from aiv_rba.ranks.ddp import Ranks

Blocks = dict[str, Tensor]
"""A tensor (rows, terms) for each block of loss terms, such as no_slip, tracks, navier_stokes."""


@dataclass(frozen=True)
class Batch:
    """Rows of one step on this rank.

    Attributes
    ----------
    step
        Number of the step, from 0.
    inputs
        Arguments of each block's residuals, each (n, ...); the first are its points.
    rows
        (n,) numbers of the rows among the owned ones, per block: groups, or track rows.
    counts
        Rows of each block over all ranks.
    firsts
        Number of this rank's first row of each block among those of all ranks; 0 if left out.
    elapsed
        Steps since the rows of a block took part before, or since the first step, for blocks whose
        rows take turns; other blocks have one.
    """

    step: int
    inputs: dict[str, tuple[Tensor, ...]]
    rows: dict[str, Tensor]
    counts: dict[str, int]
    firsts: dict[str, int] = field(default_factory=dict)
    elapsed: dict[str, int] = field(default_factory=dict)

    def select(self, chosen: dict[str, Tensor], counts: dict[str, int]) -> Batch:
        """The given rows (numbers within this batch) of each block; `counts` over all ranks."""
        return Batch(
            self.step,
            {b: tuple(t[i] for t in self.inputs[b]) for b, i in chosen.items()},
            {b: self.rows[b][i] for b, i in chosen.items()},
            counts,
            elapsed=self.elapsed,
        )


class Residuals(nn.Module):
    """Residuals of a problem; a subclass has a method for each block, (n, ...) -> (n, terms).

    A subclass may compute blocks together in `forward`, which gives the same.
    """

    terms: Mapping[str, tuple[str, ...]]
    """Names of the terms of each block, which name loss terms in the history."""
    governing: str
    """The block of the differential equations; the others are data and conditions."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: dict[str, tuple[Tensor, ...]]) -> Blocks:
        """Residuals (n, terms) of each block."""
        return {block: getattr(self, block)(*tensors) for block, tensors in inputs.items()}


class Problem(Protocol):
    """A network to be trained, and on what."""

    residuals: Residuals
    ranks: Ranks
    """This process among its peers, and the device on which the problem is."""
    weights: dict[str, list[float]]
    """Global weight of each term of each block."""
    sizes: dict[str, tuple[int, int]]
    """Owned rows and terms of the blocks whose rows have multipliers."""
    lengths: dict[str, int]
    """Most rows of each block in a step of any rank; a graph is compiled for so many."""
    state: dict[str, Tensor]
    """What `factors` remembers from step to step, the same on every rank; checkpoints keep it."""
    time_span: tuple[float, float] | None
    """First and last time of a problem with an initial state; None for others."""

    def batch(self, step: int) -> Batch:
        """The rows of one step; a function of the step alone, so a run can resume anywhere."""
        ...

    def factors(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Further factors (n, terms) of the residuals of some blocks, detached."""
        ...

    def adapt(self, step: int, history: Sequence[dict[str, float]]) -> dict[str, float]:
        """Adapt the global weights to the state of the training; what was found, for the history.

        Every rank calls this, for every new row of the history, with the number of steps done.
        """
        ...

    def errors(self) -> dict[str, float]:
        """Measures of success for the history; every rank calls this."""
        ...
