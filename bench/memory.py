"""Memory of this process; without torch, whose own memory the collocation must not show."""

from __future__ import annotations

import re
from pathlib import Path


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
