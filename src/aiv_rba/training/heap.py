"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# Options of glibc's mallopt (malloc.h), and the values that it starts from; of the last two it
# takes the largest that it would choose by itself.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
DEFAULTS = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}
KEEPING = {MMAP_MAX: 0, TRIM_THRESHOLD: -1}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep what is freed for what is asked for next, instead of giving it back to the system.

    A step of Gauss-Newton frees and takes matrices of a hundred megabytes. From the system they
    come page by page, each cleared first. Afterwards all that is free is given back. Does nothing
    without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    _set(library, KEEPING)
    try:
        yield
    finally:
        _set(library, DEFAULTS)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        library.mallopt(option, value)
