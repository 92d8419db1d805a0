"""The summary of ingestion, for a person to read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.files.warnings import InputWarning
from aiv_rba.scales import to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.lumen import Walls


@dataclass(frozen=True)
class Findings:
    """What ingestion found and the case does not hold.

    Attributes
    ----------
    rows, computed
        Rows of the file; rows with a velocity.
    tolerated, outside
        Rows outside the wall within the tolerance, and beyond it.
    excluded
        Rows left out because the user asked for it.
    noise
        Estimated noise of each velocity component, m/s.
    notes, warnings
        Repairs made; doubts.
    """

    rows: int
    computed: int
    tolerated: int
    outside: int
    excluded: int
    noise: dict[str, float]
    notes: tuple[str, ...]
    warnings: tuple[InputWarning, ...]


def summarise(
    config: IngestSettings, case: Case, walls: Walls, enclosure: Enclosure, findings: Findings
) -> str:
    """The text of the summary."""
    sections = {
        "Tracks": _tracks(config, case, findings),
        "Velocity": _velocity(config, case, findings),
        "Wall": _wall(config, case, enclosure),
        "Openings": _openings(config, case),
        "Faces that are a wall": _closed_faces(config, walls),
        "Scales": _scales(case),
        "Chosen from the data": case.chosen,
    }
    files = f"{config.tracks_named} and {', '.join(walls.names)}"
    lines = [f"Ingested {files}", f"case {case.identity[:12]}"]
    for title, entries in sections.items():
        if entries:
            lines += ["", title, *(f"  {name:<26}  {value}" for name, value in entries.items())]
    for title, remarks in (("Repairs", findings.notes), ("Warnings", findings.warnings)):
        lines += ["", title, *(f"  - {remark}" for remark in remarks or ("none",))]
    return "\n".join(lines) + "\n"


def _tracks(config: IngestSettings, case: Case, findings: Findings) -> dict[str, str]:
    tracks, scales = case.tracks, case.scales
    rows = len(tracks.row)
    trained = int(np.sum(~tracks.validation))
    sides = [len(np.unique(tracks.track[side])) for side in (~tracks.validation, tracks.validation)]
    time = scales.seconds(tracks.points[:, 0])
    covered = {
        "periodic": f"{time.min():.4g} to {time.max():.4g} s of the period {scales.period:.4g} s",
        "steady": "none, the flow is steady",
        "unsteady": f"{time.min():.4g} to {time.max():.4g} s of the recording",
    }
    planes = len(np.unique(tracks.plane))
    entries = {"rows read": f"{findings.rows}"}
    if config.velocities == "differences":
        entries["without difference"] = f"{findings.rows - findings.computed} (ends of tracks)"
    share = 100 * findings.outside / findings.computed
    fate = {"drop": "dropped", "keep": "kept", "error": ""}[config.outside]
    if config.exclude is not None:
        entries["excluded"] = f"{findings.excluded} by {config.exclude}"
    return entries | {
        "outside the wall": f"{findings.outside} ({share:.2g} %) {fate}".rstrip(),
        "outside, tolerated": f"{findings.tolerated}",
        "rows used": f"{rows} in {len(np.unique(tracks.track))} tracks"
        + (f", {planes} planes" if planes > 1 else ""),
        "split": f"by {config.split.by}, seed {config.split.seed}: "
        f"{trained} rows train ({100 * trained / rows:.1f} %), {rows - trained} validate; "
        f"tracks {sides[0]} and {sides[1]}",
        "time": covered[case.flow],
    }


def _velocity(config: IngestSettings, case: Case, findings: Findings) -> dict[str, str]:
    unit = config.units.velocity
    factor = case.scales.velocity / to_si(unit, "[length]/[time]", "ingest.units.velocity")
    entries: dict[str, str] = {"source": config.velocities}
    for name, values in case.tracks.velocity.items():
        rms = float(np.sqrt(np.mean(values**2)))
        entries[f"rms {name}"] = f"{rms * factor:.4g} {unit}"
        if name in findings.noise and rms > 0:
            level = findings.noise[name] / case.scales.velocity / rms
            entries[f"rms {name}"] += f", noise about {100 * level:.2g} % of it"
    return entries


def _wall(config: IngestSettings, case: Case, enclosure: Enclosure) -> dict[str, str]:
    unit = config.units.wall
    factor = case.scales.length / to_si(unit, "[length]", "ingest.units.wall")
    extent = np.ptp(case.corners, axis=0) * factor
    entries: dict[str, str] = {"lumen": case.lumen}
    if enclosure.axis is not None:
        lower, upper = (enclosure.outer.points[loop].mean(axis=0) for loop in enclosure.outer.loops)
        length = float(np.linalg.norm(upper - lower)) * factor
        entries |= {
            "vessel axis": "xyz"[enclosure.axis],
            "length, end to end": f"{length:.4g} {unit}",
        }
    if len(enclosure.walls) > 1:
        entries["inner walls, bodies"] = f"{len(enclosure.inner)}"
    return entries | {
        "vertices, triangles": f"{len(case.wall.points)}, {len(case.wall.triangles)}",
        "extent x, y, z": f"{' x '.join(f'{size:.4g}' for size in extent)} {unit}",
        enclosure.radius_name: f"{enclosure.radius * factor:.4g} {unit}",
        "area of the wall": f"{enclosure.area * factor**2:.4g} {unit}^2",
        "wall function": f"{100 * case.wall_function.misfit:.2g} % of its size at the vertices",
        "volume of the lumen": f"{enclosure.volume * factor**3:.4g} {unit}^3",
    }


def _openings(config: IngestSettings, case: Case) -> dict[str, str]:
    """Every opening: area, middle and outer normal."""
    unit = config.units.wall
    factor = case.scales.length / to_si(unit, "[length]", "ingest.units.wall")
    origin = np.array(case.scales.origin) / case.scales.length
    entries = {}
    for opening in case.openings:
        areas = np.linalg.norm(opening.areas, axis=1)
        corners = opening.points[opening.triangles].mean(axis=1)
        middle = areas @ corners / areas.sum()
        entries[opening.name] = _face(
            float(areas.sum()) * factor**2, (middle + origin) * factor, opening.normal, unit
        )
    return entries


def _closed_faces(config: IngestSettings, walls: Walls) -> dict[str, str]:
    """Every face that could be an opening and is none."""
    return {
        face.name: _face(face.area, face.centre, face.normal, config.units.wall)
        for face in walls.faces
        if not face.open
    }


def _face(area: float, centre: Array, normal: Array, unit: str) -> str:
    # What is nothing but rounding, and its sign, would be hard to read.
    size = np.sqrt(area)
    place = ", ".join(f"{value:.4g}" for value in np.round(centre / size, 6) * size + 0.0)
    text = f"{area:.4g} {unit}^2 round ({place}) {unit}"
    if normal.any():
        text += f", outwards is ({', '.join(f'{v:.2f}' for v in np.round(normal, 2) + 0.0)})"
    return text


def _scales(case: Case) -> dict[str, str]:
    scales = case.scales
    origin = ", ".join(f"{value:.6g}" for value in scales.origin)
    duration = f"{scales.period:.4g} s = {scales.nondimensional_period:.4g} L / U"
    of_time = {
        "periodic": {"period": duration, "Womersley number": f"{scales.womersley:.4g}"},
        "steady": {},
        "unsteady": {"window": f"{scales.start:.4g} to {scales.end:.4g} s, {duration}"},
    }
    return {
        "length L": f"{scales.length:.4g} m",
        "velocity U": f"{scales.velocity:.4g} m/s",
        "time L / U": f"{scales.time:.4g} s",
        "pressure": f"{scales.pressure:.4g} Pa ({scales.pressure_scaling})",
        "origin x, y, z": f"({origin}) m",
        "Reynolds number": f"{scales.reynolds:.4g}",
        **of_time[case.flow],
    }
