"""A symmetric matrix whose block rows are dealt to the ranks, and its Cholesky factor."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.linalg import LinAlgError
from torch import Tensor
from torch.distributed import Work

from aiv_rba.optimisers.normal_equations import factored, solver
from aiv_rba.ranks.ddp import Ranks

# Most rows of a block: enough for fast products, and few beside the whole matrix. Every rank gets
# some blocks, even of a small matrix.
ROWS, BLOCKS_EACH = 128, 4


class SharedMatrix:
    """A symmetric matrix (N, N), of which every rank holds some block rows of the upper triangle.

    Rank r has the blocks r, r + W, r + 2 W, ... of W ranks, so that all have nearly the same work
    (as in ScaLAPACK; Blackford et al. 1997). On one rank there is one block, the whole.

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
        # Room for what is added and, afterwards, for the factor, and for what is left to factorise:
        # the system would clear new pieces of memory of this size at every step.
        room = 0 if ranks.alone else order
        self.room = like.new_empty(room, room)
        self.left = {k: torch.empty_like(block) for k, block in self.own.items()}

    def scale(self, factor: float) -> None:
        """Multiply by a number."""
        for block in self.own.values():
            block.mul_(factor)

    def add(self, accumulate: Callable[[Tensor], None]) -> None:
        """Add the sum over ranks of what each of them adds to an upper triangle (N, N)."""
        if self.ranks.alone:
            return accumulate(self.own[0])
        upper = self.room.zero_()
        accumulate(upper)
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
        for k, block in self.own.items():
            block += self._row(upper, k)

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
        left = {k: self.left[k].copy_(block) for k, block in self.own.items()}
        for k, block in left.items():
            block.diagonal().add_(damping[self.blocks[k]])
        if self.ranks.alone:
            return factored(left[0])
        return solver(self._factor(left))

    def _factor(self, left: dict[int, Tensor]) -> Tensor:
        """Cholesky factor U (N, N) of U^T U, from the own block rows, which are lost.

        Its owner eliminates a block row and sends it to all, who subtract it from theirs. The next
        one is eliminated first, so that it travels while all work on the others.
        """
        factor = self.room
        row, arrival = self._eliminate(0, left)
        for k in range(len(self.blocks)):
            arrival.wait()
            self._row(factor, k).copy_(row)
            done = row
            after = k + 1
            if after in left:
                self._subtract(done, k, after, left)
            if after < len(self.blocks):
                row, arrival = self._eliminate(after, left)
            for j in left:
                if j != after:
                    self._subtract(done, k, j, left)
        if not factor[-1, -1].isfinite():
            raise LinAlgError
        return factor

    def _eliminate(self, k: int, left: dict[int, Tensor]) -> tuple[Tensor, Work]:
        """Block row k of the factor, which is on its way from its owner."""
        if k in left:
            row = left.pop(k)
            diagonal, rest = torch.split(row, [len(row), row.shape[1] - len(row)], dim=1)
            factor, failed = torch.linalg.cholesky_ex(diagonal, upper=True)
            rest.copy_(torch.linalg.solve_triangular(factor.T, rest, upper=False))
            diagonal.copy_(factor)
            # Spreads to the last element, where all ranks see it.
            row.masked_fill_(failed > 0, torch.nan)
        else:
            row = self.zero.new_empty(self._shape(k))
        return row, self.ranks.broadcast(row, k % self.ranks.size)

    def _subtract(self, done: Tensor, k: int, j: int, left: dict[int, Tensor]) -> None:
        """Take the share of the done block row k from the own one j."""
        columns = done[:, self.blocks[j].start - self.blocks[k].start :]
        left[j].addmm_(columns[:, : len(left[j])].T, columns, alpha=-1)

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
