"""Ordered mini-batches of wall, track and interior points, of the groups that this rank owns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.files.formats import check_same_case, open_h5
from aiv_rba.problem import Batch
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

    Attributes
    ----------
    first_points
        (groups, 3) positions of the first interior batch, the same on all ranks.
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
    ) -> None:
        self.seed = seed
        self.soft_wall = soft_wall
        self.ranks = ranks

        def tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=dtype).to(ranks.device)

        with open_h5(points, "points") as file:
            check_same_case(points, str(file.attrs["identity"]), case.identity)
            self.epoch_length, self.groups = file["interior/points"].shape[:2]
            self.wall_groups = file["wall/points"].shape[1]
            if ranks.size > min(self.groups, self.wall_groups):
                raise UserError(
                    f"{points}: {min(self.groups, self.wall_groups)} groups for {ranks.size} "
                    "ranks, expected at least one group per rank"
                )
            own, own_wall = ranks.share(self.groups), ranks.share(self.wall_groups)
            self.interior = tensor(file["interior/points"][:, own])
            self.wall = tensor(file["wall/points"][:, own_wall])
            self.first_points = tensor(file["interior/points"][0, :, 1:])

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
        self.first_group = own.start
        self.first_wall_group = own_wall.start
        self.parts = -(-self.groups // groups_per_step) if groups_per_step else 1

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Owned rows and terms of each block."""
        wall = {"no_slip": (self.wall.shape[1], 3)} if self.soft_wall else {}
        return wall | {
            "tracks": (self.measured.shape[0], self.measured.shape[1]),
            "navier_stokes": (self.interior.shape[1], 4),
        }

    def batch(self, step: int) -> Batch:
        """The rows of one step, by its number alone."""
        turn, part = divmod(step, self.parts)
        epoch, position = divmod(turn, self.epoch_length)
        order = torch.randperm(
            self.epoch_length, generator=torch.Generator().manual_seed(self.seed + 7919 * epoch)
        )
        b = int(order[position])
        first = (part - self.first_group) % self.parts
        device = self.ranks.device
        groups = torch.arange(first, self.interior.shape[1], self.parts, device=device)
        inputs: dict[str, tuple[Tensor, ...]] = {
            "no_slip": (self.wall[b],),
            "tracks": (self.tracks, self.measured),
            "navier_stokes": (self.interior[b, groups],),
        }
        rows = {
            "no_slip": torch.arange(self.wall.shape[1], device=device),
            "tracks": torch.arange(len(self.tracks), device=device),
            "navier_stokes": groups,
        }
        counts = {
            "no_slip": self.wall_groups,
            "tracks": self.track_count,
            "navier_stokes": len(range(part, self.groups, self.parts)),
        }
        blocks = self.sizes
        return Batch(
            step=step,
            inputs={block: inputs[block] for block in blocks},
            rows={block: rows[block] for block in blocks},
            counts={block: counts[block] for block in blocks},
            elapsed={"navier_stokes": min(step + 1, self.parts)},
        )
