"""Several ranks of one stage on this machine, started by the stage's own command."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch


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
        codes = [int(child.exitcode) for child in failure.failures.values()]
        # A rank that was ended because of another one's failure has a negative code.
        return next((code for code in codes if code > 0), 1)
    except SignalException:
        # The ranks were asked to stop, and have saved what they had.
        return 75
    return 0
