"""Stage report: the page and summary.json."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from aiv_rba import __version__
from aiv_rba.errors import UserError
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import atomic_path, check_same_case, open_h5
from aiv_rba.files.records import read_record, recorded
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen
from aiv_rba.pages import Table, render
from aiv_rba.settings import ReportSettings
from aiv_rba.stages.report import figures
from aiv_rba.terminal import say

EARLIER = ("ingest", "points", "train", "fields", "score")
ENDED = {
    "iterations": "as many as allowed",
    "settled": "until nothing improved",
    "time": "until the limit of time",
}


def report(settings: ReportSettings, results: Results) -> None:
    """Write the page and summary.json, and say the headline numbers.

    Raises
    ------
    UserError
        If a file is missing or damaged.
    """
    inputs = [results.case, results.points, results.history, results.scores, results.hydraulics]
    with recorded(results.record("report"), "report", inputs):
        _report(settings, results)


def _report(settings: ReportSettings, results: Results) -> None:
    experiment = read_case(results.case)
    with open_h5(results.points, "points") as file:
        check_same_case(results.points, str(file.attrs["identity"]), experiment.identity)
    scored = _read_json(
        results.scores, ("case", "validation", "amplitude_bias", "rows", "histograms")
    )
    check_same_case(results.scores, str(scored["case"]), experiment.identity)
    for series in (results.volume, results.wall):
        _read(series)
    table = _read_csv(
        results.hydraulics,
        (
            "t_s",
            "flow_rate_m3_s",
            "flow_rate_spread_m3_s",
            "pressure_drop_pa",
            "hydraulic_resistance_pa_s_m3",
        ),
    )
    records = {stage: read_record(results.record(stage)) for stage in EARLIER}
    training = _training(results.record("train"), records["train"])
    lumen = Lumen.from_wall(experiment.wall, experiment.axis)

    drawn = [
        (
            figures.rendered(results.fields, settings.phases),
            "Inferred fields at phases of the cycle.",
        ),
        (
            figures.wall_map(results.fields, settings.phases, experiment.wall, lumen),
            "Wall shear stress, unrolled.",
        ),
        (figures.hydraulics(table), "Flow rate (band: spread over sections) and pressure drop."),
        (figures.histograms(scored["histograms"]), "Velocities on the validation rows."),
        (
            figures.training(_read_csv(results.history, ("step",))),
            "Training: loss terms, multipliers, validation.",
        ),
        (_read(results.tracks_picture), "Tracks in the wall."),
        (_read(results.groups_picture), "Training groups of the collocation points."),
    ]
    seconds = {stage: record["seconds"] for stage, record in records.items()}
    result = _summary(experiment, scored, records["train"], seconds)
    html = _page(settings, experiment, result, training, table, drawn)
    with atomic_path(results.page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    with atomic_path(results.summary) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in _headlines(result).items():
        say(f"{name:42} {value}")
    say(f"report   {results.page}")
    say(f"ParaView {results.volume} and {results.wall}")


def _training(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """How the network was trained, from the record of the training."""
    _check_names(path, record, ("training", "versions", "revision"))
    return dict(record["training"])


def _summary(
    case: Case, scored: dict[str, Any], record: dict[str, Any], seconds: dict[str, float]
) -> dict[str, Any]:
    training = record["training"]
    result: dict[str, Any] = {
        "validation": scored["validation"],
        "amplitude_bias": scored["amplitude_bias"],
        "seconds": seconds,
        "variant": training["multipliers"],
        "seeds": [training["seed"]],
        "world_size": training["world_size"],
        "points": training["points"],
        "tracks": scored["rows"],
        "parameters": training["parameters"],
        "iterations": training["iterations"],
        "ended": training["ended"],
        "optimiser": training["optimiser"],
        "versions": record["versions"],
        "revision": record["revision"],
        "chosen": case.chosen | training["chosen"],
        "case": case.identity,
        "sources": case.sources,
    }
    for name in ("truth", "truth_outside", "wss_wall_share", "noise_floor"):
        if name in scored:
            result[name] = scored[name]
    return result


def _headlines(result: dict[str, Any]) -> dict[str, str]:
    lines = {}
    for name, error in result["validation"].items():
        text = f"{100 * error:.2f} %"
        if "noise_floor" in result:
            floor = result["noise_floor"][name]
            text += f" (a perfect field: {100 * floor:.2f} %)"
        lines[f"relative L2 of {name} on held-out tracks"] = text
    for name, found in result["amplitude_bias"].items():
        lines[f"measured {name} exceeds the inferred by"] = (
            f"{100 * found['bias']:.2f} % +- {100 * found['standard_error']:.2f}"
        )
    for name, error in result.get("truth", {}).items():
        lines[f"relative L2 of {name} against the truth"] = f"{100 * error:.2f} %"
    lines["training"] = (
        f"{result['iterations']} steps, {ENDED[result['ended']]}, {result['world_size']} ranks, "
        f"{result['seconds']['train']:.0f} s"
    )
    return lines


def _page(
    settings: ReportSettings,
    case: Case,
    result: dict[str, Any],
    training: dict[str, Any],
    table: pd.DataFrame,
    drawn: list[tuple[bytes, str]],
) -> str:
    scales = case.scales
    tables = {
        "Result": _headlines(result),
        "Hydraulics": {
            "mean flow rate": f"{table.flow_rate_m3_s.mean() * 1e12:.4g} nL/s",
            "mean pressure drop": f"{table.pressure_drop_pa.mean():.4g} Pa",
            "hydraulic resistance": f"{table.hydraulic_resistance_pa_s_m3[0]:.4g} Pa s/m3",
        },
        "Scales": {
            "length": f"{scales.length:.4g} m",
            "velocity": f"{scales.velocity:.4g} m/s",
            "period": f"{scales.period:.4g} s",
            "Reynolds number": f"{scales.reynolds:.4g}",
            "Womersley number": f"{scales.womersley:.4g}",
            "pressure": f"{scales.pressure:.4g} Pa ({scales.pressure_scaling})",
        },
        "Chosen from the data": {k: _plain(v) for k, v in result["chosen"].items()},
        "Training": {key: _plain(value) for key, value in _flat(training["settings"])},
        "Provenance": {
            "aiv_rba": __version__,
            "revision": result["revision"],
            "case": result["case"],
            **{f"SHA-256 of {name}": value for name, value in result["sources"].items()},
            **{f"version of {name}": value for name, value in result["versions"].items()},
            **{f"seconds, {stage}": f"{s:.1f}" for stage, s in result["seconds"].items()},
        },
    }
    return render(
        settings.title,
        [Table(title, list(rows.items())) for title, rows in tables.items()],
        drawn,
    )


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested settings."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(_read(path))
    except ValueError:
        raise UserError(
            f"{path}: not valid JSON, expected the output of an earlier stage"
        ) from None
    _check_names(path, content if isinstance(content, dict) else (), keys)
    return dict(content)


def _read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    _read(path)
    try:
        table = pd.read_csv(path)
    except ValueError:
        raise UserError(f"{path}: not valid CSV, expected the output of an earlier stage") from None
    _check_names(path, table, columns)
    if table.empty:
        raise UserError(f"{path}: found no rows, expected the output of an earlier stage")
    return table


def _check_names(path: Path, found: Container[str], expected: tuple[str, ...]) -> None:
    missing = [name for name in expected if name not in found]
    if missing:
        raise UserError(
            f"{path}: {missing[0]!r} is missing, expected the output of an earlier stage"
        )
