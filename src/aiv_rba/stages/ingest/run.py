"""Stage ingest: from the experimenter's files to ``case.h5``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case, Tracks, Wall, write_case
from aiv_rba.files.formats import Array, atomic_path, sha256
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.scales import Scales, to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.choices import (
    choose_harmonics,
    choose_noise,
    choose_scales,
    choose_wall_error,
)
from aiv_rba.stages.ingest.continuation import continued
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.exclude import excluded_rows
from aiv_rba.stages.ingest.picture import draw
from aiv_rba.stages.ingest.smoothing import ROUGH, smoothed
from aiv_rba.stages.ingest.summary import Findings, summarise
from aiv_rba.stages.ingest.tracks import MINIMUM_ROWS, TrackTable, read_tracks, validation_rows
from aiv_rba.stages.ingest.velocities import differences, noise
from aiv_rba.stages.ingest.wall_function import fit_wall_function
from aiv_rba.stages.ingest.walls import Surface, read_wall
from aiv_rba.terminal import say

# A point this share of the hydraulic radius outside the wall still counts as inside: a wall of
# flat triangles cuts the corners of the true one by about one percent, and a plane of focus is
# only a nominal depth of a slab that is itself a few percent thick.
TOLERANCE = 0.01
NOMINAL_DEPTH_TOLERANCE = 0.05


def ingest(config: IngestSettings, results: Results) -> None:
    """Check tracks and wall, make them nondimensional, split them, and write the case.

    Says what it chose by itself.

    Parameters
    ----------
    config
        Section ``ingest`` of the experiment; its paths are relative to the working directory.
    results
        Where the case, the summary and the picture of the tracks are written: all or none.

    Raises
    ------
    UserError
        At the first thing that is wrong with the input.
    """
    for output in (results.case, results.ingestion, results.tracks_picture):
        if output.is_dir():
            raise UserError(f"{output}: is a folder, expected the name of a file to write")
    with recorded(results.record("ingest"), "ingest", [Path(file) for file in _sources(config)]):
        _ingest(config, results)


def _sources(config: IngestSettings) -> list[str]:
    """Files that the ingestion reads: tracks, walls, rows to leave out."""
    return [
        config.tracks,
        config.wall,
        *(file for file in (config.inner_wall, config.exclude) if file is not None),
    ]


def _ingest(config: IngestSettings, results: Results) -> None:
    axis = "xyz".index(config.axis)
    table = read_tracks(
        Path(config.tracks),
        config.units,
        config.period,
        with_velocity=config.velocities == "columns",
    )
    rows = len(table)
    listed = np.empty(0, dtype=np.int64)
    if config.exclude is not None:
        named = excluded_rows(Path(config.exclude), table, Path(config.tracks))
        listed = table.line[named]
    if config.velocities == "differences":
        table = differences(table, config.period, Path(config.tracks))
    computed = len(table)

    walls = [read_wall(Path(config.wall), config.units.wall, axis)]
    if config.inner_wall is not None:
        walls.append(read_wall(Path(config.inner_wall), config.units.wall, axis, inner=True))
    origin, radius = _size(walls)
    chosen = choose_scales(config, table, radius, origin)
    scales = chosen.scales
    walls = [replace(wall, points=_scaled(wall.points, scales)) for wall in walls]
    enclosure = Enclosure(*walls)
    enclosure.check_nested(axis, f"{config.inner_wall} in {config.wall}")
    function = fit_wall_function(continued(enclosure, axis), axis, enclosure)
    walls = [smoothed(wall, function) for wall in walls]
    enclosure = Enclosure(*walls)

    distance = enclosure.distance_outside(_scaled(table.position, scales)) / enclosure.radius
    allowed = NOMINAL_DEPTH_TOLERANCE if table.nominal_depth else TOLERANCE
    outside = distance > allowed
    _check_overlap(config, table, walls[0], scales, outside)
    if config.outside == "drop":
        table = table.rows(~outside)
    if len(table) < MINIMUM_ROWS:
        raise UserError(
            f"{config.tracks}: found {len(table)} rows inside the wall, expected at least "
            f"{MINIMUM_ROWS}"
        )

    wall_error, error_reason = choose_wall_error(config, walls, function, scales)
    # After the split, so that every track stays on its side whatever is left out.
    validation = validation_rows(table.track, config.split)
    kept = ~np.isin(table.line, listed)
    if config.exclude is not None:
        _check_enough(config, kept, validation)
    table = table.rows(kept)
    tracks = _tracks(table, scales, validation[kept])

    sources = {file: sha256(Path(file)) for file in _sources(config)}
    sigma = choose_noise(table, scales.velocity)
    harmonics, reason = choose_harmonics(tracks, sigma, function, scales.nondimensional_period)
    result = Case(
        tracks=tracks,
        wall=_wall(walls),
        scales=scales,
        axis=axis,
        lumen="single" if enclosure.inner is None else "annular",
        radius=enclosure.radius,
        wall_function=function,
        wall_error=wall_error,
        noise=sigma,
        harmonics=harmonics,
        chosen=chosen.reasons
        | {
            "harmonics of time": reason,
            "roughness of the wall": f"{100 * function.roughness:.2g} % of the hydraulic radius, "
            "the rms distance of its vertices from the surface on which velocity vanishes, "
            + ("onto which they are moved" if function.roughness > ROUGH else "taken as given"),
            "error of the wall": error_reason,
        },
        sources=sources,
        identity=_identity(config, list(sources.values())),
    )
    findings = Findings(
        rows=rows,
        computed=computed,
        tolerated=int(np.sum((distance > 0) & ~outside)),
        outside=int(outside.sum()),
        excluded=int((~kept).sum()),
        noise=noise(table),
        notes=tuple(
            f"{file}: {note}"
            for file, wall in zip((config.wall, config.inner_wall), walls, strict=False)
            for note in wall.notes
        ),
        warnings=_warnings(config, result, float(outside.mean())),
    )
    with atomic_path(results.ingestion) as text, atomic_path(results.tracks_picture) as image:
        text.write_text(summarise(config, result, enclosure, findings), encoding="utf-8")
        draw(image, config, result)
        write_case(results.case, result)
    say(f"ingest: {len(result.tracks.row)} of {rows} rows in {results.case}")
    if config.exclude is not None:
        say(f"  excluded: {findings.excluded} of {rows} rows by {config.exclude}")
    for what, choice in result.chosen.items():
        say(f"  chosen: {what} {choice}")


def _size(walls: list[Surface]) -> tuple[tuple[float, float, float], float]:
    """Middle of the outer wall's bounding box, and hydraulic radius of the lumen, m."""
    low, high = walls[0].points.min(axis=0), walls[0].points.max(axis=0)
    x, y, z = ((low + high) / 2).tolist()
    # VTK's tolerances suit lengths of order one.
    unit = float(np.linalg.norm(high - low))
    scaled = [replace(w, points=(w.points - np.array([x, y, z])) / unit) for w in walls]
    return (x, y, z), Enclosure(*scaled).radius * unit


def _scaled(points: Array, scales: Scales) -> Array:
    scaled: Array = (points - np.array(scales.origin)) / scales.length
    return scaled


def _tracks(table: TrackTable, scales: Scales, validation: NDArray[np.bool_]) -> Tracks:
    return Tracks(
        points=np.column_stack([table.time / scales.time, _scaled(table.position, scales)]),
        velocity={name: values / scales.velocity for name, values in table.velocity.items()},
        track=table.track,
        plane=table.plane,
        row=table.line - 2,
        validation=validation,
    )


def _wall(walls: list[Surface]) -> Wall:
    """The outer wall (patch 0) and the inner one (patch 1), vertices numbered on."""
    offsets = [0, len(walls[0].points)]
    return Wall(
        points=np.concatenate([wall.points for wall in walls]),
        normals=np.concatenate([wall.normals for wall in walls]),
        triangles=np.concatenate(
            [wall.triangles + offset for wall, offset in zip(walls, offsets, strict=False)]
        ),
        patch=np.concatenate(
            [np.full(len(wall.triangles), number) for number, wall in enumerate(walls)]
        ),
    )


def _identity(config: IngestSettings, hashes: list[str]) -> str:
    """SHA-256 of the sources' contents and the settings, wherever the files lie."""
    settings = asdict(config)
    for name in ("tracks", "wall", "inner_wall", "exclude"):
        del settings[name]
    text = json.dumps({"sources": hashes, "settings": settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_enough(
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
                f"{config.tracks}, expected at least {least}"
            )


def _check_overlap(
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
            f"{config.tracks}: no row lies inside {config.wall}: tracks span "
            f"{_box(table.position, config.units.length, 'length')}, the wall "
            f"{_box(wall_points, config.units.wall, 'wall')}, expected them to overlap: check "
            "ingest.units"
        )
    if outside.any() and config.outside == "error":
        line = table.line[outside].min()
        raise UserError(
            f"{config.tracks}: line {line}: {outside.sum()} of {len(table)} rows lie outside "
            f"{config.wall}, this is the first; expected none with ingest.outside: error"
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


def _warnings(config: IngestSettings, case: Case, outside: float) -> tuple[str, ...]:
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
    if duration < 0.5:
        warnings.append(
            f"times cover only {100 * duration:.2g} % of the period: check ingest.units.time and "
            "ingest.period"
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
