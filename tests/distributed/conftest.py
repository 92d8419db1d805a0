"""Ranks that stay, for tests that do not look at how ranks start and end."""

from contextlib import ExitStack

import pytest

from tests.rank_pool import RankPool


class RankPools(dict):
    """`pools[2]` are two ranks, which start when a test first asks for them."""

    def __init__(self, folder):
        self.folder = folder
        self.stack = ExitStack()

    def __missing__(self, size):
        self[size] = self.stack.enter_context(RankPool(size, self.folder))
        return self[size]


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    """Real ranks by their number, for all tests of a module."""
    pools = RankPools(tmp_path_factory.mktemp("pools"))
    with pools.stack:
        yield pools
