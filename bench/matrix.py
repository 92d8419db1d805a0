"""The curvature matrix of Gauss-Newton on several ranks that share memory, and on ranks that send.

The sum over ranks and the Cholesky factorisation of a matrix of the size of the default training's.
What counts is the processor time of a rank, so that more ranks than cores can be measured. Writes
results/bench_matrix.json.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

import torch

from aiv_rba.optimisers import shared_matrix
from aiv_rba.optimisers.shared_matrix import SharedMatrix
from aiv_rba.ranks.ddp import Ranks, process_group
from bench.measure import in_turns, ratios, spread, write
from bench.processes import Place, start

RANKS = (1, 2, 4, 8)
PARTS = ("sum", "factor")


def of_a_rank(action: Callable[[], object], ranks: Ranks) -> float:
    """Processor seconds that an action takes of a rank, mean over ranks."""
    ranks.wait()
    started = time.process_time()
    action()
    worked = torch.tensor([time.process_time() - started], dtype=torch.float64)
    return float(ranks.sum(worked)) / ranks.size


def seconds(order: int, rounds: int, ranks: Ranks) -> dict[str, list[float]]:
    """Processor seconds of a rank in every round, when ranks share memory and when they send."""
    random = torch.randn(order, order, generator=torch.Generator().manual_seed(0)).double()
    upper = torch.triu(random) + 2 * order * torch.eye(order, dtype=torch.float64)
    undamped = upper.new_zeros(order)
    shared = SharedMatrix(order, upper, ranks)
    with patch.object(shared_matrix, "shared_memory", lambda *_: []):
        sent = SharedMatrix(order, upper, ranks)
    actions: dict[str, Callable[[], object]] = {}
    for name, matrix in (("shared", shared), ("sent", sent)):
        matrix.set(upper)
        actions[f"{name}_sum"] = partial(matrix.add, lambda _: None)
        actions[f"{name}_factor"] = partial(matrix.damped, undamped)
    return in_turns({name: partial(of_a_rank, a, ranks) for name, a in actions.items()}, rounds)


def measure(place: Place, pipe: Connection, order: int, rounds: int) -> None:
    """Work of one rank, which says what was found."""
    place.join()
    with process_group() as ranks:
        pipe.send(seconds(order, rounds, ranks))


def on(size: int, order: int, rounds: int) -> dict[str, list[float]]:
    """What so many ranks need."""
    with ExitStack() as processes:
        found: list[dict[str, list[float]]] = [
            pipe.recv() for pipe in start(size, measure, (order, rounds), processes)
        ]
    return found[0]


def run(order: int = 3196, rounds: int = 20) -> None:
    """Time so many rounds with a matrix of that order."""
    os.environ["OMP_NUM_THREADS"] = "1"
    by_ranks: dict[int, Any] = {}
    for size in RANKS:
        found = on(size, order, rounds)
        ratio = {p: spread(ratios(found[f"sent_{p}"], found[f"shared_{p}"])) for p in PARTS}
        by_ranks[size] = {
            "processor_seconds_of_a_rank": {name: spread(values) for name, values in found.items()},
            # One rank has nothing to send.
            "sent_over_shared": ratio if size > 1 else {},
        }
    write("bench_matrix", {"order": order, "by_ranks": by_ranks})
