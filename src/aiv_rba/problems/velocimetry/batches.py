"""Ordered mini-batches of wall, track and interior points, of the groups that this rank owns."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from aiv_rba.files.case import Case
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
    tracks_in_all
        Number of these tracks.

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
        self.track = torch.as_tensor(number[ranks.share(len(training))])
        self.tracks_in_all = int(number.max()) + 1
        self.parts = -(-self.points.groups // groups_per_step) if groups_per_step else 1

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Owned rows and terms of each block."""
        wall = {"no_slip": (self.points.own_wall_groups, 3)} if self.soft_wall else {}
        return wall | {
            "tracks": (self.measured.shape[0], self.measured.shape[1]),
            "navier_stokes": (self.points.own_groups, 4),
        }

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
        blocks = self.sizes
        return Batch(
            step=step,
            inputs={block: inputs[block] for block in blocks},
            rows={block: rows[block] for block in blocks},
            counts={block: counts[block] for block in blocks},
            elapsed={"navier_stokes": min(step + 1, self.parts)},
        )

    def _batch_of(self, turn: int) -> int:
        """Number of the batch that a turn of all groups takes; reshuffled every epoch."""
        epoch, position = divmod(turn, self.points.epoch_length)
        order = torch.randperm(
            self.points.epoch_length,
            generator=torch.Generator().manual_seed(self.seed + 7919 * epoch),
        )
        return int(order[position])
