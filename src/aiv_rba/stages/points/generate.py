"""Stage points: from a case to points.h5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import Array
from aiv_rba.files.points import create_points
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.ranks.mpi import Processes, processes
from aiv_rba.ranks.plan import collocation_points
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.cells import BLOCK, Cells
from aiv_rba.stages.points.coverage import LIMIT, distinct, looked_at, measure
from aiv_rba.stages.points.groups import time_bins, uniform
from aiv_rba.stages.points.partition import Partition, partition_of
from aiv_rba.terminal import say

# Points that are made and written at a time, so many that every batch is a large piece.
AT_ONCE = 2**20


def collocate(settings: PointsSettings, results: Results) -> None:
    """Make the collocation points; every MPI process calls this.

    Group (i_t, i_r, patch) has the number (i_t n_r + i_r) patches + patch, where patch is
    i_theta n_y + i_y in a tube; wall groups have no i_r. Batch b holds the b-th point of every
    group.

    Raises
    ------
    UserError
        If the case cannot be read, a group or a part of the lumen stays empty, or there are fewer
        layers or times than sections of them.
    """
    check_counts(settings)
    with (
        processes("points") as group,
        recorded(results, "points", [results.case], write=group.rank == 0) as record,
    ):
        case = read_case(results.case)
        partition = partition_of(case, settings, group)
        coverage = make(settings, case, partition, results.points, group)
        if group.rank == 0:
            partition.draw(results.groups_picture)
            record["partition"] = partition.summary
            record["coverage"] = coverage
            interior, wall = collocation_points(settings)
            say(f"points: {interior} in the lumen, {wall} on the wall")
            say(f"  groups: {partition.summary}")
            say(
                f"  coverage: the largest empty ball has a radius of {coverage['radius']:.3g} m, "
                f"{coverage['radius'] / coverage['spacing']:.2g} expected spacings"
            )


def make(
    settings: PointsSettings, case: Case, partition: Partition, path: Path, group: Processes
) -> dict[str, Any]:
    """Make and write the points, part by part; their coverage as `check_coverage` says it."""
    sections = {
        "interior": (partition.interior, settings.n_t),
        "wall": (partition.wall, settings.wall_n_t),
    }
    shapes = {
        "interior": (settings.n_t, settings.n_r, *partition.shape),
        "wall": (settings.wall_n_t, *partition.shape),
    }
    batches = looked_at(settings.n_t * len(partition.interior.counts), settings.per_group)
    positions = [np.empty((0, 3))]
    many = max(1, AT_ONCE // settings.per_group)
    with create_points(
        path, case.identity, settings.per_group, shapes, rank=group.rank, every=group.every
    ) as writer:
        for purpose, (name, (cells, n_t)) in enumerate(sections.items()):
            own = group.share(n_t * len(cells.counts))
            for first in range(own.start, own.stop, many):
                part = slice(first, min(first + many, own.stop))
                points = slab(settings, case, cells, n_t, purpose, part)
                writer.write(name, first, points)
                if name == "interior":
                    # A view would keep all points.
                    positions.append(points[:, :batches, 1:].reshape(-1, 3).copy())
        return check_coverage(np.concatenate(positions), settings, case, partition, group)


def check_coverage(
    own: Array, settings: PointsSettings, case: Case, partition: Partition, group: Processes
) -> dict[str, Any]:
    """Measure the largest empty ball of the interior points; m.

    Parameters
    ----------
    own
        (N, 3) positions of the points of this rank's groups that are looked at.
    settings
        Settings of the stage.
    case
        The case.
    partition
        The cells from which the points come.
    group
        The ranks.

    Returns
    -------
    radius, spacing and limit, m, and the position of the centre, m.

    Raises
    ------
    UserError
        If a part of the lumen is left without points.
    """
    counts = partition.interior.counts
    batches = looked_at(settings.n_t * len(counts), settings.per_group)
    found = measure(
        own,
        distinct(counts, settings.n_t, batches),
        partition.inside,
        partition.bounds,
        partition.sparsest,
        group,
    )
    length = case.scales.length
    centre = found.centre * length + np.array(case.scales.origin)
    if not found.complete:
        where = ", ".join(f"{value:.4g}" for value in centre)
        raise UserError(
            f"points: no collocation point lies within {found.radius * length:.3g} m of "
            f"x, y, z = {where} m in the lumen, expected one within "
            f"{LIMIT * found.spacing * length:.3g} m; check the walls there, or treat the vessel "
            "as one of any shape (ingest.vessel: general)"
        )
    return {
        "radius": found.radius * length,
        "centre": centre.tolist(),
        "spacing": found.spacing * length,
        "limit": LIMIT * found.spacing * length,
    }


def check_counts(settings: PointsSettings) -> None:
    """Check that every section has a layer and a time of its own.

    Raises
    ------
    UserError
        If there are fewer layers or times than sections of them.
    """
    for key, other in (("layers", "n_r"), ("time_levels", "n_t"), ("time_levels", "wall_n_t")):
        found, least = getattr(settings, key), getattr(settings, other)
        if found < least:
            raise UserError(f"points.{key}: found {found}, expected at least {other} = {least}")


def slab(
    settings: PointsSettings, case: Case, cells: Cells, n_t: int, purpose: int, own: slice
) -> Array:
    """The points (group, batch, 4) of the groups with these numbers.

    A group walks through the candidates of its cell from a random start and takes them again in
    turn when they run out; the time of each point is one of the levels of its section. In a steady
    flow there is one level, and the temporal sections of a cell are other points of it.
    """
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
