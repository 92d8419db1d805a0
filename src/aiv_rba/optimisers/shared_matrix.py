"""A symmetric matrix whose block rows are dealt to the ranks, and its Cholesky factor."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.linalg import LinAlgError
from torch import Tensor

from aiv_rba.optimisers.normal_equations import eliminate, factored, solver
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.ranks.shared_memory import shared_memory

# Most rows of a block: enough for fast products, and few beside the whole matrix. Every rank gets
# some blocks, even of a small matrix.
ROWS, BLOCKS_EACH = 128, 4


class SharedMatrix:
    """A symmetric matrix (N, N), of which every rank holds some block rows of the upper triangle.

    Rank r has the blocks r, r + W, r + 2 W, ... of W ranks, so that all have nearly the same work
    (as in ScaLAPACK; Blackford et al. 1997). On one rank there is one block, the whole. Ranks that
    have memory in common read each other's blocks there, others send them.

    Parameters
    ----------
    order
        N.
    like
        A tensor of the wanted precision on the wanted device.
    """

    def __init__(self, order: int, like: Tensor, ranks: Ranks) -> None:
        self.order = order
        self.ranks = ranks
        rows = order if ranks.alone else min(ROWS, -(-order // (BLOCKS_EACH * ranks.size)))
        self.blocks = [slice(k, min(k + rows, order)) for k in range(0, order, rows)]
        self.zero = like.new_zeros(())
        self.own = {k: self.zero.new_zeros(self._shape(k)) for k in self._of(ranks.rank)}
        # Room for what is added and, afterwards, for the factor: the system would clear new memory
        # of this size at every step.
        self.rooms = shared_memory(order, order, like, ranks)
        self.room = self.rooms[ranks.rank] if self.rooms else like.new_empty(order, order)

    def scale(self, factor: float) -> None:
        """Multiply by a number."""
        for block in self.own.values():
            block.mul_(factor)

    def add(self, accumulate: Callable[[Tensor], None]) -> None:
        """Add the sum over ranks of what each of them adds to an upper triangle (N, N)."""
        if self.ranks.alone:
            accumulate(self.own[0])
            return
        self._wait_for_room()
        for k in range(len(self.blocks)):
            self._row(self.room, k).zero_()
        accumulate(self.room)
        if self.rooms:
            self.ranks.wait()
        else:
            self._add_sent(self.room)
        for room in self.rooms or [self.room]:
            for k, block in self.own.items():
                block += self._row(room, k)

    def _add_sent(self, upper: Tensor) -> None:
        """Add what the other ranks have of the own block rows."""
        ranks, mine = range(self.ranks.size), self.ranks.rank
        counts = [[self._count(k) for k in self._of(rank)] for rank in ranks]
        sizes = [sum(counts[rank]) if rank != mine else 0 for rank in ranks]
        received = [sum(counts[mine]) if rank != mine else 0 for rank in ranks]
        sent = upper.new_empty(sum(sizes))
        theirs = [k for rank in ranks if rank != mine for k in self._of(rank)]
        places = torch.split(sent, [*map(self._count, theirs)])
        for k, place in zip(theirs, places, strict=True):
            place.view(self._shape(k)).copy_(self._row(upper, k))
        exchanged = self.ranks.exchange(sent, sizes, received)
        for part in exchanged.view(self.ranks.size - 1, sum(counts[mine])):
            for k, values in zip(self.own, torch.split(part, counts[mine]), strict=True):
                self.own[k] += values.view(self._shape(k))

    def diagonal(self) -> Tensor:
        """Diagonal (N,), on every rank."""
        found = self.zero.new_zeros(self.order)
        for k, block in self.own.items():
            found[self.blocks[k]] = block.diagonal()
        return self.ranks.sum(found)

    def upper(self) -> Tensor:
        """Upper triangle (N, N), on every rank."""
        found = self.zero.new_zeros(self.order, self.order)
        for k, block in self.own.items():
            self._row(found, k).copy_(block)
        return self.ranks.sum(found)

    def set(self, upper: Tensor) -> None:
        """Inverse of `upper`."""
        for k, block in self.own.items():
            block.copy_(self._row(upper, k))

    def damped(self, damping: Tensor) -> Callable[[Tensor], Tensor]:
        """Solver, on every rank, of the system with a damping (N,) added to the diagonal.

        It holds until the next call of `add` or `damped`, which take its room.

        Raises
        ------
        LinAlgError
            If the damped matrix is not positive definite, on all ranks alike.
        """
        if self.ranks.alone:
            whole = self.room.copy_(self.own[0])
            whole.diagonal().add_(damping)
            return factored(whole)
        self._wait_for_room()
        factor = self.rooms[0] if self.rooms else self.room
        for k, block in self.own.items():
            row = self._row(factor, k).copy_(block)
            row.diagonal().add_(damping[self.blocks[k]])
        self._factor(factor)
        if not factor[-1, -1].isfinite():
            raise LinAlgError
        return solver(factor)

    def _wait_for_room(self) -> None:
        """Wait until no rank needs any more what is in memory that all have in common."""
        if self.rooms:
            self.ranks.wait()

    def _factor(self, matrix: Tensor) -> None:
        """Replace a matrix, which has the own block rows, by its Cholesky factor U of U^T U.

        Its owner eliminates a block row and gives it to all, who subtract it from theirs. The next
        one is eliminated first, so that it is on its way while all work on the others.
        """
        last = len(self.blocks) - 1
        finish = self._eliminate(matrix, 0)
        for k in range(last + 1):
            finish()
            if k < last:
                if k + 1 in self.own:
                    self._subtract(matrix, k, k + 1)
                finish = self._eliminate(matrix, k + 1)
            for j in self.own:
                if j > k + 1:
                    self._subtract(matrix, k, j)

    def _eliminate(self, matrix: Tensor, k: int) -> Callable[[], object]:
        """Start to give block row k of the factor to all; what to call to have it."""
        row = self._row(matrix, k)
        if k in self.own:
            diagonal, rest = torch.split(row, [len(row), row.shape[1] - len(row)], dim=1)
            factor, failed = torch.linalg.cholesky_ex(diagonal, upper=True)
            eliminate(factor, rest)
            diagonal.copy_(factor)
            # Spreads to the last element, where all ranks see it, also where all others are zero.
            row[:, -1].masked_fill_(failed > 0, torch.nan)
        owner = k % self.ranks.size
        if self.rooms:
            # The row is where all see it: they need to know when.
            return self.ranks.broadcast(torch.zeros(1), owner).wait
        sent = row.contiguous() if k in self.own else row.new_empty(row.shape)
        work = self.ranks.broadcast(sent, owner)

        def arrive() -> None:
            work.wait()
            row.copy_(sent)

        return arrive

    def _subtract(self, matrix: Tensor, k: int, j: int) -> None:
        """Take the share of the done block row k from the own one j."""
        row, columns = self._row(matrix, j), matrix[self.blocks[k], self.blocks[j].start :]
        row.addmm_(columns[:, : len(row)].T, columns, alpha=-1)

    def _of(self, rank: int) -> range:
        return range(rank, len(self.blocks), self.ranks.size)

    def _row(self, whole: Tensor, k: int) -> Tensor:
        """Block row k of the upper triangle of a matrix (N, N)."""
        return whole[self.blocks[k], self.blocks[k].start :]

    def _shape(self, k: int) -> tuple[int, int]:
        rows = self.blocks[k]
        return rows.stop - rows.start, self.order - rows.start

    def _count(self, k: int) -> int:
        return math.prod(self._shape(k))
