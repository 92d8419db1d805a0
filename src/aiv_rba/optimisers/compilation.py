"""Compiled residuals, where that is possible."""

from __future__ import annotations

import shutil
import warnings
from typing import cast

import torch
from torch import nn


def compiled(residuals: nn.Module) -> nn.Module:
    """The module as one compiled graph, or as it is where no C++ compiler is present."""
    if shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"):
        return cast(nn.Module, torch.compile(residuals))
    warnings.warn("no C++ compiler found: training runs without torch.compile", stacklevel=2)
    return residuals
