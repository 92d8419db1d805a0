"""From the launch environment to a process group, and the few reductions that training needs."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from threadpoolctl import threadpool_limits
from torch import Tensor

from aiv_rba.errors import Interrupted, LostRank, UserError, first_line
from aiv_rba.ranks.environment import find_address, find_rank, find_threads
from aiv_rba.ranks.failures import Failures
from aiv_rba.ranks.meeting import agree_on_devices, meet, own_device
from aiv_rba.settings.ranks import Device, TimeoutSettings

# Seconds that NCCL has to give up its collectives when a process ends.
TIME_TO_ABORT = 10.0


@dataclass(frozen=True)
class Ranks:
    """This process among its peers."""

    rank: int
    size: int
    device: torch.device
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)

    @property
    def alone(self) -> bool:
        """Whether there is nobody to meet."""
        return self.size == 1

    def share(self, count: int) -> slice:
        """Contiguous share of `count` items that this rank owns.

        All shares are of one length, but the last ones may be shorter or empty.
        """
        length = self.longest_share(count)
        return slice(min(count, length * self.rank), min(count, length * (self.rank + 1)))

    def longest_share(self, count: int) -> int:
        """Length of the shares of `count` items but the last ones, which may be shorter."""
        return -(-count // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over ranks, in place."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def max(self, tensor: Tensor) -> Tensor:
        """Maximum over ranks, in place."""
        return self._reduced(tensor, dist.ReduceOp.MAX)

    def min(self, tensor: Tensor) -> Tensor:
        """Minimum over ranks."""
        return -self.max(-tensor)

    def _reduced(self, tensor: Tensor, op: dist.ReduceOp.RedOpType) -> Tensor:
        if self.alone:
            return tensor
        # NCCL refuses a tensor that is not contiguous, such as the transpose of one.
        whole = tensor.contiguous()
        dist.all_reduce(whole, op=op)
        return tensor.copy_(whole)

    def wait(self) -> None:
        """Wait until every rank has come here."""
        if not self.alone:
            dist.barrier()

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Wait for each other as long as compilation may take; afterwards, as long as a step may.

        All ranks leave together, so that compilation on another one counts toward no step.
        """
        self._wait_at_most(self.timeouts.compile_minutes)
        yield
        self.wait()
        self._wait_at_most(self.timeouts.step_minutes)

    def _wait_at_most(self, minutes: float) -> None:
        if not self.alone:
            _world().set_timeout(timedelta(minutes=minutes))

    def tell(self, text: str, rank: int) -> str:
        """The text of one rank, on every rank."""
        told = [text]
        if not self.alone:
            dist.broadcast_object_list(told, src=rank)
        return told[0]

    def exchange(self, sent: Tensor, sizes: list[int], received: list[int]) -> Tensor:
        """Send the next so many elements to each rank; what came from each, one after the other."""
        if self.alone:
            return sent
        found = sent.new_empty(sum(received))
        dist.all_to_all_single(found, sent, received, sizes)
        return found

    def broadcast(self, tensor: Tensor, source: int) -> dist.Work:
        """Start to give a tensor of the rank `source` to all, in place."""
        work: dist.Work = dist.broadcast(tensor, source, async_op=True)
        return work

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the ranks' tensors, of any lengths, along the first axis, on every rank."""
        if self.alone:
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
    threads = find_threads(environment) or torch.get_num_threads()
    torch.set_num_threads(threads)
    threadpool_limits(threads)


@contextmanager
def process_group(
    wanted: Device = "auto",
    timeouts: TimeoutSettings | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Ranks]:
    """Join the process group that the launcher describes: NCCL on GPUs, gloo on cores.

    If this rank fails, the others are told why before the group ends.

    Raises
    ------
    UserError
        If the environment does not fit, a GPU or an address is missing, or another rank fails or is
        lost.
    """
    timeouts = timeouts or TimeoutSettings()
    rank, size, local = find_rank(environment)
    _limit_threads(environment)
    if size == 1:
        yield Ranks(0, 1, own_device(wanted, local), timeouts)
        return
    address = find_address(environment, size)
    store = meet(rank, size, address, timedelta(minutes=timeouts.join_minutes))
    device = agree_on_devices(store, rank, size, local, wanted)
    failures = Failures(store, rank, size)
    try:
        with failures.watched():
            on_gpu = device.type == "cuda"
            dist.init_process_group(
                "nccl" if on_gpu else "gloo",
                store=store,
                rank=rank,
                world_size=size,
                timeout=timedelta(minutes=timeouts.compile_minutes),
                device_id=device if on_gpu else None,
            )
            yield Ranks(rank, size, device, timeouts)
    except Interrupted:
        # All ranks stop at the same step.
        _finish(failures, timeouts)
        raise
    except BaseException as error:
        reason = _consequence(error, failures, rank) or error
        # A signal reaches all ranks.
        if not isinstance(reason, KeyboardInterrupt):
            failures.tell(reason)
        _leave(device)
        if reason is error:
            raise
        raise reason from error
    else:
        _finish(failures, timeouts)


def _finish(failures: Failures, timeouts: TimeoutSettings) -> None:
    failures.finish(60 * timeouts.step_minutes)
    dist.destroy_process_group()


def _consequence(error: BaseException, failures: Failures, rank: int) -> UserError | None:
    """What an error means that follows from the failure of another rank; nothing for any other."""
    # Gloo raises plain RuntimeErrors that name it.
    lost = isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )
    # A launcher ends all ranks when one of them fails.
    if not lost and not isinstance(error, KeyboardInterrupt):
        return None
    cause = failures.hear()
    if cause is not None:
        return UserError(f"rank {rank} ends, because {cause}")
    if lost:
        return LostRank(f"rank {rank} lost contact with another rank: {first_line(error)}")
    return None


def _leave(device: torch.device) -> None:
    """Leave the group after a failure, which gloo's peers see at once.

    NCCL waits for collectives that will not come, or blocks in giving them up. The group is then
    left until the process ends, so that the error is told before.
    """
    if not dist.is_initialized():
        return
    if device.type == "cuda":
        atexit.register(_abort)
    else:
        dist.destroy_process_group()


def _abort() -> None:
    end = threading.Timer(TIME_TO_ABORT, os._exit, (1,))
    end.daemon = True
    end.start()
    _world().abort()


def _world() -> dist.ProcessGroup:
    world = dist.group.WORLD
    assert world is not None
    return world
