"""Stage points: from a case to points.h5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import Array, create_h5
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen
from aiv_rba.ranks.mpi import Processes, processes
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.groups import patches, time_bins, uniform
from aiv_rba.stages.points.picture import draw
from aiv_rba.stages.points.shrink_copy import BLOCK, Cells, InteriorCells, WallCells, sample_wall
from aiv_rba.terminal import say

SAMPLES_PER_PATCH = 8
CHUNK = 4096


def collocate(settings: PointsSettings, results: Results) -> None:
    """Make the collocation points; every MPI process calls this.

    Group (i_t, i_r, i_theta, i_y) has the number
    ((i_t n_r + i_r) n_theta + i_theta) n_y + i_y; wall groups have no i_r. Batch b holds the b-th
    point of every group.

    Raises
    ------
    UserError
        If the case cannot be read, a group stays empty, or there are fewer layers or times than
        sections of them.
    """
    _check(settings)
    with (
        processes("points") as group,
        recorded(results.record("points"), "points", [results.case], write=group.rank == 0),
    ):
        experiment = read_case(results.case)
        lumen = Lumen.from_wall(experiment.wall, experiment.axis)
        shape = (settings.n_theta, settings.n_y)
        count = SAMPLES_PER_PATCH * settings.n_theta * settings.n_y
        outer = sample_wall(experiment.wall, count, settings.seed, patch=0)
        members = patches(lumen, outer, *shape, settings.bins)
        interior = InteriorCells(
            lumen,
            outer,
            members,
            n_r=settings.n_r,
            layers=settings.layers,
            group=group,
            shape=shape,
        )
        surface = sample_wall(
            experiment.wall, settings.per_group * settings.n_theta * settings.n_y, settings.seed + 1
        )
        on_wall = WallCells(surface, patches(lumen, surface, *shape, settings.bins))

        slabs = {
            "interior": slab(settings, experiment, interior, settings.n_t, 0, group),
            "wall": slab(settings, experiment, on_wall, settings.wall_n_t, 1, group),
        }
        write(results.points, settings, experiment, slabs, group)
        if group.rank == 0:
            draw(results.groups_picture, lumen, outer, members, interior, settings)
            interior_count, wall_count = (settings.per_group * n for n in _groups(settings))
            say(f"points: {interior_count} in the lumen, {wall_count} on the wall")


def _groups(settings: PointsSettings) -> tuple[int, int]:
    """Groups of the interior points and of the wall points."""
    patches = settings.n_theta * settings.n_y
    return settings.n_t * settings.n_r * patches, settings.wall_n_t * patches


def _check(settings: PointsSettings) -> None:
    for key, other in (("layers", "n_r"), ("time_levels", "n_t"), ("time_levels", "wall_n_t")):
        found, least = getattr(settings, key), getattr(settings, other)
        if found < least:
            raise UserError(f"points.{key}: found {found}, expected at least {other} = {least}")


def slab(
    settings: PointsSettings, case: Case, cells: Cells, n_t: int, purpose: int, group: Processes
) -> Array:
    """The points (group, batch, 4) of this rank's groups.

    A group walks through the candidates of its cell from a random start and takes them again in
    turn when they run out; the time of each point is one of the levels of its section. In a steady
    flow there is one level, and the temporal sections of a cell are other points of it.
    """
    own = group.share(n_t * len(cells.counts))
    times = case.scales.shares(settings.time_levels) * case.scales.nondimensional_period
    first, levels = time_bins(len(times), n_t)
    batch = np.arange(settings.per_group)[None]
    points = np.empty((own.stop - own.start, settings.per_group, 4))
    rows = max(1, BLOCK // max(settings.per_group, int(cells.counts.max())))
    for at in range(0, len(points), rows):
        block = points[at : at + rows]
        number = own.start + np.arange(at, at + len(block))[:, None]
        i_t, cell = np.divmod(number, len(cells.counts))
        available = cells.counts[cell]
        start = uniform(settings.seed, 4 * purpose, number)
        # A stride coprime with the count visits every candidate once before any comes again.
        stride = _coprime_stride(available)
        candidate = ((start * available).astype(np.int64) + batch * stride) % available
        level = first[i_t] + (
            uniform(settings.seed, 4 * purpose + 1, number, batch) * levels[i_t]
        ).astype(np.int64)
        block[..., 0] = times[level]
        block[..., 1:] = cells.positions(cell[:, 0], candidate)
    return points


def _coprime_stride(counts: np.ndarray) -> np.ndarray:
    """For each count a number near its golden section that shares no divisor with it."""
    stride = np.maximum((0.618 * counts).astype(np.int64), 1)
    shared = np.gcd(stride, counts) > 1
    while shared.any():
        stride[shared] += 1
        shared = np.gcd(stride, counts) > 1
    return stride


def write(
    path: Path,
    settings: PointsSettings,
    case: Case,
    slabs: dict[str, Array],
    group: Processes,
) -> None:
    """Write points.h5 on rank 0, block by block of every rank's slab.

    h5py from pip has no parallel HDF5, and a file per rank would have to travel together.
    """
    shapes = {
        "interior": (settings.n_t, settings.n_r, settings.n_theta, settings.n_y),
        "wall": (settings.wall_n_t, settings.n_theta, settings.n_y),
    }
    rows = max(1, BLOCK // settings.per_group)
    if group.rank > 0:
        for own in slabs.values():
            list(group.blocks(own, rows))
        return
    with create_h5(path, "points", {"identity": case.identity}) as file:
        for name, own in slabs.items():
            groups = int(np.prod(shapes[name]))
            dataset = file.create_dataset(
                f"{name}/points",
                (settings.per_group, groups, 4),
                chunks=(1, min(groups, CHUNK), 4),
                dtype=np.float64,
            )
            dataset.attrs["shape"] = shapes[name]
            position = 0
            for block in group.blocks(own, rows):
                dataset[:, position : position + len(block)] = block.swapaxes(0, 1)
                position += len(block)
