"""Stage ingest: from the experimenter's files to ``case.h5``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.case import Case, Tracks, write_case
from aiv_rba.files.formats import atomic_path, sha256
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.files.warnings import InputWarning
from aiv_rba.paths import is_folder
from aiv_rba.scales import Scales, to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.choices import (
    choose_noise,
    choose_scales,
    choose_wall_error,
)
from aiv_rba.stages.ingest.exclude import excluded_rows
from aiv_rba.stages.ingest.inside import distance_near
from aiv_rba.stages.ingest.lumen import read_walls
from aiv_rba.stages.ingest.picture import draw
from aiv_rba.stages.ingest.plausibility import (
    check_enough_kept,
    check_overlap,
    check_rows_inside,
    check_training_rows,
    find_warnings,
    stop_unless_accepted,
)
from aiv_rba.stages.ingest.plausibility.evidence import Evidence
from aiv_rba.stages.ingest.readers.openptv import frames
from aiv_rba.stages.ingest.smoothing import ROUGH
from aiv_rba.stages.ingest.summary import Findings, summarise
from aiv_rba.stages.ingest.time_content import NAMES, choose_modes
from aiv_rba.stages.ingest.times import timed
from aiv_rba.stages.ingest.tracks import TrackTable, read_tracks, validation_rows
from aiv_rba.stages.ingest.velocities import choose_interval, differences, noise
from aiv_rba.stages.ingest.vessel import make_vessel, scaled
from aiv_rba.terminal import say, warn

# A point this share of the hydraulic radius outside the wall still counts as inside: a wall of
# flat triangles cuts the corners of the true one by about one percent, and a plane of focus is
# only a nominal depth of a slab that is itself a few percent thick.
TOLERANCE = 0.01
NOMINAL_DEPTH_TOLERANCE = 0.05
# Size of the cells in which rows are settled together, in hydraulic radii.
CELL = 0.08


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
    with recorded(results, "ingest", _sources(config)) as record:
        warnings = _ingest(config, results)
        record["warnings"] = [warning.to_dict() for warning in warnings]


def _sources(config: IngestSettings) -> list[Path]:
    """Files that the ingestion reads: tracks, walls, rows to leave out."""
    tracks = [
        file
        for path in config.track_files
        for file in ([frame for _, frame in frames(path)] if is_folder(path) else [path])
    ]
    others = [*config.walls, *([] if config.exclude is None else [config.exclude])]
    return [*tracks, *map(Path, others)]


def _ingest(config: IngestSettings, results: Results) -> tuple[InputWarning, ...]:
    table = read_tracks(config)
    if not table.velocity:
        config = replace(config, velocities="differences")
    rows = len(table)
    listed = np.empty(0, dtype=np.int64)
    if config.exclude is not None:
        named = excluded_rows(Path(config.exclude), table, config.tracks_named)
        listed = table.row[named]
    interval, interval_reason = 0.0, ""
    if config.flow != "steady":
        interval, interval_reason = choose_interval(table, config)
    if config.velocities == "differences":
        table = differences(table, config.period, config.tracks_named)
    computed = len(table)
    measured = table
    found = timed(config, table)
    table = found.table

    walls = read_walls(config)
    chosen = choose_scales(config, found, walls.enclosure)
    scales = chosen.scales
    vessel = make_vessel(walls.enclosure, scales, walls.names)
    enclosure, function = vessel.enclosure, vessel.function

    allowed = enclosure.radius * (NOMINAL_DEPTH_TOLERANCE if table.nominal_depth else TOLERANCE)
    distance = distance_near(
        enclosure.distance_outside,
        scaled(table.position, scales),
        margin=1.1 * allowed,
        cell=CELL * enclosure.radius,
    )
    outside = distance > allowed
    check_overlap(config, table, enclosure.outer, scales, outside)
    if config.outside == "drop":
        table = table.rows(~outside)
    check_rows_inside(config, len(table))

    wall_error, error_reason = choose_wall_error(config, enclosure, function, scales)
    # After the split, so that every track stays on its side whatever is left out.
    validation = validation_rows(table.track, config.split)
    check_training_rows(config, validation)
    kept = ~np.isin(table.row, listed)
    if config.exclude is not None:
        check_enough_kept(config, kept, validation)
    table = table.rows(kept)
    tracks = _tracks(table, scales, validation[kept])

    sources = {str(file): sha256(file) for file in _sources(config)}
    speed = to_si(config.units.velocity, "[length]/[time]", "ingest.units.velocity")
    given: dict[str, float] = {name: std * speed for name, std in config.velocity_std.items()}
    sigma = choose_noise(table, scales.velocity, given)
    harmonics, reason = choose_modes(tracks, sigma, function, scales, enclosure.axis)
    roughness = function.roughness / enclosure.radius
    result = Case(
        tracks=tracks,
        wall=vessel.wall,
        scales=scales,
        axis=vessel.axis,
        lumen=vessel.lumen,
        radius=enclosure.radius,
        wall_function=function,
        wall_error=wall_error,
        noise=sigma,
        harmonics=harmonics,
        chosen={"vessel": walls.reason}
        | chosen.reasons
        | ({"interval of the velocities": interval_reason} if interval_reason else {})
        | {
            NAMES[config.flow]: reason,
            "roughness of the wall": f"{100 * roughness:.2g} % of the hydraulic radius, "
            "the rms distance of its vertices from the surface on which velocity vanishes, "
            + ("onto which they are moved" if roughness > ROUGH else "taken as given"),
            "error of the wall": error_reason,
        },
        sources=sources,
        identity=_identity(config, list(sources.values())),
        openings=vessel.openings,
        interval=interval / scales.time,
    )
    evidence = Evidence(config, measured, result, int(outside.sum()), len(outside))
    warnings = find_warnings(evidence)
    for warning in warnings:
        warn(f"warning: {warning}")
    stop_unless_accepted(warnings)
    findings = Findings(
        rows=rows,
        computed=computed,
        tolerated=int(np.sum((distance > 0) & ~outside)),
        outside=int(outside.sum()),
        excluded=int((~kept).sum()),
        noise=noise(table),
        notes=(
            *table.notes,
            *(f"{config.tracks_named}: {note}" for note in found.notes),
            *(
                f"{file}: {note}"
                for file, wall in zip(walls.names, enclosure.walls, strict=True)
                for note in wall.notes
            ),
        ),
        warnings=warnings,
    )
    with atomic_path(results.ingestion) as text, atomic_path(results.tracks_picture) as image:
        text.write_text(summarise(config, result, walls, enclosure, findings), encoding="utf-8")
        draw(image, config, result)
        write_case(results.case, result)
    say(f"ingest: {len(result.tracks.row)} of {rows} rows in {results.case}")
    if config.exclude is not None:
        say(f"  excluded: {findings.excluded} of {rows} rows by {config.exclude}")
    for note in table.notes:
        say(f"  tracks: {note}")
    for what, choice in result.chosen.items():
        say(f"  chosen: {what} {choice}")
    return warnings


def _tracks(table: TrackTable, scales: Scales, validation: NDArray[np.bool_]) -> Tracks:
    time = (table.time - scales.start) / scales.time
    return Tracks(
        points=np.column_stack([time, scaled(table.position, scales)]),
        velocity={name: values / scales.velocity for name, values in table.velocity.items()},
        track=table.track,
        plane=table.plane,
        row=table.row,
        validation=validation,
        deviation={name: values / scales.velocity for name, values in table.deviation.items()},
    )


def _identity(config: IngestSettings, hashes: list[str]) -> str:
    """SHA-256 of the sources' contents and of the settings that change the case."""
    settings = asdict(config)
    files = ["tracks", "inner_wall", "exclude", "accept"]
    # The settings alone tell a wall that is no file.
    files += ["wall"] if isinstance(config.wall, str) else []
    for name in files:
        del settings[name]
    text = json.dumps({"sources": hashes, "settings": settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
