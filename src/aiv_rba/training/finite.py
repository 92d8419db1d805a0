"""Refusal of numbers that are not finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from aiv_rba.errors import NotFinite, ResidualNotFinite
from aiv_rba.problem import Batch, Blocks
from aiv_rba.ranks.ddp import Ranks


def check_residuals(
    batch: Batch,
    residuals: Blocks,
    terms: Mapping[str, tuple[str, ...]],
    ranks: Ranks,
    *,
    together: bool,
) -> None:
    """Refuse residuals of which one is not a finite number.

    Parameters
    ----------
    batch, residuals, terms
        The rows of a step, their residuals (n, terms) per block, and the names of the terms.
    ranks
        This process among its peers.
    together
        Whether all ranks stop for a residual of one of them, because they go back together.

    Raises
    ------
    NotFinite
        Naming step, term, row and point where it is a residual of this rank.
    """
    failure: NotFinite | None = _first_failure(batch, residuals, terms)
    if together:
        flag = torch.tensor([float(failure is not None)], device=ranks.device)
        if bool(ranks.max(flag)) and failure is None:
            failure = NotFinite(batch.step + 1, "a residual of another rank is not a finite number")
    if failure:
        raise failure


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


def _first_failure(
    batch: Batch, residuals: Blocks, terms: Mapping[str, tuple[str, ...]]
) -> ResidualNotFinite | None:
    """The first residual that is not a finite number: step, term, row on this rank, and point."""
    for block, e in residuals.items():
        finite = e.isfinite()
        if finite.all():
            continue
        i, term = (int(number) for number in (~finite).nonzero()[0])
        point = ", ".join(f"{x:.5g}" for x in batch.inputs[block][0][i].tolist())
        return ResidualNotFinite(
            batch.step + 1,
            f"residual {terms[block][term]} is {e[i, term].item()} in this "
            f"rank's row {int(batch.rows[block][i])} of {block}, at ({point}), nondimensional; "
            "expected a finite number",
        )
    return None
