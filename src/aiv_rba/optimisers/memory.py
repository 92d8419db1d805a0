"""How many parts a step must be taken in to fit into memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aiv_rba.problem import Batch, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.ranks.memory import memory_of

# Rows of each block on which the need is measured, and what a step needs over what the backward
# pass keeps: gradients, and results on their way.
PROBE, WORKSPACE = 64, 2.0
# Part of the memory of a rank that a step may take.
SHARE = 0.5


def parts_that_fit(residuals: Residuals, batch: Batch, ranks: Ranks) -> int:
    """Parts in which a step like this one fits into the memory of every rank.

    Every rank calls this, and all get the same.
    """
    parts = WORKSPACE * bytes_kept(residuals, batch) / (SHARE * memory_of(ranks))
    most = ranks.max(torch.tensor([parts], dtype=torch.float64, device=ranks.device))
    return max(1, math.ceil(float(most)))


def bytes_kept(residuals: Residuals, batch: Batch) -> float:
    """Bytes that the backward pass of these rows keeps, not compiled; found from a few of them."""
    whole = 0.0
    for block, tensors in batch.inputs.items():
        count = len(tensors[0])
        few = min(PROBE, count)
        half = few // 2
        if few:
            more, less = (
                _kept(residuals, {block: tuple(t[:rows] for t in tensors)}) for rows in (few, half)
            )
            # The difference leaves out what does not depend on rows, such as parameters.
            whole += (more - less) / (few - half) * count
    return whole


def _kept(residuals: Residuals, inputs: dict[str, tuple[Tensor, ...]]) -> int:
    storages: dict[int, int] = {}
    kept: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        # Memory that is given back meanwhile would be counted once for all that lay there.
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        residuals(inputs)
    return sum(storages.values())
