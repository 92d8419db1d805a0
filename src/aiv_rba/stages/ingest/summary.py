"""The summary of ingestion, for a person to read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.scales import to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.enclosure import Enclosure


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
    warnings: tuple[str, ...]


def summarise(config: IngestSettings, case: Case, enclosure: Enclosure, findings: Findings) -> str:
    """The text of the summary."""
    sections = {
        "Tracks": _tracks(config, case, findings),
        "Velocity": _velocity(config, case, findings),
        "Wall": _wall(config, case, enclosure),
        "Scales": _scales(case),
        "Chosen from the data": case.chosen,
    }
    lines = [f"Ingested {config.tracks_named} and {config.wall}", f"case {case.identity[:12]}"]
    for title, entries in sections.items():
        lines += ["", title, *(f"  {name:<24}{value}" for name, value in entries.items())]
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
    extent = np.ptp(case.wall.points, axis=0) * factor
    lower, upper = (enclosure.outer.points[loop].mean(axis=0) for loop in enclosure.outer.loops)
    length = float(np.linalg.norm(upper - lower)) * factor
    return {
        "lumen": case.lumen,
        "vessel axis": config.axis,
        "vertices, triangles": f"{len(case.wall.points)}, {len(case.wall.triangles)}",
        "extent x, y, z": f"{' x '.join(f'{size:.4g}' for size in extent)} {unit}",
        "length, end to end": f"{length:.4g} {unit}",
        "hydraulic radius": f"{enclosure.radius * factor:.4g} {unit}",
        "area of the wall": f"{enclosure.area * factor**2:.4g} {unit}^2",
        "wall function": f"{100 * case.wall_function.misfit:.2g} % of its size at the vertices",
        "volume of the lumen": f"{enclosure.volume * factor**3:.4g} {unit}^3",
    }


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
