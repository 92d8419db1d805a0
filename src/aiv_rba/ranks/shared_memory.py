"""Memory of every rank that all ranks of one machine read and write, without sending it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from aiv_rba.ranks.ddp import Ranks


def shared_memory(rows: int, columns: int, like: Tensor, ranks: Ranks) -> list[Tensor]:
    """A matrix of zeros for every rank; all ranks call this.

    There is none for a single rank, for ranks that do not see each other's memory, since they are
    on several machines or in containers of their own, on GPUs, and outside Linux.

    Parameters
    ----------
    rows, columns
        Shape.
    like
        A tensor of the wanted precision on the wanted device.
    ranks
        Among which the memory is shared.
    """
    if ranks.alone or like.device.type != "cpu":
        return []
    token = secrets.randbits(63)
    size, dtype = rows * columns, like.dtype
    with _anonymous_file(_name(token), size * like.element_size()) as file:
        places = ranks.gather(torch.tensor([[os.getpid(), file, token]]))
        paths = [_path(*place) for place in places.tolist()]
        if not ranks.min(torch.tensor(all(paths)).int()):
            return []
        matrices = [torch.from_file(str(p), shared=True, size=size, dtype=dtype) for p in paths]
        # The others open this file, too.
        ranks.wait()
    return [matrix.view(rows, columns) for matrix in matrices]


@contextmanager
def _anonymous_file(name: str, size: int) -> Iterator[int]:
    """Number of a file of so many zero bytes in memory; -1 if the system cannot make one.

    Its memory is free when no process has it any more, however they end, and the small /dev/shm of
    a container does not limit it.
    """
    try:
        file = os.memfd_create(name)
    except (AttributeError, OSError):
        yield -1
        return
    try:
        os.ftruncate(file, size)
        yield file
    finally:
        os.close(file)


def _name(token: int) -> str:
    return f"aiv_rba-{token}"


def _path(process: int, file: int, token: int) -> Path | None:
    """Where this process finds an anonymous file of another one, if it does.

    Another machine or container may have another file at this place, which has another name.
    """
    path = Path(f"/proc/{process}/fd/{file}")
    try:
        name = str(path.readlink())
    except OSError:
        return None
    return path if name == f"/memfd:{_name(token)} (deleted)" else None
