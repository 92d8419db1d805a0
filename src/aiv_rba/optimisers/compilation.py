"""Compiled residuals, where that is possible, for one number of rows in all steps."""

from __future__ import annotations

import os
import shutil
import sysconfig
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from aiv_rba.problem import Blocks

# Numbers of the widest layer, rows times neurons, that a core computes at a time, so that what one
# operation leaves for the next stays in its cache.
CACHED = 2**18


def compiled(
    residuals: nn.Module, lengths: Mapping[str, int] | None = None, *, cuda_graphs: bool = False
) -> nn.Module:
    """The module as one compiled graph, or as it is where torch.compile lacks something.

    Where the lengths are given, the graph on a CPU is that of a piece of the rows, and a step goes
    through it piece by piece.

    Parameters
    ----------
    residuals
        Residuals (n, terms) of each block from the rows of each block.
    lengths
        Rows of each block for which the graph is made. Where a step has fewer the last one is
        repeated, and the residuals of these are left out. None: as many as the first steps have.
    cuda_graphs
        Replay the kernels of a GPU as one CUDA graph.
    """
    missing = _missing(next(residuals.parameters()).device)
    if missing:
        warnings.warn(f"found no {missing}: training runs without torch.compile", stacklevel=2)
        return residuals
    if lengths is None:
        return cast(nn.Module, torch.compile(residuals))
    graph = torch.compile(residuals, dynamic=False, mode="reduce-overhead" if cuda_graphs else None)
    return _Padded(cast(nn.Module, graph), lengths, _pieces(residuals, sum(lengths.values())))


def _pieces(residuals: nn.Module, rows: int) -> int:
    """Pieces of about `CACHED` numbers in which a core takes so many rows; one on a GPU."""
    parameters = list(residuals.parameters())
    if parameters[0].device.type != "cpu":
        return 1
    widest = max(size for parameter in parameters for size in parameter.shape)
    return max(1, round(rows * widest / CACHED))


def _missing(device: torch.device) -> str | None:
    """What torch.compile needs for this device, and this machine lacks, if anything.

    Torch compiles C++ for a processor, and Triton C for a GPU, both against the header of Python.
    """
    if device.type == "cuda":
        language, variable, names = "C", "CC", ["gcc", "clang"]
    else:
        language, variable, names = "C++", "CXX", ["g++"]
    if variable in os.environ:
        names = [os.environ[variable]]
    if not any(map(shutil.which, names)):
        return f"{language} compiler ({' or '.join(names)})"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return None if header.is_file() else f"{header}, which comes with Python's development files"


class _Padded(nn.Module):
    """Residuals of so many rows in every step, of which only the real ones are seen outside.

    All pieces have equally many rows of each block. A block without any row stays so.
    """

    def __init__(self, graph: nn.Module, lengths: Mapping[str, int], pieces: int) -> None:
        super().__init__()
        self.graph = graph
        self.lengths = {block: -(-rows // pieces) * pieces for block, rows in lengths.items()}
        self.pieces = pieces

    def forward(self, inputs: dict[str, tuple[Tensor, ...]]) -> Blocks:
        """Residuals (n, terms) of each block."""
        cut = {
            block: [
                _padded(tensor, self.lengths[block]).tensor_split(self.pieces) for tensor in rows
            ]
            for block, rows in inputs.items()
        }
        found: list[Blocks] = [
            self.graph({block: tuple(rows[piece] for rows in each) for block, each in cut.items()})
            for piece in range(self.pieces)
        ]
        return {
            block: torch.cat([residuals[block] for residuals in found])[: len(rows[0])]
            for block, rows in inputs.items()
        }


def _padded(rows: Tensor, length: int) -> Tensor:
    missing = length - len(rows)
    if missing <= 0 or not len(rows):
        return rows
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
