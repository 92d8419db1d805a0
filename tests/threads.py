"""Ranks that are threads of this process: cheap, and it is counted how often they meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from aiv_rba.ranks.ddp import Ranks

Found = TypeVar("Found")


class Meeting:
    """Where the threads put what they exchange."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=60)
        self.brought: list[Any] = [None] * size

    def exchange(self, rank: int, own: Any) -> list[Any]:
        """What every rank has brought."""
        self.brought[rank] = own.clone() if isinstance(own, Tensor) else own
        self.barrier.wait()
        everything = list(self.brought)
        self.barrier.wait()
        return everything


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    """A rank among threads; `met` names the collectives that it took part in."""

    meeting: Meeting = field(kw_only=True)
    met: list[str] = field(default_factory=list, kw_only=True)

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor.copy_(torch.stack(self._meet("sum", tensor)).sum(0))

    def max(self, tensor: Tensor) -> Tensor:
        return tensor.copy_(torch.stack(self._meet("max", tensor)).amax(0))

    def gather(self, tensor: Tensor) -> Tensor:
        return torch.cat(self._meet("gather", tensor))

    def tell(self, text: str, rank: int) -> str:
        return str(self._meet("tell", text)[rank])

    def wait(self) -> None:
        self._meet("wait", None)

    def _meet(self, name: str, own: Any) -> list[Any]:
        self.met.append(name)
        return self.meeting.exchange(self.rank, own)


def on_ranks(size: int, work: Callable[[ThreadRanks], Found]) -> list[Found]:
    """What the work of every rank returns; the first error of one of them ends it."""
    meeting = Meeting(size)

    def one(rank: int) -> Found:
        try:
            return work(ThreadRanks(rank, size, torch.device("cpu"), meeting=meeting))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as threads:
        futures = [threads.submit(one, rank) for rank in range(size)]
    errors = [f.exception() for f in futures if f.exception()]
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]
