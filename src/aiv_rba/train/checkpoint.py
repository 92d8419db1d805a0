"""Checkpoints: everything that a run needs to go on as if it had not stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.nn.model_file import load_plain
from aiv_rba.parallel.ddp import Ranks
from aiv_rba.store import FORMAT_VERSION, atomic_path
from aiv_rba.weights import Blocks

FORMAT = "aiv_rba/checkpoint"
KEEP = 2


def save(
    folder: Path, step: int, content: dict[str, Any], multipliers: Blocks, ranks: Ranks
) -> None:
    """Write the checkpoint of a step and remove all but the last ones.

    Multipliers are gathered, so that a run can resume with another number of ranks.
    """
    whole = {block: ranks.gather(values) for block, values in multipliers.items()}
    if ranks.rank == 0:
        header = {"format": FORMAT, "version": FORMAT_VERSION, "step": step, "multipliers": whole}
        with atomic_path(folder / f"step_{step:08d}.pt") as temporary:
            torch.save(header | content, temporary)
        for old in _newest_first(folder)[KEEP:]:
            old.unlink()


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint; a damaged one is passed over with a line on stderr."""
    for path in _newest_first(folder):
        try:
            return load_plain(path, FORMAT)
        except UserError as error:
            print(f"aiv-rba train: {error}; trying the checkpoint before", file=sys.stderr)
    return None


def own_multipliers(whole: Blocks, own: Blocks, ranks: Ranks) -> None:
    """Copy this rank's part of the gathered multipliers."""
    for block, values in own.items():
        saved: Tensor = whole[block]
        values.copy_(saved[ranks.share(len(saved))])


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.pt"), reverse=True)
