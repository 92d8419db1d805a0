"""From the launch environment to a process group, and the few reductions that training needs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from aiv_rba.errors import RankError, UserError
from aiv_rba.ranks.environment import find_rank

# How long to wait for the other ranks to join, and for one of them within a step.
JOIN_TIMEOUT = timedelta(minutes=2)
STEP_TIMEOUT = timedelta(minutes=5)
# How long other ranks wait for the first one to print an error that all of them meet.
TIME_TO_PRINT = 10.0


@dataclass(frozen=True)
class Ranks:
    """This process among its peers."""

    rank: int
    size: int
    device: torch.device

    def share(self, count: int) -> slice:
        """Contiguous share of `count` items that this rank owns.

        All shares are of one length, but the last ones may be shorter or empty.
        """
        length = self.longest_share(count)
        return slice(min(count, length * self.rank), min(count, length * (self.rank + 1)))

    def longest_share(self, count: int) -> int:
        """Length of the shares of `count` items but the last ones, which may be shorter."""
        return -(-count // self.size)

    def first_row(self, own: int) -> int:
        """Number of this rank's first row among the rows of all ranks, where it has `own` rows."""
        counts = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        counts[self.rank] = own
        return int(self.sum(counts)[: self.rank].sum())

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def max(self, tensor: Tensor) -> Tensor:
        """Maximum over ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor

    def min(self, tensor: Tensor) -> Tensor:
        """Minimum over ranks."""
        return -self.max(-tensor)

    def wait(self) -> None:
        """Wait until every rank has come here."""
        if self.size > 1:
            dist.barrier()

    def tell(self, text: str, rank: int) -> str:
        """The text of one rank, on every rank."""
        told = [text]
        if self.size > 1:
            dist.broadcast_object_list(told, src=rank)
        return told[0]

    def exchange(self, sent: Tensor, sizes: list[int], received: list[int]) -> Tensor:
        """Send the next so many elements to each rank; what came from each, one after the other."""
        if self.size == 1:
            return sent
        found = sent.new_zeros(sum(received))
        dist.all_to_all_single(found, sent, received, sizes)
        return found

    def broadcast(self, tensor: Tensor, source: int) -> dist.Work:
        """Start to give a tensor of the rank `source` to all, in place."""
        work: dist.Work = dist.broadcast(tensor, source, async_op=True)
        return work

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the ranks' tensors, of any lengths, along the first axis, on every rank."""
        if self.size == 1:
            return tensor
        lengths = [
            torch.zeros(1, dtype=torch.int64, device=tensor.device) for _ in range(self.size)
        ]
        dist.all_gather(lengths, torch.tensor([len(tensor)], device=tensor.device))
        longest = int(max(int(length) for length in lengths))
        padded = tensor.new_zeros(longest, *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.cat([part[: int(n)] for part, n in zip(parts, lengths, strict=True)])


def _limit_threads(environment: Mapping[str, str]) -> None:
    """Give every thread pool of this rank OMP_NUM_THREADS threads, where that is set.

    A workflow engine may set MKL_NUM_THREADS and its like to all cores of the job, and torch
    prefers them: ranks would then fight for the cores.
    """
    wanted = environment.get("OMP_NUM_THREADS", str(torch.get_num_threads()))
    if not wanted.isdecimal() or int(wanted) < 1:
        raise UserError(f"OMP_NUM_THREADS: found {wanted!r}, expected a whole number from 1")
    torch.set_num_threads(int(wanted))
    threadpool_limits(int(wanted))


def _join(rank: int, size: int, device: torch.device, address: str) -> None:
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        store, _, _ = next(rendezvous("env://", rank, size, timeout=JOIN_TIMEOUT))
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=STEP_TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RankError(
            f"rank {rank} of {size} could not join the others at {address} within "
            f"{JOIN_TIMEOUT.seconds} s: {reason}"
        ) from error


def leave_error_to_first_rank(
    error: UserError, environment: Mapping[str, str] = os.environ
) -> bool:
    """Whether this rank leaves it to the first one to print an error that all ranks meet.

    If so, it waits ten seconds before it returns: a launcher ends all ranks when one of them stops,
    and the first one must have printed by then.
    """
    try:
        rank, _, _ = find_rank(environment)
    except UserError:
        return False
    if rank == 0 or isinstance(error, RankError):
        return False
    # The launcher's signal may come as an interrupt.
    with suppress(KeyboardInterrupt):
        time.sleep(TIME_TO_PRINT)
    return True


@contextmanager
def process_group(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Join the process group that the launcher describes: NCCL on GPUs, gloo on CPUs.

    Raises
    ------
    UserError
        If the environment does not fit, a GPU or an address is missing, or another rank is lost.
    """
    rank, size, local = find_rank(environment)
    _limit_threads(environment)
    device = torch.device("cpu")
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise RankError(
                f"launch environment: local rank {local} needs GPU {local}, "
                f"found {torch.cuda.device_count()} GPUs on this node"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if size == 1:
        yield Ranks(0, 1, device)
        return
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in environment:
            raise UserError(f"launch environment: {name} is not set, needed for {size} ranks")
    _join(rank, size, device, f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}")
    try:
        yield Ranks(rank, size, device)
    except RuntimeError as error:
        # Gloo raises plain RuntimeErrors that name it.
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            reason = str(error).splitlines()[0]
            raise RankError(f"rank {rank} lost contact with another rank: {reason}") from error
        raise
    finally:
        dist.destroy_process_group()
