"""How well suspicious rows and tracks are found, and what leaving them out changes.

With folders of finished results as arguments, prints the precision and recall of both tests
against the outliers that the truth knows. Without, spoils the tracks of an experiment by false
links, infers the flow from them, leaves out the rows that are suspicious and infers it again, and
does the same without the rows that are known to be false. Results are in results/suspicious;
finished runs are not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from aiv_rba.files.results import Results
from aiv_rba.statistics import robust_deviation
from aiv_rba.twin.tracers import false_links
from studies.limits import FIELDS, run_stages, velocity_unit

FOLDER = Path("results/suspicious")
TESTS = {
    "rows, inferred flow": "by_inferred_flow",
    "rows, median test": "by_median_test",
    "rows, either": "by_either",
    "tracks, inferred flow": "tracks_by_inferred_flow",
}


def replaced_rows(measured: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows (N,) of a twin without flags whose velocity is that of another row, as far as it shows.

    A mismatch has exactly the velocity of another row of the file. Of rows with the same velocity
    (N, components) the one that is nearest to the true one is the original. Rows of which the
    original is not there any more are those that are more than five standard deviations away.
    """
    deviation = np.abs(measured - true)
    distance = np.max(deviation / robust_deviation(deviation), axis=1)
    _, group = np.unique(measured, axis=0, return_inverse=True)
    nearest = pd.Series(distance).groupby(group.ravel()).transform("min").to_numpy()
    return np.asarray((distance > nearest) | (distance > 5))


def spoil(experiment: dict[str, Any], share: float, seed: int, folder: Path) -> dict[str, Any]:
    """Write tracks with false links and a truth that flags every false row; the new experiment."""
    ingest = experiment["ingest"]
    # As text, so that all other rows stay as they are.
    table = pd.read_csv(ingest["tracks"], dtype=str)
    names = [name for name in "uvw" if name in table]
    unit = velocity_unit(ingest)
    tracks, truth = folder / "tracks.csv", folder / "truth.h5"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(experiment["score"]["truth"], truth)
    with h5py.File(truth, "a") as file:
        true = np.column_stack([file[f"tracers/{name}"][:] / unit for name in names])
        if "tracks/mismatched" in file:
            flags = file["tracks/mismatched"][:].astype(bool)
            del file["tracks/mismatched"]
        else:
            flags = replaced_rows(table[names].to_numpy(dtype=float), true)
        track = table["track"].to_numpy(dtype=np.int64)
        taken, donors = false_links(track, share, np.random.default_rng(seed))
        table.loc[taken, names] = table.loc[donors, names].to_numpy()
        flags[taken] = True
        file["tracks/mismatched"] = flags.astype(np.uint8)
    table.to_csv(tracks, index=False)
    pd.DataFrame({"row": np.flatnonzero(flags)}).to_csv(folder / "known.csv", index=False)
    return experiment | {
        "ingest": ingest | {"tracks": str(tracks)},
        "score": {"truth": str(truth)},
    }


def infer(experiment: dict[str, Any], name: str, exclude: Path | None, folder: Path) -> Results:
    """Infer the flow of an experiment, without the rows of a list; its results."""
    results = Results(folder / name)
    if not results.scores.is_file():
        results.folder.mkdir(parents=True, exist_ok=True)
        ingest = experiment["ingest"] | ({"exclude": str(exclude)} if exclude else {})
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(experiment | {"name": name, "ingest": ingest}))
        run_stages(path, results)
    return results


def precision_and_recall(results: Results) -> pd.DataFrame:
    """Percent of the flagged that are known, and of the known that are flagged, by test."""
    found = json.loads(results.scores.read_text())["suspicious"]["known"]
    rows = [
        {
            "results": str(results.folder),
            "test": test,
            "known": found["tracks" if key.startswith("tracks") else "rows"],
            **{
                name: 100 * (share if share is not None else np.nan) for name, share in pair.items()
            },
        }
        for test, key in TESTS.items()
        for pair in [found[key]]
    ]
    return pd.DataFrame(rows)


def main() -> int:
    """Run what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="*", help="folders of finished results")
    parser.add_argument(
        "--experiment", type=Path, default=Path("workflow/config/perivascular.yaml")
    )
    parser.add_argument("--false-links", type=float, default=0.05, help="share of tracks")
    parser.add_argument("--steps", type=int, default=35, help="steps of each training")
    parser.add_argument("--seed", type=int, default=0, help="seed of the false links")
    arguments = parser.parse_args()
    runs = [Results(folder) for folder in arguments.results]
    if not runs:
        experiment = yaml.safe_load(arguments.experiment.read_text())
        experiment = spoil(experiment, arguments.false_links, arguments.seed, FOLDER)
        optimiser = {"name": "gauss_newton", "iterations": arguments.steps}
        experiment["train"] = experiment.get("train", {}) | {"optimiser": optimiser}
        given = infer(experiment, "given", None, FOLDER)
        lists = {"excluded": given.suspicious_rows, "without_known": FOLDER / "known.csv"}
        others = {name: infer(experiment, name, path, FOLDER) for name, path in lists.items()}
        errors = {
            name: json.loads(results.scores.read_text())["truth"]
            for name, results in ({"given": given} | others).items()
        }
        print("relative L2 errors against the truth, percent")
        print((100 * pd.DataFrame(errors).T[list(FIELDS)]).to_string(float_format="%.3g"))
        runs = [given]
    table = pd.concat([precision_and_recall(results) for results in runs])
    print(table.to_string(index=False, float_format="%.1f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
