"""Memory of a rank."""

from __future__ import annotations

import platform
import zlib

import torch

from aiv_rba import machine
from aiv_rba.ranks.ddp import Ranks


def memory_of(ranks: Ranks) -> int:
    """Bytes of memory for this rank: free ones of its GPU, or its part of the machine's.

    Every rank calls this.
    """
    if ranks.device.type == "cuda":
        return int(torch.cuda.mem_get_info(ranks.device)[0])
    here = torch.tensor([zlib.crc32(platform.node().encode())])
    return machine.memory() // int((ranks.gather(here) == here).sum())
