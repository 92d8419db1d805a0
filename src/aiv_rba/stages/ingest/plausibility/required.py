"""What the input must have, whatever the experiment accepts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array
from aiv_rba.scales import Scales, to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.columns import MINIMUM_ROWS
from aiv_rba.stages.ingest.tracks import TrackTable
from aiv_rba.stages.ingest.walls import Surface


def check_overlap(
    config: IngestSettings,
    table: TrackTable,
    wall: Surface,
    scales: Scales,
    outside: NDArray[np.bool_],
) -> None:
    """Check that some points lie in the wall, or all of them if the settings demand it."""
    if outside.all():
        wall_points = wall.points * scales.length + np.array(scales.origin)
        raise UserError(
            f"{config.tracks_named}: no row lies inside {config.wall}: tracks span "
            f"{_box(table.position, config.units.length, 'length')}, the wall "
            f"{_box(wall_points, config.units.wall, 'wall')}, expected them to overlap: check "
            "ingest.units"
        )
    if outside.any() and config.outside == "error":
        first = table.row[outside].min()
        raise UserError(
            f"{table.where(first)}: {outside.sum()} of {len(table)} rows lie outside "
            f"{config.wall}, this is the first; expected none with ingest.outside: error"
        )


def check_rows_inside(config: IngestSettings, rows: int) -> None:
    """Check that enough rows lie in the wall."""
    if rows < MINIMUM_ROWS:
        raise UserError(
            f"{config.tracks_named}: found {rows} rows inside the wall, expected at least "
            f"{MINIMUM_ROWS}"
        )


def check_training_rows(config: IngestSettings, validation: NDArray[np.bool_]) -> None:
    """Check that the simplest pulsating flow can be fitted to what there is to train on."""
    rows = int(np.sum(~validation))
    if rows < MINIMUM_ROWS:
        raise UserError(
            f"{config.tracks_named}: found {rows} of {len(validation)} rows to train on by "
            f"ingest.split, expected at least {MINIMUM_ROWS}: the simplest pulsating flow has "
            f"{MINIMUM_ROWS // 2} coefficients"
        )


def check_enough_kept(
    config: IngestSettings, kept: NDArray[np.bool_], validation: NDArray[np.bool_]
) -> None:
    """Check that there is something to train on and to validate with."""
    sides = {
        "training rows": (~validation, MINIMUM_ROWS),
        "held-out rows": (validation, 1),
    }
    for name, (side, least) in sides.items():
        if np.sum(kept & side) < least:
            raise UserError(
                f"{config.exclude}: leaves {np.sum(kept & side)} of {side.sum()} {name} of "
                f"{config.tracks_named}, expected at least {least}"
            )


def _box(points: Array, unit: str, key: str) -> str:
    low, high = (
        edge / to_si(unit, "[length]", f"ingest.units.{key}")
        for edge in (points.min(axis=0), points.max(axis=0))
    )
    return (
        ", ".join(f"{name} {a:.4g} to {b:.4g}" for name, a, b in zip("xyz", low, high, strict=True))
        + f" {unit}"
    )
