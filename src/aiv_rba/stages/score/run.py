"""Stage score: errors on held-out tracks, quality and, where it is known, the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiv_rba.errors import UserError
from aiv_rba.fields.flow import Flow, open_flow
from aiv_rba.files.differences import write_differences
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.files.truth import TABLES, open_truth
from aiv_rba.settings import ScoreSettings
from aiv_rba.stages.score.quality import quality
from aiv_rba.stages.score.spread import coverage, shares_within, summary
from aiv_rba.stages.score.suspicious import (
    Suspicion,
    against_known,
    counts,
    known_outliers,
    suspect,
    write_tables,
)
from aiv_rba.stages.score.tracks import noise_floor, on_tracks
from aiv_rba.stages.score.truth import against_truth
from aiv_rba.stages.score.truth_table import (
    against_table,
    compared_deviations,
    read_truth_table,
)
from aiv_rba.terminal import say


def score(settings: ScoreSettings, results: Results) -> None:
    """Write scores.json, suspicious rows and tracks, and differences.h5 if the truth is known.

    Raises
    ------
    UserError
        If a file is damaged, or model or truth belong to another experiment.
    """
    truth = [Path(settings.truth)] if settings.truth else []
    inputs = [results.case, results.model, results.deviations, *truth]
    with recorded(results, "score", inputs):
        _score(settings, results)


def _score(settings: ScoreSettings, results: Results) -> None:
    flow = open_flow(results.folder, device=settings.device)
    experiment, trained = flow.case, flow.model
    result = on_tracks(experiment, trained)
    result["uncertainty"] = summary(flow)
    result["quality"] = quality(
        experiment, trained, result, result["uncertainty"].get("relative", {})
    )
    found = suspect(experiment, trained)
    result["suspicious"] = counts(found)
    if settings.truth and Path(settings.truth).suffix in TABLES:
        _score_table(Path(settings.truth), flow, result)
    elif settings.truth:
        _score_fields(Path(settings.truth), flow, found, results, result)
    result["case"] = experiment.identity
    write_tables(results, experiment, found)
    with atomic_path(results.scores) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    say(f"score: {results.scores}")


def _score_fields(
    path: Path, flow: Flow, found: Suspicion, results: Results, result: dict[str, Any]
) -> None:
    """Add what a file of true fields says, and write the differences from them."""
    experiment = flow.case
    if experiment.flow == "unsteady":
        raise UserError(
            f"score.truth: found {path}, whose fields are harmonics of a period, expected a table "
            "for an unsteady flow"
        )
    with open_truth(path) as file:
        result["noise_floor"] = noise_floor(path, file, experiment)
        known = known_outliers(path, file, experiment)
        compared = against_truth(file, experiment, flow.model)
    if flow.deviations is not None:
        result["uncertainty"]["coverage"] = coverage(flow, compared)
    result["truth"], result["truth_outside"] = compared.errors, compared.outside
    result["challenge"] = compared.challenge
    if compared.wall_share is not None:
        result["wss_wall_share"] = compared.wall_share
    if known is not None:
        result["suspicious"]["known"] = against_known(found, *known)
    write_differences(results.differences, compared.differences, experiment.identity)


def _score_table(path: Path, flow: Flow, result: dict[str, Any]) -> None:
    """Add what a table of true values says."""
    table = read_truth_table(path, timed=flow.case.flow != "steady")
    compared = against_table(path, table, flow)
    if flow.deviations is not None:
        result["uncertainty"]["coverage"] = shares_within(compared_deviations(compared, flow))
    result["truth"], result["truth_outside"] = compared.errors, compared.outside
    result["challenge"] = compared.challenge
