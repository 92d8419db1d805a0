"""Velocities from positions along tracks, and the noise of velocities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.columns import MINIMUM_ROWS
from aiv_rba.stages.ingest.tracks import TrackTable


def differences(table: TrackTable, period: float | None, files: str) -> TrackTable:
    """Velocities from the positions along each track.

    In a periodic flow rows of one track are taken in the order of the file. Time is phase-merged,
    so a step from t1 to t2 lasts (t2 - t1) modulo the period. Without a period rows are taken in
    the order of time. A step longer than 1.5 times the median one is a gap
    that splits the track. At every row with both neighbours, steps h1 before and h2 after,

        v = (h1^2 x_next + (h2^2 - h1^2) x - h2^2 x_last) / (h1 h2 (h1 + h2)),

    second order also where the steps differ. The ends of the pieces have one neighbour only and
    are dropped: a one-sided formula of the same order has 3.6 times the noise. A component is
    computed along z only where z is measured, that is, where it varies along a track.

    Raises
    ------
    UserError
        If a step has no duration, rows are out of order, or too few rows are left.
    """
    table, same, step = in_tracks(table, period)
    still = same & (step == 0)
    if still.any():
        row = table.row[1:][still][0]
        raise UserError(
            f"{table.where(row)}: same time as the row before in track "
            f"{table.track[1:][still][0]}, expected distinct times for velocities: differences"
        )
    usual = float(np.median(step[same])) if same.any() else 0.0
    if period is not None and usual > period / 4:
        raise UserError(
            f"{files}: rows of a track are {usual / period:.2f} periods apart, expected rows in "
            "order of time and at least four in a period for velocities: differences"
        )
    joined = same & (step <= 1.5 * usual)
    inner = 1 + np.nonzero(joined[1:] & joined[:-1])[0]
    if len(inner) < MINIMUM_ROWS:
        raise UserError(
            f"{files}: found {len(inner)} rows with both neighbours in their track, expected at "
            f"least {MINIMUM_ROWS} for velocities: differences"
        )
    h1, h2 = step[inner - 1, None], step[inner, None]
    last, here, after = (table.position[inner + shift] for shift in (-1, 0, 1))
    slope = (h1**2 * after + (h2**2 - h1**2) * here - h2**2 * last) / (h1 * h2 * (h1 + h2))
    planar = table.nominal_depth or not np.any(np.diff(table.position[:, 2])[same])
    names = "uv" if planar else "uvw"
    components = {name: slope[:, column] for column, name in enumerate(names)}
    return replace(table.rows(inner), velocity=components)


def in_tracks(
    table: TrackTable, period: float | None
) -> tuple[TrackTable, NDArray[np.bool_], Array]:
    """Rows track by track, and the steps from each row to the next.

    With a period, s, rows of a track stay in the order of the file, and a step lasts its time
    modulo the period; without one they are put in order of time.

    Returns
    -------
    table, same, step
        The rows (N,); whether a step (N - 1,) stays in its track; how long it lasts, s.
    """
    if period is None:
        table = table.rows(np.lexsort((table.time, table.track)))
        step = np.diff(table.time)
    else:
        table = table.rows(np.argsort(table.track, kind="stable"))
        step = np.mod(np.diff(table.time), period)
    return table, table.track[1:] == table.track[:-1], step


def choose_interval(table: TrackTable, config: IngestSettings) -> tuple[float, str]:
    """Time over which a velocity is a mean, s, and where it comes from.

    Velocities in the columns are taken for central differences, over two steps between rows of a
    track, unless the experiment says otherwise. Where such steps are longer than a quarter of the
    period they say nothing, since a central difference would not show how the flow changes.

    Parameters
    ----------
    table
        The rows as they were read, before differences.
    config
        Section ``ingest``; an interval that is ``auto`` is chosen.
    """
    if config.velocity_interval != "auto":
        return config.velocity_interval, f"{config.velocity_interval:.4g} s, as given"
    table, same, step = in_tracks(table, config.period)
    usual = float(np.median(step[same])) if same.any() else 0.0
    if config.velocities == "columns" and config.period and usual > config.period / 4:
        return 0.0, (
            f"0 s: rows of a track are {usual / config.period:.2f} periods apart, too far for "
            "central differences"
        )
    return 2 * usual, f"{2 * usual:.4g} s, two steps between rows of a track"


def noise(table: TrackTable) -> dict[str, float]:
    """Estimate of the velocity noise, by component, m/s.

    A smooth velocity has nearly no second difference over three rows of a track; independent
    noise of standard deviation sigma gives one of sqrt(6) sigma. The median absolute deviation
    keeps outliers out. Components without three consecutive rows are left out.
    """
    order = np.argsort(table.track, kind="stable")
    track = table.track[order]
    triple = track[2:] == track[:-2]
    if not triple.any():
        return {}
    return {
        name: float(np.median(np.abs(np.diff(values[order], 2)[triple])) / 0.6745 / np.sqrt(6))
        for name, values in table.velocity.items()
    }
