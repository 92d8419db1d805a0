"""Memory that a step frees is there for the next one."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch

from aiv_rba.training.heap import kept_memory

# Numbers of a matrix of 128 MiB, and pages of the system in it.
NUMBERS = 16 << 20
PAGES = 8 * NUMBERS // resource.getpagesize()

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def pages_taken() -> int:
    """Pages that the system clears and hands out for one matrix, which is freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(NUMBERS, dtype=torch.float64)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_matrix_takes_the_memory_of_the_last_one() -> None:
    with kept_memory():
        pages_taken()
        assert pages_taken() < PAGES / 100


def test_memory_is_given_back_afterwards() -> None:
    before = resident()
    with kept_memory():
        pages_taken()
        assert resident() - before > 4 * NUMBERS
    assert resident() - before < NUMBERS
    assert pages_taken() > PAGES / 2
