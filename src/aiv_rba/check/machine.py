"""What this machine has: memory, processor cores, and free space on a disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Limits of the control group of a container or a job, version 2 and 1.
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


def memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that this process may use: the machine's, or fewer by its control group."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [(groups / name).read_text() for name in _LIMITS if (groups / name).is_file()]
    return min(machine, *(int(text) for text in texts if text.strip().isdecimal()), machine)


def cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Processor cores that this process may use, by its affinity and its control group."""
    found = len(os.sched_getaffinity(0))
    limit = groups / "cpu.max"
    if limit.is_file():
        quota, period = limit.read_text().split()
        if quota != "max":
            found = min(found, max(1, int(quota) // int(period)))
    return found


def free_disk(folder: Path) -> int:
    """Free bytes where a folder is, or would be made."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free
