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


def compiled(
    residuals: nn.Module, lengths: Mapping[str, int] | None = None, *, cuda_graphs: bool = False
) -> nn.Module:
    """The module as one compiled graph, or as it is where torch.compile lacks something.

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
    return _Padded(cast(nn.Module, graph), lengths)


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

    A block without any row stays so.
    """

    def __init__(self, residuals: nn.Module, lengths: Mapping[str, int]) -> None:
        super().__init__()
        self.residuals = residuals
        self.lengths = lengths

    def forward(self, inputs: dict[str, tuple[Tensor, ...]]) -> Blocks:
        """Residuals (n, terms) of each block."""
        padded = {
            block: tuple(_padded(tensor, self.lengths[block]) for tensor in tensors)
            for block, tensors in inputs.items()
        }
        found: Blocks = self.residuals(padded)
        return {block: e[: len(inputs[block][0])] for block, e in found.items()}


def _padded(rows: Tensor, length: int) -> Tensor:
    missing = length - len(rows)
    if missing <= 0 or not len(rows):
        return rows
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
