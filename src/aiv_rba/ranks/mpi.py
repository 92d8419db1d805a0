"""MPI for collocation: rank ranges and the abort hook."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiv_rba.errors import UserError


@dataclass(frozen=True)
class Processes:
    """This process among those that mpiexec started."""

    rank: int
    size: int
    comm: Any

    def share(self, count: int) -> slice:
        """Contiguous share of `count` items that this rank owns."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def every(self, own: Any) -> list[Any]:
        """What every rank gives, in their order, on every rank."""
        return [own] if self.size == 1 else list(self.comm.allgather(own))

    def join(self, own: np.ndarray) -> np.ndarray:
        """Concatenate every rank's array along the first axis, on every rank."""
        return own if self.size == 1 else np.concatenate(self.every(own))

    def shared(self, function: Callable[[Any], Any], points: np.ndarray) -> np.ndarray:
        """Values of a function at points, on every rank; each computes those of its share."""
        return self.join(function(points[self.share(len(points))]))


@contextmanager
def processes(stage: str) -> Iterator[Processes]:
    """The processes of this run; one where no MPI library is found.

    An exception on any rank ends all of them with its message: the others would wait for it for
    ever.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):
        yield Processes(0, 1, None)
        return
    comm = MPI.COMM_WORLD
    group = Processes(comm.Get_rank(), comm.Get_size(), comm)
    if group.size == 1:
        yield group
        return
    try:
        yield group
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            # A signal reaches all processes; what it was is said once.
            if group.rank == 0:
                print(f"aiv-rba {stage}: ended by {error}; run it again", file=sys.stderr)
            comm.Abort(75)
        if isinstance(error, UserError):
            for line in error.lines:
                print(f"aiv-rba {stage}: error: {line}", file=sys.stderr, flush=True)
        else:
            traceback.print_exc()
        comm.Abort(2)
