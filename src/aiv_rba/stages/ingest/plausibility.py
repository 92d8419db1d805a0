"""What looks wrong in the input: what ends the ingestion, and what a person should know."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
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


def check_enough_kept(
    config: IngestSettings, kept: NDArray[np.bool_], validation: NDArray[np.bool_]
) -> None:
    """Check that there is something to train on and to validate with."""
    sides = {
        "training rows": (~validation, 1),
        "held-out rows": (validation, 1),
        "rows": (np.ones_like(kept), MINIMUM_ROWS),
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


def find_warnings(config: IngestSettings, case: Case, outside: float) -> tuple[str, ...]:
    """What looks wrong in the input but need not be a mistake."""
    warnings = []
    if outside > 0.1:
        warnings.append(f"{100 * outside:.0f} % of the rows lie outside the wall")
    position = case.tracks.points[:, 1 + case.axis]
    covered = np.ptp(position) / np.ptp(case.wall.points[:, case.axis])
    if covered < 0.2:
        warnings.append(
            f"tracks cover only {100 * covered:.2g} % of the length of the wall: check ingest.units"
        )
    duration = np.ptp(case.tracks.points[:, 0]) / case.scales.nondimensional_period
    if case.flow != "steady" and duration < 0.5:
        span = {"periodic": "period", "unsteady": "window"}[case.flow]
        warnings.append(
            f"times cover only {100 * duration:.2g} % of the {span}: check ingest.units.time and "
            f"ingest.{span}"
        )
    size = np.sqrt(sum(np.mean(values**2) for values in case.tracks.velocity.values()))
    if not 0.02 < size < 50:
        warnings.append(
            f"the rms velocity is {size:.2g} velocity scales: check ingest.units.velocity and "
            "ingest.velocity_scale"
        )
    if "uvw"[case.axis] not in case.tracks.velocity:
        warnings.append(
            f"the axial velocity {'uvw'[case.axis]} is not measured: the flow is inferred from the "
            "other components alone"
        )
    return tuple(warnings)
