"""Where the collocation points of a step come from: held in memory, or read ahead of the step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.files.points import PointsReader
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.ranks.memory import memory_of

# Part of the memory of a rank above which its points are read while it trains.
MOST = 0.25


class PointSource:
    """The points of the groups that this rank owns.

    Batch b holds the b-th point of every group, and an epoch has as many batches as a group has
    points.

    Parameters
    ----------
    path
        The file of collocation points.
    case
        Identity of the case.
    ranks
        This process among its peers.
    dtype
        Of the points.
    kept
        Whether the points of all batches are held in memory; or those of two batches, of which a
        thread reads the next while the step works on the other; or whichever fits.

    Attributes
    ----------
    groups, wall_groups
        Numbers of groups of all ranks.
    epoch_length
        Batches of an epoch.
    identity
        Hash of the points.
    first_group, first_wall_group
        Numbers of the first groups of this rank.
    own_groups, own_wall_groups
        Numbers of groups of this rank.
    streamed
        Whether points are read while training.

    Raises
    ------
    UserError
        If the points belong to another case, or there are more ranks than groups.
    """

    def __init__(
        self,
        path: Path,
        case: str,
        ranks: Ranks,
        dtype: torch.dtype,
        kept: Literal["memory", "stream", "auto"] = "auto",
    ) -> None:
        self._reader = PointsReader(path, case)
        self._dtype = dtype
        self._device = ranks.device
        self.identity = self._reader.identity
        places = self._reader.places
        self.epoch_length, self.groups = places["interior"].batches, places["interior"].groups
        self.wall_groups = places["wall"].groups
        fewest = min(self.groups, self.wall_groups)
        if ranks.size > fewest:
            raise UserError(
                f"{path}: {fewest} groups for {ranks.size} ranks, expected at least one group "
                "per rank"
            )
        self._own = {name: ranks.share(place.groups) for name, place in places.items()}
        self.first_group, self.first_wall_group = (own.start for own in self._own.values())
        self.own_groups, self.own_wall_groups = (own.stop - own.start for own in self._own.values())
        count = self.epoch_length * (self.own_groups + self.own_wall_groups)
        size = 4 * dtype.itemsize * count
        self.streamed = kept == "stream" or (kept == "auto" and size > MOST * memory_of(ranks))
        self._sections: dict[str, _Held | _Streamed] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the points that this rank holds."""
        return sum(section.nbytes for section in self._sections.values())

    def interior(self, b: int) -> Tensor:
        """The b-th point (own groups, 4) of every group of this rank: t, x, y, z."""
        return self._section("interior").batch(b)

    def wall(self, b: int) -> Tensor:
        """The b-th point (own groups, 4) of every group of this rank on the wall."""
        return self._section("wall").batch(b)

    def expect(self, b: int) -> None:
        """Say which batch a step will ask for next, so that it can be read meanwhile."""
        for section in self._sections.values():
            section.expect(b)

    def first_positions(self, groups: Tensor) -> Tensor:
        """Positions (n, 3) of the first points of these interior groups, of any rank."""
        points = [self._read("interior", 0, slice(g, g + 1)) for g in groups.tolist()]
        return torch.cat(points)[:, 1:].to(self._device)

    def _section(self, name: str) -> _Held | _Streamed:
        """The lumen or the wall, which is not read before it is asked for."""
        if name not in self._sections:

            def read(b: int) -> Tensor:
                return self._read(name, b, self._own[name])

            if self.streamed:
                self._sections[name] = _Streamed(read, self._device)
            else:
                self._sections[name] = _Held(read, self.epoch_length, self._device)
        return self._sections[name]

    def _read(self, name: str, b: int, groups: slice) -> Tensor:
        return torch.as_tensor(self._reader.read(name, b, groups), dtype=self._dtype)


class _Held:
    """The points of all batches, in the memory of the device."""

    def __init__(self, read: Callable[[int], Tensor], batches: int, device: torch.device) -> None:
        first = read(0)
        self._points = first.new_empty((batches, *first.shape), device=device)
        for b in range(batches):
            self._points[b] = read(b)

    @property
    def nbytes(self) -> int:
        return self._points.nbytes

    def batch(self, b: int) -> Tensor:
        return self._points[b]

    def expect(self, b: int) -> None:
        """Everything is there."""


class _Streamed:
    """The points of one batch, on the device, and of the next, which a thread reads."""

    def __init__(self, read: Callable[[int], Tensor], device: torch.device) -> None:
        self._read = read
        self._device = device
        self._now: tuple[int, Tensor] | None = None
        self._next: tuple[int, Future[Tensor]] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)

    @property
    def nbytes(self) -> int:
        return 2 * self._now[1].nbytes if self._now else 0

    def batch(self, b: int) -> Tensor:
        if self._now is None or self._now[0] != b:
            if self._next is not None and self._next[0] == b:
                points = self._next[1].result()
                self._next = None
            else:
                points = self._load(b)
            # From pinned memory the copy is only put in the queue of the device, before the step
            # that needs it. The memory is not used again before the copy is done.
            self._now = b, points.to(self._device, non_blocking=True)
        return self._now[1]

    def expect(self, b: int) -> None:
        if (self._next is None or self._next[0] != b) and (self._now is None or self._now[0] != b):
            self._next = b, self._thread.submit(self._load, b)

    def _load(self, b: int) -> Tensor:
        points = self._read(b)
        if self._device.type != "cuda":
            return points
        # The first GPU is that of a new thread, unless it is told another.
        with torch.cuda.device(self._device):
            return points.pin_memory()
