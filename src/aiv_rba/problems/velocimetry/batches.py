"""Ordered mini-batches of wall, track and interior points, of the groups that this rank owns."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from aiv_rba.files.case import Case
from aiv_rba.mixture import Everyone
from aiv_rba.problem import Batch
from aiv_rba.problems.velocimetry.point_source import PointSource
from aiv_rba.ranks.ddp import Ranks


class Batches:
    """One point from every training group, in an order reshuffled every epoch; A.3.1.

    All track rows take part in every step. With `groups_per_step` a step takes a rotating part
    of the interior groups, so that the multipliers still belong to groups.

    Parameters
    ----------
    case, points
        The case and the file of its collocation points.
    groups_per_step
        Interior groups of one step over all ranks; 0 for all.
    seed
        Seed of the order, the same on all ranks.
    soft_wall
        Whether wall points take part: not where no-slip is exact.
    kept
        Where the collocation points are kept, as `PointSource` has it.

    Attributes
    ----------
    points
        Where the collocation points come from.
    relative_noise
        (n, components): noise of each owned row of the tracks over that of its component.
    track
        (n,) track of each owned row, numbered from 0 among all tracks with training rows.
    track_of_all
        That of the training rows of all ranks.
    tracks_in_all
        Number of these tracks.
    all_tracks
        All rows of the tracks together, where other ranks have some of them.

    Raises
    ------
    UserError
        If the points belong to another case, or there are more ranks than groups.
    """

    def __init__(
        self,
        case: Case,
        points: Path,
        *,
        groups_per_step: int,
        seed: int,
        ranks: Ranks,
        dtype: torch.dtype,
        soft_wall: bool,
        kept: Literal["memory", "stream", "auto"] = "auto",
    ) -> None:
        self.seed = seed
        self.soft_wall = soft_wall
        self.ranks = ranks

        def tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=dtype).to(ranks.device)

        self.points = PointSource(points, case.identity, ranks, dtype, kept)
        training = np.flatnonzero(~case.tracks.validation)
        mine = training[ranks.share(len(training))]
        self.tracks = tensor(case.tracks.points[mine])
        self.measured = tensor(
            np.stack([values[mine] for values in case.tracks.velocity.values()], axis=1)
        )
        self.relative_noise = tensor(case.relative_noise[mine])
        self.track_count = len(training)
        number = np.unique(case.tracks.track[training], return_inverse=True)[1]
        self.track_of_all = torch.as_tensor(number).to(ranks.device)
        self.track = self.track_of_all[ranks.share(len(training))]
        self.tracks_in_all = int(number.max()) + 1
        self.all_tracks = None if ranks.alone else Everyone(self.track_count, ranks.sum)
        self.parts = -(-self.points.groups // groups_per_step) if groups_per_step else 1

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Owned rows and terms of each block."""
        wall = {"no_slip": (self.points.own_wall_groups, 3)} if self.soft_wall else {}
        return wall | {
            "tracks": (self.measured.shape[0], self.measured.shape[1]),
            "navier_stokes": (self.points.own_groups, 4),
        }

    @property
    def lengths(self) -> dict[str, int]:
        """Most rows of each block in a step of any rank."""
        most = self.ranks.longest_share
        wall = {"no_slip": most(self.points.wall_groups)} if self.soft_wall else {}
        # Of a share of groups every part takes each so many.
        interior = -(-most(self.points.groups) // self.parts)
        return wall | {"tracks": most(self.track_count), "navier_stokes": interior}

    def batch(self, step: int) -> Batch:
        """The rows of one step, by its number alone."""
        points = self.points
        turn, part = divmod(step, self.parts)
        b = self._batch_of(turn)
        first = (part - points.first_group) % self.parts
        device = self.ranks.device
        groups = torch.arange(first, points.own_groups, self.parts, device=device)
        inputs: dict[str, tuple[Tensor, ...]] = {
            "tracks": (self.tracks, self.measured),
            "navier_stokes": (points.interior(b)[groups],),
        }
        if self.soft_wall:
            inputs["no_slip"] = (points.wall(b),)
        points.expect(self._batch_of(turn + 1))
        rows = {
            "no_slip": torch.arange(points.own_wall_groups, device=device),
            "tracks": torch.arange(len(self.tracks), device=device),
            "navier_stokes": groups,
        }
        counts = {
            "no_slip": points.wall_groups,
            "tracks": self.track_count,
            "navier_stokes": len(range(part, points.groups, self.parts)),
        }
        firsts = {
            "no_slip": points.first_wall_group,
            "tracks": self.ranks.share(self.track_count).start,
            "navier_stokes": len(range(part, points.first_group, self.parts)),
        }
        blocks = self.sizes
        return Batch(
            step=step,
            inputs={block: inputs[block] for block in blocks},
            rows={block: rows[block] for block in blocks},
            counts={block: counts[block] for block in blocks},
            firsts={block: firsts[block] for block in blocks},
            elapsed={"navier_stokes": min(step + 1, self.parts)},
        )

    def _batch_of(self, turn: int) -> int:
        """Number of the batch that a turn of all groups takes; reshuffled every epoch."""
        length: int = self.points.epoch_length
        epoch, position = divmod(turn, length)
        return _order(length, self.seed + 7919 * epoch)[position]


# Of two epochs, since the last batches of one look ahead to the next.
@lru_cache(maxsize=2)
def _order(length: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return [int(b) for b in torch.randperm(length, generator=generator)]
