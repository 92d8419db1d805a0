"""How probable it is that a track has a run of false rows, that is, a false link."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.formats import Array
from aiv_rba.mixture import LARGEST_SHARE

SHORTEST, LONGEST = 2, 200
# Share of tracks with a false run: at first, and at least.
FIRST_SHARE, SMALLEST_SHARE = 0.01, 1e-6
STEPS = 50


@dataclass(frozen=True)
class FalseRuns:
    """False runs in T tracks of N rows.

    Attributes
    ----------
    probability
        (T,): probability that the track has a false run.
    first, last
        (T,): first and last row of the most probable run; -1 in a track that is too short.
    row
        (N,): probability that the row is in a false run.
    """

    probability: Array
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    row: Array


def false_runs(false: Array, track: NDArray[np.int64]) -> FalseRuns:
    """Bayes' theorem for runs of consecutive rows.

    In a false run every row has the velocity of another particle. Elsewhere a row has it with
    probability s, the share of mismatches. What was measured at a row that by itself is a mismatch
    with probability p is therefore p / s times as probable in a false run as elsewhere. This is at
    most 1 / s, so that a single gross mismatch does not make a run. For a run the ratios of its
    rows are multiplied. A track has one false run or none. All its runs of `SHORTEST` to `LONGEST`
    rows are equally probable beforehand, and the share of tracks that have one is found by
    expectation maximisation.

    Parameters
    ----------
    false
        (N,): probability that each row by itself is a mismatch.
    track
        (N,): number of the track, from 0, without gaps. The rows of a track are in order of time.
    """
    share = max(float(false.mean()), np.finfo(np.float64).eps)
    ratio = np.log(np.maximum(false, np.finfo(np.float64).eps) / share)
    order = np.argsort(track, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(track))[:-1])
    evidence = np.full(len(parts), -np.inf)
    first, last = np.full((2, len(parts)), -1)
    row = np.zeros(len(false))
    for number, rows in enumerate(parts):
        start, stop = _runs(len(rows))
        if not len(start):
            continue
        total = np.concatenate([[0.0], np.cumsum(ratio[rows])])
        logarithm = total[stop] - total[start]
        best = logarithm.argmax()
        weight = np.exp(logarithm - logarithm[best])
        evidence[number] = logarithm[best] + np.log(weight.mean())
        first[number], last[number] = rows[start[best]], rows[stop[best] - 1]
        # Every run adds its weight to its rows: one step up at its start and down after its end.
        steps = np.bincount(start, weight, len(rows) + 1) - np.bincount(stop, weight, len(rows) + 1)
        row[rows] = np.clip(np.cumsum(steps)[:-1] / weight.sum(), 0, 1)
    probability = _posterior(evidence)
    return FalseRuns(probability, first, last, row * probability[track])


def _runs(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of every run of a track with so many rows, and the row after its last one."""
    sizes = np.arange(SHORTEST, min(count, LONGEST) + 1)
    start, size = (g.ravel() for g in np.meshgrid(np.arange(count), sizes, indexing="ij"))
    within = start + size <= count
    return start[within], (start + size)[within]


def _posterior(evidence: Array) -> Array:
    """Probabilities (T,) of a false run.

    `evidence` (T,) is the logarithm of how many times as probable what was measured on a track is
    with a false run as without.
    """
    share = FIRST_SHARE
    for _ in range(STEPS):
        odds = np.exp(np.clip(evidence + np.log(share / (1 - share)), -500, 500))
        probability = odds / (1 + odds)
        share = float(np.clip(probability.mean(), SMALLEST_SHARE, LARGEST_SHARE))
    return np.asarray(probability)
