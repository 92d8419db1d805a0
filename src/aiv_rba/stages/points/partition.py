"""Spatial cells of the training groups: of a tube, and of a vessel of any shape."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, Region
from aiv_rba.ranks.mpi import Processes
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.cells import (
    SAMPLES_PER_PATCH,
    Cells,
    ListedCells,
    sample_wall,
    wall_area,
)
from aiv_rba.stages.points.groups import bisected, patches
from aiv_rba.stages.points.lattice import fill
from aiv_rba.stages.points.picture import draw_region, draw_tube
from aiv_rba.stages.points.shrink_copy import InteriorCells


class Partition(Protocol):
    """How lumen and wall are cut into the cells of the training groups."""

    @property
    def interior(self) -> Cells:
        """Cells of the interior points; cell = i_r * patches + patch."""
        ...

    @property
    def wall(self) -> Cells:
        """Cells of the wall points; cell = patch."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of patches: (n_theta, n_y) or (patches,)."""
        ...

    summary: str
    """What the patches and the sections in depth are, for people to read."""
    sparsest: float
    """How far neighbouring candidates are apart where they are sparsest by design; 0 where their
    density is the same everywhere."""

    bounds: tuple[Array, Array]
    """Corners (3,) of a box round the lumen."""

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (N, 3) lie in the lumen."""
        ...

    def draw(self, path: Path) -> None:
        """Draw the cells."""
        ...


class TubePartition:
    """Angular and axial patches of the wall, and radial sections of their shrunk copies; A.3.1.

    Raises
    ------
    UserError
        If a cell is left without a point.
    """

    def __init__(self, case: Case, settings: PointsSettings, group: Processes) -> None:
        lumen = Lumen.from_wall(case.wall, case.axis)
        self.inside = lumen.inside
        self.bounds = case.wall.points.min(axis=0), case.wall.points.max(axis=0)
        self.shape = (settings.n_theta, settings.n_y)
        count = SAMPLES_PER_PATCH * settings.wall_patches
        outer, _ = sample_wall(case.wall, count, settings.seed, patch=0)
        members = patches(lumen, outer, *self.shape, settings.bins)
        self.interior = InteriorCells(
            lumen,
            outer,
            members,
            n_r=settings.n_r,
            layers=settings.layers,
            group=group,
            shape=self.shape,
        )
        count = settings.per_group * settings.wall_patches
        surface, _ = sample_wall(case.wall, count, settings.seed + 1)
        self.wall = ListedCells(surface, patches(lumen, surface, *self.shape, settings.bins))
        # The samples leave rays of copies, which are farthest apart on the wall.
        self.sparsest = float(np.sqrt(wall_area(case.wall, patch=0) / len(outer)))
        self.summary = (
            f"{settings.n_theta} x {settings.n_y} patches of the wall by angle and "
            f"{'xyz'[case.axis]}, {settings.n_r} sections along the radius"
        )
        self.draw = partial(
            draw_tube,
            lumen=lumen,
            samples=outer,
            members=members,
            interior=self.interior,
            settings=settings,
        )


class RegionPartition:
    """Patches of the wall of a region of any shape, and sections by the distance to the wall.

    The candidates for interior points fill the region uniformly. They are sorted by where the
    wall is nearest to them and in which direction, and cut into patches of equal numbers; each of
    these is cut into sections of equal numbers by the distance to the wall. All cells thus have
    the same volume. The wall is cut into patches of equal area, by position and normal.

    Raises
    ------
    UserError
        If there are fewer candidates than cells.
    """

    sparsest = 0.0

    def __init__(self, case: Case, settings: PointsSettings, group: Processes) -> None:
        region = Region(case.wall, case.openings)
        self.inside = region.inside
        self.bounds = region.bounds
        count, n_r = settings.wall_patches, settings.n_r
        self.shape = (count,)
        area = wall_area(case.wall)
        # Normals are stretched to the size of a patch: walls that face each other are then farther
        # apart than neighbouring patches, however narrow the gap between them.
        stretch = np.sqrt(area / count)

        spacing = (region.volume / (SAMPLES_PER_PATCH * count * settings.layers)) ** (1 / 3)
        candidates = fill(region, spacing, settings.seed, group)
        if len(candidates) < count * n_r:
            raise UserError(
                f"points.layers: {settings.layers} give {len(candidates)} candidates for a point, "
                f"expected at least one for each of {count} patches x {n_r} sections"
            )
        # Samples about as far apart as the candidates stand for the wall.
        many = max(int(area / spacing**2), SAMPLES_PER_PATCH * count)
        samples, _ = sample_wall(case.wall, many, settings.seed)
        tree = KDTree(samples)
        nearest = group.shared(lambda points: tree.query(points)[1], candidates)
        feet = samples[nearest]
        distance = np.linalg.norm(feet - candidates, axis=1)
        normals = (feet - candidates) / np.maximum(distance, np.finfo(float).tiny)[:, None]
        by_patch = [
            np.array_split(member[np.argsort(distance[member], kind="stable")], n_r)
            for member in bisected(np.hstack([feet, stretch * normals]), count)
        ]
        members = [sections[i_r] for i_r in range(n_r) for sections in by_patch]
        self.interior = ListedCells(candidates, members)

        surface, normals = sample_wall(case.wall, settings.per_group * count, settings.seed + 1)
        on_wall = bisected(np.hstack([surface, stretch * normals]), count)
        self.wall = ListedCells(surface, on_wall)
        self.summary = f"{count} patches of the wall, {n_r} sections by the distance to it"
        self.draw = partial(
            draw_region,
            wall=case.wall,
            samples=surface,
            on_wall=on_wall,
            candidates=candidates,
            members=members,
            spacing=spacing,
        )


def partition_of(case: Case, settings: PointsSettings, group: Processes) -> Partition:
    """The partition that fits the lumen.

    Raises
    ------
    UserError
        If the settings do not fit it, or a cell is left without a point.
    """
    if case.lumen == "general":
        return RegionPartition(case, settings, group)
    if settings.patches != "auto":
        raise UserError(
            f"points.patches: found {settings.patches}, expected auto for a tube, whose patches "
            "are points.n_theta by points.n_y"
        )
    return TubePartition(case, settings, group)
