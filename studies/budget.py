"""The constants of the error budget, from the choosing half of the twins.

Reads the results of `python -m studies.generalise --half choose` of every twin whose verdict is
good. Multiplies each part of the standard deviations by factors out of a list, and prints those
with which the truth lies within one and within two standard deviations most nearly as often as it
is to, on the mean over the twins: by the sum of squared differences over all fields.
The constants themselves are in `problems/velocimetry/curvature.py` and `stages/ingest/choices.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
import yaml

from aiv_rba.fields.flow import Flow, open_flow
from aiv_rba.files.formats import Array
from aiv_rba.files.truth import open_truth
from aiv_rba.problems.velocimetry.deviations import CurvatureSamples
from aiv_rba.stages.score.spread import errors_and_deviations, shares_within
from aiv_rba.stages.score.truth import against_truth
from aiv_rba.twin.family import load_family
from studies.calibration import TITLES, WITHIN, at_levels, markdown
from studies.generalise import FAMILY, RESULTS

# Factors of the parts of the standard deviations that are tried.
FACTORS: dict[str, Sequence[float]] = {
    "noise": (0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5),
    "equations": (0.5, 1.0, 1.5, 2.0, 3.0),
    "wall": (0.5, 1.0, 1.5),
    "amplitude": (0.5, 0.75, 1.0, 1.25),
}
Parts = dict[str, tuple[Array, dict[str, Array]]]
"""By field: errors, and the variances that each part alone gives."""


def alone(flow: Flow, source: str) -> Flow:
    """The flow with that part of its deviations which comes from one source."""
    samples = flow.deviations
    assert isinstance(samples, CurvatureSamples)
    amplitude = samples.amplitude
    only = replace(
        samples,
        parameters={name: each for name, each in samples.parameters.items() if name == source},
        strengths=samples.strengths if source == "wall" else None,
        amplitude=amplitude if source == "amplitude" else torch.zeros_like(amplitude),
    )
    return Flow(flow.case, flow.model, only)


def parts_of(folder: Path, truth: Path) -> Parts:
    """Errors and variances of a finished experiment at the points of its truth."""
    flow = open_flow(folder)
    samples = flow.deviations
    if not isinstance(samples, CurvatureSamples):
        sys.exit(f"{folder}: found no standard deviations of the curvature, expected them")
    with open_truth(truth) as file:
        compared = against_truth(file, flow.case, flow.model)
    found: Parts = {}
    for source in samples.sources:
        part = errors_and_deviations(alone(flow, source), compared)
        for field, (wrong, deviation) in part.items():
            found.setdefault(field, (wrong, {}))[1][source] = deviation**2
    return found


def coverage(parts: Parts, factors: dict[str, float]) -> dict[str, list[float]]:
    """How often the truth lies within the intervals, with the parts times these factors."""
    return shares_within(
        {
            field: (
                wrong,
                np.sqrt(sum(factors[name] ** 2 * each for name, each in variances.items())),
            )
            for field, (wrong, variances) in parts.items()
        }
    )


def mean_coverage(twins: Sequence[Parts], factors: dict[str, float]) -> Array:
    """Percent (fields, levels) within one and two standard deviations, mean over twins."""
    found = [coverage(parts, factors) for parts in twins]
    shares = np.array([[at_levels(each, field) for field in TITLES] for each in found])
    return np.asarray(shares.mean(axis=0))


def distance(twins: Sequence[Parts], factors: dict[str, float]) -> float:
    """Sum of the squared differences from how often the truth is to lie within, percent^2."""
    return float(np.sum((mean_coverage(twins, factors) - np.array(list(WITHIN))) ** 2))


def fit(twins: Sequence[Parts]) -> dict[str, float]:
    """The best factor of each part."""
    tried = [dict(zip(FACTORS, values, strict=True)) for values in product(*FACTORS.values())]
    return min(tried, key=lambda factors: distance(twins, factors))


def good_twins(half: str = "choose") -> dict[str, tuple[Path, Path]]:
    """Results and truths of a half with a good verdict."""
    found = {}
    for name, member in load_family(FAMILY).items():
        config = Path(member.experiment or RESULTS / "twins" / name / "experiment.yaml")
        if member.half != half or not config.is_file():
            continue
        experiment = yaml.safe_load(config.read_text())
        folder = RESULTS / experiment["name"]
        summary = folder / "summary.json"
        if not summary.is_file():
            continue
        if json.loads(summary.read_text())["quality"]["verdict"] == "good":
            found[name] = (folder, Path(experiment["score"]["truth"]))
    return found


def main() -> int:
    """Fit and print."""
    parser = argparse.ArgumentParser(prog="python -m studies.budget", description=__doc__)
    parser.add_argument("--leave-out", nargs="*", default=[], help="twins that do not count")
    arguments = parser.parse_args()
    chosen = {n: p for n, p in good_twins().items() if n not in arguments.leave_out}
    if not chosen:
        sys.exit("found no good results, expected some: run make generalise HALF=choose")
    twins = [parts_of(*paths) for paths in chosen.values()]
    print(f"twins: {', '.join(chosen)}\n")
    best = fit(twins)
    header = ["factors", *(f"{title}, one / two" for title in TITLES.values()), "squares"]
    rows = [
        [
            title,
            *(f"{one:.0f} / {two:.0f}" for one, two in mean_coverage(twins, factors)),
            f"{distance(twins, factors):.0f}",
        ]
        for title, factors in {"as they are": dict.fromkeys(FACTORS, 1.0), "best": best}.items()
    ]
    print(markdown(header, rows))
    print("\nbest:", ", ".join(f"{name} x {factor:g}" for name, factor in best.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
