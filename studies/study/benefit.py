"""Whether residual-based attention helps: pairs of runs with and without, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t

from studies.study.numbers import error_at, history_of, row_of
from studies.study.plan import Comparison, Run, runs_of

# Schemes of multipliers among the overlays; a variant without one has equal multipliers.
SCHEMES = ("rba", "paper_rba", "one_rate_rba", "self_adaptive", "annealing")
# Overlays that change residual-based attention and mean nothing without it.
OF_RBA = ("quantile", "no_tracks", "per_visit", "fast")
# Errors at the end of the training, and the columns of the history that have them along the way.
ERRORS = {
    "validation_u": "validation_u",
    "validation_v": "validation_v",
    "velocity": "truth_velocity",
    "w": "truth_w",
    "pressure": "truth_pressure",
    "wss": "truth_wss",
    "flow_rate": "truth_flow_rate",
}


class Ratio(NamedTuple):
    """Ratio of errors with and without multipliers, over seeds.

    Attributes
    ----------
    mean
        Geometric mean.
    low, high
        Ends of an interval that holds it with 95 percent probability if logarithms are Gaussian;
        infinite with a single seed.
    seeds
        Pairs.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.high < 1:
            return "helps"
        return "hurts" if self.low > 1 else "no difference beyond chance"


def without_scheme(variant: str) -> str:
    """The same variant with equal multipliers."""
    names = variant.split("-")
    return "-".join(name for name in names if name not in (*SCHEMES, *OF_RBA))


def ratio(errors: Sequence[float], others: Sequence[float]) -> Ratio:
    """Ratio of paired errors, errors over others."""
    logs = np.log(np.asarray(errors) / np.asarray(others))
    count = len(logs)
    if count < 2:
        return Ratio(float(np.exp(logs.mean())), 0.0, float("inf"), count)
    half = float(t.ppf(0.975, count - 1)) * logs.std(ddof=1) / np.sqrt(count)
    middle = logs.mean()
    mean, low, high = (float(np.exp(x)) for x in (middle, middle - half, middle + half))
    return Ratio(mean, low, high, count)


def pairs_of(
    comparison: Comparison, plan: Sequence[Comparison]
) -> list[tuple[str, str, list[tuple[Run, Run]]]]:
    """Twin, variant with multipliers, and its runs with those of equal multipliers in the plan."""
    known = set(runs_of(list(plan)))
    found = []
    for twin in comparison.twins:
        for variant in comparison.variants:
            plain = without_scheme(variant)
            pairs = [(Run(twin, variant, s), Run(twin, plain, s)) for s in comparison.seeds]
            pairs = [pair for pair in pairs if plain != variant and pair[1] in known]
            if pairs:
                found.append((twin, variant, pairs))
    return found


def benefit(plan: Sequence[Comparison]) -> pd.DataFrame:
    """Ratios of errors with and without multipliers, at equal iterations and equal wall time.

    At equal iterations both runs are at their ends. At equal wall time both are looked at when the
    one that is sooner at its end is there.
    """
    rows = []
    for comparison in plan:
        for twin, variant, runs in pairs_of(comparison, plan):
            histories = [tuple(map(history_of, pair)) for pair in runs]
            times = [min(history["seconds"].iloc[-1] for history in pair) for pair in histories]
            ends = [tuple(map(row_of, pair)) for pair in runs]
            key = (comparison.name, twin, variant)
            for name in ERRORS:
                errors = [[end[name] for end in pair] for pair in ends]
                rows.append((*key, "iterations", name, *_ratio(errors)))
            for name, column in ERRORS.items():
                errors = [
                    [error_at(history, "seconds", time, column) for history in pair]
                    for pair, time in zip(histories, times, strict=True)
                ]
                rows.append((*key, "wall time", name, *_ratio(errors)))
    names = ["comparison", "twin", "variant", "equal", "error"]
    return pd.DataFrame(rows, columns=[*names, "ratio", "low", "high", "seeds", "verdict"])


def _ratio(errors: Sequence[Sequence[float]]) -> tuple[float, float, float, int, str]:
    first, second = np.array(errors).T
    found = ratio(first, second)
    return (*found, found.verdict)
