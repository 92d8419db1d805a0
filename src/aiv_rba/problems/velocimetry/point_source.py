"""Where the collocation points of a step come from: the groups of this rank, batch by batch."""

from __future__ import annotations

from pathlib import Path

import h5py
import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.files.formats import check_same_case, open_h5, sha256
from aiv_rba.ranks.ddp import Ranks


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

    Raises
    ------
    UserError
        If the points belong to another case, or there are more ranks than groups.
    """

    def __init__(self, path: Path, case: str, ranks: Ranks, dtype: torch.dtype) -> None:
        self.path = path
        self._dtype = dtype
        self._device = ranks.device
        self.identity = sha256(path)
        with open_h5(path, "points") as file:
            check_same_case(path, str(file.attrs["identity"]), case)
            self.epoch_length, self.groups = file["interior/points"].shape[:2]
            self.wall_groups = file["wall/points"].shape[1]
            fewest = min(self.groups, self.wall_groups)
            if ranks.size > fewest:
                raise UserError(
                    f"{path}: {fewest} groups for {ranks.size} ranks, expected at least one group "
                    "per rank"
                )
            own, own_wall = ranks.share(self.groups), ranks.share(self.wall_groups)
            self.first_group, self.first_wall_group = own.start, own_wall.start
            self._interior = self._read(file["interior/points"], own)
            self._wall = self._read(file["wall/points"], own_wall)

    @property
    def own_groups(self) -> int:
        """Groups of this rank."""
        return self._interior.shape[1]

    @property
    def own_wall_groups(self) -> int:
        """Groups of this rank on the wall."""
        return self._wall.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the points that this rank holds."""
        return self._interior.nbytes + self._wall.nbytes

    def expect(self, b: int) -> None:
        """Say which batch the next step will ask for, so that it can be read meanwhile."""

    def interior(self, b: int) -> Tensor:
        """The b-th point (own groups, 4) of every group of this rank: t, x, y, z."""
        return self._interior[b]

    def wall(self, b: int) -> Tensor:
        """The b-th point (own groups, 4) of every group of this rank on the wall."""
        return self._wall[b]

    def first_positions(self, groups: Tensor) -> Tensor:
        """Positions (n, 3) of the first points of these interior groups, of any rank."""
        with open_h5(self.path, "points") as file:
            positions = torch.as_tensor(file["interior/points"][0, :, 1:], dtype=self._dtype)
        return positions[groups].to(self._device)

    def _read(self, points: h5py.Dataset, own: slice) -> Tensor:
        return torch.as_tensor(points[:, own], dtype=self._dtype).to(self._device)
