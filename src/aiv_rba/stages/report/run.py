"""Stage report: the page and summary.json."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from vtkmodules.vtkCommonCore import vtkLogger

from aiv_rba.files.case import Case, read_case
from aiv_rba.files.differences import read_differences
from aiv_rba.files.formats import atomic_path, check_same_case, open_h5
from aiv_rba.files.records import read_record, recorded
from aiv_rba.files.results import Results
from aiv_rba.files.warnings import InputWarning
from aiv_rba.pages import Figure, Section, Verdict, render
from aiv_rba.settings import ReportSettings
from aiv_rba.stages.report import figures, tables
from aiv_rba.stages.report.inputs import check_names, read, read_csv, read_json
from aiv_rba.stages.report.opened import OpeningFlow, drops_between, imbalance_in, opened
from aiv_rba.stages.report.phases import Phase, telling_phases
from aiv_rba.stages.report.pictures import Pictures, pictures_of
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.terminal import say

EARLIER = ("ingest", "points", "train", "fields", "score")
HYDRAULICS = ("t_s", "flow_rate_m3_s", "pressure_drop_pa", "hydraulic_resistance_pa_s_m3")
SCORED = (
    *("case", "validation", "amplitude_bias", "quality", "rows", "histograms", "suspicious"),
    "uncertainty",
)
HOW_SPREAD = {
    "curvature": "Standard deviations are from the curvature of the loss. They contain the noise "
    "of the tracks, equations that the network does not resolve, the position of the wall and the "
    "amplitude of the flow; not a wrong period, viscosity or vessel. That of a vector is the root "
    "of the sum of squares of those of its components.",
    "ensemble": "Standard deviations are the spread of networks that were trained anew on tracks "
    "drawn with replacement.",
    "none": "There are no standard deviations: train.uncertainty.method: ensemble gives them, at "
    "the cost of further trainings.",
}
HOW_MUCH_PASSES = (
    "The flow rate of a vessel of any shape is half the sum of the magnitudes of those of its "
    "openings. They would sum to zero if mass were conserved exactly."
)
HOW_TRUTH_IS_DRAWN = (
    "The truth is known at {points} scattered points: the difference (inferred minus true) is "
    "interpolated between them, and the truth drawn is the inferred field less that difference."
)


def report(settings: ReportSettings, results: Results) -> None:
    """Write the page and summary.json, and say the headline numbers.

    Raises
    ------
    UserError
        If a file is missing or damaged.
    """
    inputs = [results.case, results.points, results.history, results.scores, results.hydraulics]
    with recorded(results, "report", inputs):
        _report(settings, results)


def _report(settings: ReportSettings, results: Results) -> None:
    # Off screen there is no X server, and VTK warns of it.
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    experiment = read_case(results.case)
    with open_h5(results.points, "points") as file:
        check_same_case(results.points, str(file.attrs["identity"]), experiment.identity)
    scored = read_json(
        results.scores,
        (
            "case",
            "validation",
            "amplitude_bias",
            "quality",
            "rows",
            "histograms",
            "suspicious",
            "uncertainty",
        ),
    )
    check_same_case(results.scores, str(scored["case"]), experiment.identity)
    for series in (results.volume, results.wall):
        read(series)
    spread = () if experiment.lumen == "general" else ("flow_rate_spread_m3_s",)
    table = read_csv(results.hydraulics, HYDRAULICS + spread)
    course = read_csv(results.history, ("step",))
    records = {stage: read_record(results.record(stage)) for stage in EARLIER}
    check_names(results.record("ingest"), records["ingest"], ("warnings",))
    check_names(results.record("train"), records["train"], ("training", "versions", "revision"))
    drawings = [read(results.tracks_picture), read(results.groups_picture)]

    truth = None
    if "noise_floor" in scored:  # A table of true values has no fields to draw.
        differences = read_differences(results.differences, experiment.identity)
        truth = TrueFields(differences, experiment.scales)
    openings = opened(experiment, table)
    pictures = pictures_of(experiment, results, truth)
    answer = _answer(settings, experiment, pictures, table, openings, truth)
    training = records["train"]["training"]
    seconds = {stage: record["seconds"] for stage, record in records.items()}
    warnings = records["ingest"]["warnings"]
    result = _summary(experiment, scored, records["train"], seconds) | {"warnings": warnings}
    if openings:
        result["openings"] = [opening.to_dict() for opening in openings]
        result["mass_imbalance"] = imbalance_in(table)
    html = render(
        settings.title,
        [
            *answer,
            _quality(result, scored["histograms"]),
            Section(
                "Methods",
                figures=(
                    Figure(drawings[0], "Tracks in the wall."),
                    Figure(drawings[1], "Training groups of the collocation points."),
                    Figure(
                        figures.training(course), "Training: loss terms, multipliers, validation."
                    ),
                ),
                tables=tables.methods(experiment, result, training),
                folded=True,
            ),
            Section("Provenance", tables=(tables.provenance(result),), folded=True),
        ],
        lead=_lead(experiment),
        verdict=_verdict(result["quality"]),
        alerts=tuple(str(InputWarning.from_dict(warning)) for warning in warnings),
    )
    with atomic_path(results.page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    with atomic_path(results.summary) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in tables.headlines(result).items():
        say(f"{name:42} {value}")
    say(f"report   {results.page}")
    say(f"ParaView paraview --script={results.paraview}")


def _lead(case: Case) -> str:
    tracks, scales = len(np.unique(case.tracks.track)), case.scales
    *others, last = case.tracks.velocity
    components = " and ".join(filter(None, (", ".join(others), last)))
    reynolds = f"Reynolds number {scales.reynolds:.2g}"
    of_time = {
        "periodic": f"Period {scales.period:.3g} s, {reynolds}, Womersley number "
        f"{scales.womersley:.2g}",
        "steady": f"Steady flow, {reynolds}",
        "unsteady": f"Unsteady flow from {scales.start:.3g} to {scales.end:.3g} s, {reynolds}",
    }
    return (
        f"Flow inferred from {len(case.tracks.row):,} measurements of {components} on {tracks:,} "
        f"tracks and from the wall of the vessel. {of_time[case.flow]}."
    )


def _verdict(quality: dict[str, Any]) -> Verdict:
    reasons = tables.reasons(quality)
    if reasons:
        text = f"The {reasons}."
    else:
        text = "Tracks, equations and wall show no error above its limit, which is not yet a proof."
    return Verdict(quality["verdict"], f"{text} The table of them is under Quality.")


def _answer(
    settings: ReportSettings,
    case: Case,
    pictures: Pictures,
    table: pd.DataFrame,
    openings: list[OpeningFlow],
    truth: TrueFields | None,
) -> list[Section]:
    """The inferred flow: numbers, fields, the view to turn, wall shear stress, hydraulics."""
    sampled = pictures.sampled
    flow_rate = table.flow_rate_m3_s.to_numpy()
    phases = telling_phases(sampled.times, case.scales, flow_rate, settings.phases)
    fastest = int(np.argmax(np.abs(flow_rate)))
    how = ""
    if truth is not None:
        how = " " + HOW_TRUTH_IS_DRAWN.format(points=f"{len(truth.differences.points):,}")
    drawn: list[Figure] = []
    for phase in phases:
        # What holds for every phase is said once.
        caption = "" if drawn else pictures.of_flow + how
        drawn.append(Figure(pictures.flow(phase), caption, phase.title))
    stress = pictures.of_stress
    if truth is not None:
        stress += (
            f" The truth is drawn from {len(truth.differences.wall_points):,} points as above."
        )
    between = drops_between(openings) if case.lumen == "general" else ""
    numbers = tables.numbers(
        table, sampled.times, sampled.peak_speed, pictures.wall, case.flow, between
    )
    sections = [
        Section("The flow", numbers=numbers, figures=tuple(drawn)),
        Section("The vessel to turn", view=pictures.view(fastest)),
        Section("Wall shear stress", figures=(Figure(pictures.stress(phases), stress),)),
    ]
    return [*sections, *_hydraulics(case, table, openings, phases, truth)]


def _hydraulics(
    case: Case,
    table: pd.DataFrame,
    openings: list[OpeningFlow],
    phases: list[Phase],
    truth: TrueFields | None,
) -> list[Section]:
    """The course in time and the openings, as far as there are any."""
    general = case.lumen == "general"
    notes = (HOW_MUCH_PASSES,) if general and openings else ()
    known = (tables.openings(openings, imbalance_in(table)),) if openings else ()
    if case.flow == "steady" or (general and not openings):
        # There is no course in time, and the numbers of the vessel stand above.
        return [Section("Openings", notes, tables=known)] if known else []
    course = _courses(case, table, openings, phases, truth)
    return [Section("Flow rate and pressure drop", notes, figures=(course,), tables=known)]


def _courses(
    case: Case,
    table: pd.DataFrame,
    openings: list[OpeningFlow],
    phases: list[Phase],
    truth: TrueFields | None,
) -> Figure:
    """Curves over time: of a tube as a whole, or of the openings of any other vessel."""
    through = "the Fourier series" if case.flow == "periodic" else "a cubic spline"
    caption = f"Dots are the times of the output, lines {through} through them."
    if bands := "flow_rate_std_m3_s" in table:
        caption += " The bands are two standard deviations to each side."
    if case.lumen == "general":
        caption += (
            " Flow rates are those out of the vessel: negative where fluid enters. Pressures are "
            "means over the openings, relative to the mean over the vessel."
        )
        return Figure(figures.openings(table, openings, case.scales, phases), caption)
    if not bands:
        caption += " The band of the flow rate is its spread over the cross-sections."
    if truth is not None:
        caption += (
            " The true pressure drop is that between the mean pressures of the truth's points in "
            "the first and the last twenty-first of the vessel, scaled to its length."
        )
    return Figure(figures.hydraulics(table, case.scales, phases, truth), caption)


def _quality(result: dict[str, Any], histograms: dict[str, Any]) -> Section:
    drawn: tuple[Figure, ...] = ()
    if histograms:
        caption = (
            "Velocities on the held-out tracks, which training never saw. The measured ones are "
            "spread by their noise."
        )
        drawn = (Figure(figures.histograms(histograms), caption),)
    notes = (
        "The verdict is the worst grade of the first table, whose quantities need no truth. One "
        "with a standard error, after ±, is judged by what exceeds twice that error.",
        "Held-out tracks are as noisy as the others, so that even a perfect field has an error on "
        "them; the truth, where it is known, has no noise.",
        tables.suspicious(result),
        HOW_SPREAD[result["uncertainty"]["method"]],
    )
    uncertainty = result["uncertainty"]
    shown = [
        tables.verdict(result["quality"]),
        tables.spread(uncertainty),
        tables.errors(result),
        tables.bias(result),
    ]
    if "coverage" in uncertainty:
        shown.insert(2, tables.covered(uncertainty["coverage"]))
    if "challenge" in result:
        shown.append(tables.challenge(result["challenge"]))
    return Section(
        "Quality",
        notes=notes,
        figures=drawn,
        tables=tuple(table for table in shown if table.rows),
    )


def _summary(
    case: Case, scored: dict[str, Any], record: dict[str, Any], seconds: dict[str, float]
) -> dict[str, Any]:
    training = record["training"]
    result: dict[str, Any] = {
        "validation": scored["validation"],
        "amplitude_bias": scored["amplitude_bias"],
        "quality": scored["quality"],
        "uncertainty": scored["uncertainty"],
        "seconds": seconds,
        "variant": training["multipliers"],
        "seeds": [training["seed"]],
        "world_size": training["world_size"],
        "points": training["points"],
        "tracks": scored["rows"],
        "suspicious": scored["suspicious"],
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
    for name in ("truth", "truth_outside", "challenge", "wss_wall_share", "noise_floor"):
        if name in scored:
            result[name] = scored[name]
    return result
