"""Suspicious rows and tracks: two tests, their tables, and how often they are right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.files.results import Results
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.stages.score.false_rows import false_rows
from aiv_rba.stages.score.false_runs import FalseRuns, false_runs
from aiv_rba.stages.score.median_test import THRESHOLD, median_test
from aiv_rba.stages.score.tracks import as_measured, at_rows

Flags = NDArray[np.bool_]

PROBABLE = 0.5
# A row is a known outlier where the truth has no flags and the measured velocity is so many
# standard deviations of the noise from the true one.
GROSS = 5.0
# Known outliers in a row that make a false link: by chance two lie together now and then.
KNOWN_RUN = 3


@dataclass(frozen=True)
class Suspicion:
    """What the two tests say of N rows in T tracks.

    Attributes
    ----------
    probability
        (N,): probability that the measured velocity is that of another particle, by the inferred
        flow: the row by itself, or a run of rows that it is in.
    runs
        False runs.
    median
        (N,): normalised median residual; not a number without neighbours.
    names, number
        (T,), (N,): numbers of the tracks in the file; which of them a row is in.
    inferred
        (N, components): inferred velocity, m/s.
    depth_spread
        Standard deviation of the depths of the tracks about the stated ones, m, from the training;
        0 where depths are measured or the light sheet is held to be thin.
    """

    probability: Array
    runs: FalseRuns
    median: Array
    names: NDArray[np.int64]
    number: NDArray[np.int64]
    inferred: Array
    depth_spread: float

    @property
    def by_flow(self) -> Flags:
        """Rows (N,) that are suspicious by the inferred flow."""
        return self.probability > PROBABLE

    @property
    def by_median(self) -> Flags:
        """Rows (N,) that are suspicious by the median test."""
        return self.median > THRESHOLD

    @property
    def tracks(self) -> Flags:
        """Tracks (T,) with a run that is suspicious by the inferred flow."""
        return self.runs.probability > PROBABLE


def suspect(case: Case, model: Model) -> Suspicion:
    """Judge all rows, those of the training and those that were held out."""
    columns = ["uvw".index(name) for name in case.tracks.velocity]
    measured = np.column_stack(list(case.tracks.velocity.values()))
    inferred, aside = (velocity[:, columns] for velocity in as_measured(case, model))
    names, number = np.unique(case.tracks.track, return_inverse=True)
    unit = model.scales.velocity
    residual = measured - inferred / unit
    noise = np.array([case.noise[name] for name in case.tracks.velocity])
    single = false_rows(residual, measured, aside / unit, noise, number)
    runs = false_runs(single, number)
    return Suspicion(
        probability=1 - (1 - single) * (1 - runs.row),
        runs=runs,
        median=median_test(case),
        names=names,
        number=number,
        inferred=inferred,
        depth_spread=model.depth_spread * model.scales.length,
    )


def write_tables(results: Results, case: Case, found: Suspicion) -> None:
    """Write the rows that either test suspects, and the tracks with a suspicious run."""
    tables = {
        results.suspicious_rows: suspicious_rows(case, found),
        results.suspicious_tracks: suspicious_tracks(case, found),
    }
    for path, table in tables.items():
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")


def suspicious_rows(case: Case, found: Suspicion) -> pd.DataFrame:
    """Rows that either test suspects, the most probably false first, in SI units.

    `suspicious` is 1 where the inferred flow says so, and 0 where the median test alone does.
    """
    tracks, scales = case.tracks, case.scales
    position = tracks.points[:, 1:] * scales.length + np.array(scales.origin)
    table = pd.DataFrame(
        {
            "row": tracks.row,
            "line": tracks.row + 2,
            "track": tracks.track,
            "t_s": scales.seconds(tracks.points[:, 0]),
        }
        | {f"{name}_m": position[:, column] for column, name in enumerate("xyz")}
        | {
            f"{name}_measured_m_s": values * scales.velocity
            for name, values in tracks.velocity.items()
        }
        | {
            f"{name}_inferred_m_s": found.inferred[:, column]
            for column, name in enumerate(tracks.velocity)
        }
        | {
            "probability_false": found.probability,
            "probability_false_run": found.runs.row,
            "median_test": found.median,
            "suspicious": found.by_flow.astype(int),
        }
    )
    either = table[found.by_flow | found.by_median]
    return either.sort_values(["probability_false", "median_test"], ascending=False)


def suspicious_tracks(case: Case, found: Suspicion) -> pd.DataFrame:
    """Tracks with a suspicious run, the most probably false first."""
    chosen = np.flatnonzero(found.tracks)
    first, last = found.runs.first[chosen], found.runs.last[chosen]
    place = pd.Series(found.number).groupby(found.number).cumcount().to_numpy()
    table = pd.DataFrame(
        {
            "track": found.names[chosen],
            "probability_false_run": found.runs.probability[chosen],
            "rows": np.bincount(found.number)[chosen],
            "rows_of_run": place[last] - place[first] + 1,
            "first_row": case.tracks.row[first],
            "last_row": case.tracks.row[last],
        }
    )
    return table.sort_values(["probability_false_run", "rows_of_run"], ascending=False)


def counts(found: Suspicion) -> dict[str, Any]:
    """Numbers of suspicious rows and tracks."""
    return {
        "rows": {
            "of": len(found.probability),
            "by_inferred_flow": int(found.by_flow.sum()),
            "by_median_test": int(found.by_median.sum()),
        },
        "tracks": {"of": len(found.names), "by_inferred_flow": int(found.tracks.sum())},
        "depth_spread_m": found.depth_spread,
    }


def known_outliers(path: Path, file: h5py.File, case: Case) -> tuple[Flags, str] | None:
    """Rows (N,) whose velocity is that of another particle, and how that is known.

    The truth of a twin flags them. An older one has no flags; then they are the rows that are
    `GROSS` standard deviations of the noise from the true velocity of their tracer, without the
    mismatches that happen to be nearer. None if the truth has neither.
    """
    rows = case.tracks.row
    if "tracks/mismatched" in file:
        return at_rows(path, file, "tracks/mismatched", rows).astype(bool), "the truth has flags"
    if "tracers" not in file:
        return None
    gross = np.zeros(len(rows), dtype=bool)
    for name, measured in case.tracks.velocity.items():
        true = at_rows(path, file, f"tracers/{name}", rows) / case.scales.velocity
        gross |= np.abs(measured - true) > GROSS * case.noise[name]
    return gross, f"more than {GROSS:g} standard deviations from the true velocity"


def against_known(found: Suspicion, known: Flags, how: str) -> dict[str, Any]:
    """Precision and recall of both tests, and of rows that either of them suspects.

    A track has a known false link if at least `KNOWN_RUN` of its rows in a row are known outliers.
    """
    rows = pd.DataFrame({"known": known, "track": found.number})
    rows["block"] = (~rows["known"]).cumsum()
    sizes = rows[rows["known"]].groupby(["track", "block"]).size()
    linked = np.isin(
        np.arange(len(found.names)), sizes[sizes >= KNOWN_RUN].index.get_level_values("track")
    )
    return {
        "how": how,
        "rows": int(known.sum()),
        "by_inferred_flow": _precision_and_recall(found.by_flow, known),
        "by_median_test": _precision_and_recall(found.by_median, known),
        "by_either": _precision_and_recall(found.by_flow | found.by_median, known),
        "tracks": int(linked.sum()),
        "tracks_by_inferred_flow": _precision_and_recall(found.tracks, linked),
    }


def _precision_and_recall(flagged: Flags, known: Flags) -> dict[str, float | None]:
    """Share of the flagged that are known, and of the known that are flagged; none of nothing."""
    right = int((flagged & known).sum())
    return {
        "precision": right / int(flagged.sum()) if flagged.any() else None,
        "recall": right / int(known.sum()) if known.any() else None,
    }
