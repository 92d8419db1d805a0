"""Which runs the study has: variants of the training, seeds and twins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from aiv_rba.errors import UserError
from aiv_rba.files.results import Results
from aiv_rba.settings import read_overlaid
from studies.limits import experiment_of

OVERLAYS = Path("workflow/config/study")
FOLDER = Path("results/study")
# Ending of the name of a twin whose tracks have further mismatches.
SPOILED = "_outliers"
# Core-seconds of a program's start with compilation, and of a run besides its training.
START, BESIDES = 9.0, 5.0
# Core-seconds of one step on a core of 2023 that has nothing else to do.
STEP = {"adam": 0.025, "gauss_newton": 1.7}

WORDS = {
    "adam": "Adam",
    "gauss_newton": "Gauss-Newton",
    "wn": "WN",
    "rba": "RBA",
    "paper_rba": "RBA",
    "one_rate_rba": "RBA",
    "self_adaptive": "self-adaptive",
    "annealing": "annealing",
    "robust": "robust rows",
    "unweighted": "rows not weighted",
    "quantile": "RBA by quantile",
    "no_tracks": "RBA not on tracks",
    "per_visit": "RBA per visit",
    "fast": "RBA ten times as fast",
    "exact": "exact no-slip",
    "short": "short",
}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes
    ----------
    twin, variant
        Names; a variant is a list of overlays joined by hyphens.
    seed
        Of the network and of the order of the batches.
    """

    twin: str
    variant: str
    seed: int

    @property
    def results(self) -> Results:
        """Its files."""
        return Results(FOLDER / "runs" / self.twin / self.variant / f"seed_{self.seed}")

    @property
    def measures(self) -> Path:
        """What was measured of it, JSON."""
        return self.results.folder / "measures.json"

    @property
    def multipliers(self) -> Path:
        """Its multipliers of single rows near the end, NPZ; empty without any."""
        return self.results.folder / "multipliers.npz"

    @property
    def optimiser(self) -> str:
        """The first overlay, which names the optimiser."""
        return self.variant.split("-")[0]

    @property
    def label(self) -> str:
        """The variant in words, without the optimiser."""
        return label(self.variant)

    def settings(self) -> dict[str, Any]:
        """Section train of its experiment."""
        paths = [OVERLAYS / f"{name}.yaml" for name in self.variant.split("-")]
        train: dict[str, Any] = read_overlaid(*paths)["train"]
        return train | {"seed": self.seed}

    def core_seconds(self) -> float:
        """About how long one core needs, once the program has started."""
        return BESIDES + STEP[self.optimiser] * float(self.settings()["optimiser"]["iterations"])


@dataclass(frozen=True)
class Comparison:
    """Variants with the same twins and seeds."""

    name: str
    variants: tuple[str, ...]
    twins: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def runs(self) -> list[Run]:
        """All runs of it."""
        return [
            Run(twin, variant, seed)
            for twin in self.twins
            for variant in self.variants
            for seed in self.seeds
        ]


def label(variant: str) -> str:
    """A variant in words, without the optimiser."""
    words = [WORDS[name] for name in variant.split("-")[1:]]
    # An overlay that changes RBA says so itself.
    if any(word.startswith("RBA ") for word in words):
        words.remove("RBA")
    return ", ".join(words) or "global weights only"


def load_plan(name: str) -> list[Comparison]:
    """The comparisons of a plan.

    Raises
    ------
    UserError
        If there is no such plan.
    """
    path = OVERLAYS / "plans" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml")))
        raise UserError(f"{path.parent}: found no plan {name}, expected one of {known}")
    plan = yaml.safe_load(path.read_text())
    return [
        Comparison(title, *(tuple(entry[key]) for key in ("variants", "twins", "seeds")))
        for title, entry in plan.items()
    ]


def runs_of(plan: list[Comparison]) -> list[Run]:
    """All runs of a plan, each once."""
    return list(dict.fromkeys(run for comparison in plan for run in comparison.runs))


def seeds_of(plan: list[Comparison]) -> dict[tuple[str, str], list[int]]:
    """All seeds of each variant on each twin (twin, variant), which share a process."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for run in runs_of(plan):
        seeds.setdefault((run.twin, run.variant), []).append(run.seed)
    return seeds


def minutes(plan: list[Comparison], cores: int) -> float:
    """About how long a plan takes on so many cores that have nothing else to do."""
    seconds = START * len(seeds_of(plan)) + sum(run.core_seconds() for run in runs_of(plan))
    return seconds / cores / 60


def data(twin: str) -> Results:
    """The folder of a twin's case and collocation points, which its runs share."""
    return Results(FOLDER / "data" / twin)


@cache
def experiment(twin: str) -> dict[str, Any]:
    """The experiment of a twin; the files of one that is spoiled may not be there yet."""
    document: dict[str, Any] = yaml.safe_load(experiment_of(twin.removesuffix(SPOILED)).read_text())
    if not twin.endswith(SPOILED):
        return document
    folder = data(twin).folder
    return document | {
        "ingest": document["ingest"] | {"tracks": str(folder / "tracks.csv")},
        "score": {"truth": str(folder / "truth.h5")},
    }


def section(twin: str, stage: str) -> dict[str, Any]:
    """The settings of a stage for a twin's case or collocation points."""
    return {stage: experiment(twin).get(stage, {})}
