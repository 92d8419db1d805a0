"""What multipliers single out: mismatched rows, places near the wall, places of large errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import rankdata, spearmanr

from aiv_rba.fields.flow import Flow
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.files.points import PointsReader
from aiv_rba.stages.score.suspicious import known_outliers
from aiv_rba.stages.score.truth import Compared

EQUATIONS = ("momentum_x", "momentum_y", "momentum_z", "mass")


def precedence(values: Array, flags: NDArray[np.bool_]) -> float:
    """Probability that a flagged row has a larger value than another row (Mann and Whitney).

    One half if the values say nothing of the flags. Not a number if all or no rows are flagged.
    """
    flagged = int(flags.sum())
    others = len(flags) - flagged
    if not flagged or not others:
        return float("nan")
    ranks = float(rankdata(values)[flags].sum())
    return (ranks - flagged * (flagged + 1) / 2) / (flagged * others)


def group_centres(points: Path, case: Case) -> Array:
    """Mean time and position (groups, 4), nondimensional, of the interior groups."""
    reader = PointsReader(points, case.identity)
    place = reader.places["interior"]
    batches = [reader.read("interior", b, slice(0, place.groups)) for b in range(place.batches)]
    return np.asarray(np.mean(batches, axis=0, dtype=float))


def attention(
    flow: Flow,
    points: Path,
    truth: Path,
    file: h5py.File,
    multipliers: dict[str, Array],
    compared: Compared,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Numbers that say what the multipliers single out, and the multipliers with their places.

    Parameters
    ----------
    flow
        The inferred flow.
    points
        File of the collocation points.
    truth, file
        The file of the true fields, and the same opened.
    multipliers
        (rows, terms) of each block.
    compared
        The comparison with the truth.
    """
    found: dict[str, Any] = {"mean": {b: float(m.mean()) for b, m in multipliers.items()}}
    maps: dict[str, Any] = {}
    case = flow.case
    training = ~case.tracks.validation
    known = known_outliers(truth, file, case)
    if "tracks" in multipliers and known is not None:
        own, flags = multipliers["tracks"], known[0][training]
        mean = own.mean(axis=1)
        found["tracks"] = {
            "mismatched": int(flags.sum()),
            "rows": len(flags),
            "precedence": precedence(mean, flags),
            "mean_mismatched": float(mean[flags].mean()),
            "mean_matched": float(mean[~flags].mean()),
            "correlation": rank_correlation(mean, flags),
        }
        maps |= {
            "tracks": own,
            "track_points": case.tracks.points[training],
            "mismatched": flags,
        }
    if "navier_stokes" in multipliers:
        own, centres = multipliers["navier_stokes"], group_centres(points, case)
        at = centres[:, 1:] * case.scales.length + np.array(case.scales.origin)
        distance = flow.wall_distance(at)
        wrong = _error_at(centres, compared, case)
        found["navier_stokes"] = {
            name: {
                "with_distance_to_wall": rank_correlation(values, distance),
                "with_true_error": rank_correlation(values, wrong),
            }
            for name, values in [*zip(EQUATIONS, own.T, strict=True), ("mean", own.mean(axis=1))]
        }
        maps |= {"groups": own, "group_centres": centres, "group_distance": distance}
    return found, maps


def _error_at(centres: Array, compared: Compared, case: Case) -> Array:
    """Size of the error of the velocity (groups,) at the point of the truth nearest to each."""
    places = compared.places
    _, nearest = cKDTree(places.inside).query(centres[:, 1:])
    size = np.linalg.norm(compared.wrong["velocity"], axis=-1)
    period = case.scales.nondimensional_period
    phase = np.round(len(size) * centres[:, 0] / period).astype(int) % len(size)
    return np.asarray(size[phase, nearest])


def rank_correlation(values: Array, other: Array | NDArray[np.bool_]) -> float:
    """Spearman's rank correlation; not a number where a side is constant."""
    if (values == values[0]).all() or (other == other[0]).all():
        return float("nan")
    return float(spearmanr(values, other).statistic)
