"""Several ranks of one stage on this machine, started by the stage's own command."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence
from signal import Signals

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from aiv_rba.errors import Interrupted, LostRank
from aiv_rba.terminal import fail


def launch(arguments: Sequence[str], ranks: int) -> int:
    """Run this command on so many ranks, as torchrun does; the exit code of the first that failed.

    Unlike torchrun it adds nothing to what the ranks say: the cause of a failure stays the last
    line on the screen.

    Parameters
    ----------
    arguments
        Command line of one rank.
    ranks
        Their number.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    command = (sys.executable, "-m", "aiv_rba.cli", *arguments)
    try:
        elastic_launch(config, command[0])(*command[1:])
    except ChildFailedError as failure:
        codes = {rank: int(child.exitcode) for rank, child in failure.failures.items()}
        # A rank that a signal ended has its negative number, and could not say anything itself. The
        # others lose it or are asked to stop then, which is not why the job ended.
        spoken = [code for code in codes.values() if code > 0]
        reasons = [code for code in spoken if code not in {Interrupted.code, LostRank.code}]
        ended = {rank: -code for rank, code in codes.items() if code < 0}
        if ended and not reasons:
            rank, number = next(iter(ended.items()))
            fail(f"aiv-rba {arguments[0]}: error: rank {rank} was ended by {Signals(number).name}")
            return 1
        return (reasons or spoken)[0]
    except SignalException:
        # The ranks were asked to stop, and have saved what they had.
        return Interrupted.code
    return 0
