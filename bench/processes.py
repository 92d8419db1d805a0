"""Processes that are each other's ranks, started from a bench."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True)
class Place:
    """Of a process among its peers."""

    rank: int
    size: int
    port: int

    def join(self) -> None:
        """Let this process be found by the others, as a launcher does."""
        os.environ |= {"RANK": str(self.rank), "LOCAL_RANK": str(self.rank)}
        os.environ |= {"WORLD_SIZE": str(self.size)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.port)}


def start(
    size: int, work: Callable[..., None], given: tuple[Any, ...], processes: ExitStack
) -> list[Connection]:
    """Start so many processes, to be killed when the context ends; pipes to them.

    Each calls `work` with its `Place`, its end of the pipe, and what is given.
    """
    context = get_context("spawn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pipes = []
    for rank in range(size):
        here, there = context.Pipe()
        process = context.Process(target=work, args=(Place(rank, size, port), there, *given))
        process.start()
        # The rank alone has its end, so that it is noticed when it dies.
        there.close()
        # A training would take SIGTERM for a wish to stop after the step.
        processes.callback(process.join)
        processes.callback(process.kill)
        pipes.append(here)
    return pipes
