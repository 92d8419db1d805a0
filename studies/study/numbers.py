"""The numbers of finished runs as tables: a row for each run, means and spreads over seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from studies.study.plan import Comparison, Run, label, runs_of

# Errors against the truth in the order of the tables, and their names there.
TRUTH = {
    "velocity": "velocity",
    "u": "u",
    "v": "v",
    "w": "w",
    "pressure": "pressure",
    "vorticity": "vorticity",
    "wss_magnitude": "WSS magnitude",
    "wss": "WSS vector",
    "flow_rate": "flow rate",
    "pressure_drop": "pressure drop",
    "resistance": "hydraulic resistance",
}
# Errors on the held-out rows, each before that which the true flow itself has there.
VALIDATION = {
    "validation_u": "validation u",
    "floor_u": "floor u",
    "validation_v": "validation v",
    "floor_v": "floor v",
}
KEYS = ["optimiser", "twin", "variant"]


def row_of(run: Run) -> dict[str, Any]:
    """Everything that is a number about one run; relative errors are shares."""
    found = json.loads(run.measures.read_text())
    record = json.loads(run.results.record("train").read_text())["training"]
    largest = {
        f"largest_{name}": place["value"] for name, place in found["truth"]["largest"].items()
    }
    return {
        "optimiser": run.optimiser,
        "twin": run.twin,
        "variant": run.variant,
        "seed": run.seed,
        **{f"validation_{name}": error for name, error in found["validation"].items()},
        **{f"floor_{name}": error for name, error in found["noise_floor"].items()},
        **found["truth"]["errors"],
        **largest,
        "steps": record["iterations"],
        "seconds": record["seconds"],
        "ms_per_step": 1e3 * record["seconds"] / record["iterations"],
        "parameters": record["parameters"],
    }


def table_of(plan: Sequence[Comparison]) -> pd.DataFrame:
    """All runs of a plan, a row each."""
    return pd.DataFrame([row_of(run) for run in runs_of(list(plan))])


def places_of(plan: Sequence[Comparison]) -> pd.DataFrame:
    """The largest errors of all runs, and where and when they are; shares, positions in mm."""
    rows = []
    for run in runs_of(list(plan)):
        largest = json.loads(run.measures.read_text())["truth"]["largest"]
        for field, found in largest.items():
            x, y, z = (1e3 * value for value in found["position_m"])
            rows.append(
                {
                    **{key: getattr(run, key) for key in (*KEYS, "seed")},
                    "field": field,
                    "error_over_largest_true": found["value"],
                    **{"x_mm": x, "y_mm": y, "z_mm": z, "t_s": found["time_s"]},
                    "hydraulic_radii_from_wall": found["radii_from_wall"],
                }
            )
    return pd.DataFrame(rows)


def largest_of(places: pd.DataFrame) -> pd.DataFrame:
    """Largest errors of each variant of each twin: means over seeds, and where the worst one is.

    Parameters
    ----------
    places
        Those of all runs, see `places_of`.
    """
    groups = places.groupby([*KEYS, "field"], sort=False)["error_over_largest_true"]
    over = groups.agg(["mean", "std", "size"]).reset_index(drop=True)
    worst = places.loc[groups.idxmax()].reset_index(drop=True)
    return pd.DataFrame(
        {
            **worst[[*KEYS, "field"]],
            "error": over["mean"],
            "error_std": over["std"],
            "seeds": over["size"],
            "worst": worst["error_over_largest_true"],
            **worst[["seed", "x_mm", "y_mm", "z_mm", "t_s", "hydraulic_radii_from_wall"]],
        }
    )


def singled_out(plan: Sequence[Comparison]) -> pd.DataFrame:
    """What the multipliers of all runs single out, a row for each run that has any."""
    rows = []
    for run in runs_of(list(plan)):
        found = json.loads(run.measures.read_text())["attention"]
        if not found["mean"]:
            continue
        tracks, groups = found.get("tracks", {}), found["navier_stokes"]["mean"]
        rows.append(
            {
                **{key: getattr(run, key) for key in (*KEYS, "seed")},
                **{f"mean_{block}": value for block, value in found["mean"].items()},
                **{f"tracks_{name}": value for name, value in tracks.items()},
                **{f"groups_{name}": value for name, value in groups.items()},
            }
        )
    return pd.DataFrame(rows)


def over_seeds(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means and standard deviations over seeds, a row for each variant of each twin.

    Columns are `columns` and the same with `_std`, then the number of seeds.
    """
    groups = runs.groupby(KEYS, sort=False)[list(columns)]
    spread = groups.std().add_suffix("_std")
    counts = groups.size().rename("seeds")
    joined = pd.concat([groups.mean(), spread, counts], axis=1)
    ordered = [name for column in columns for name in (column, f"{column}_std")]
    return joined[[*ordered, "seeds"]].reset_index()


def history_of(run: Run) -> pd.DataFrame:
    """The history of a run."""
    return pd.read_csv(run.results.history)


def error_at(history: pd.DataFrame, by: str, place: float, column: str) -> float:
    """An error at a number of steps or seconds, between rows of the history linear.

    Before the first row and after the last one it is theirs.
    """
    return float(np.interp(place, history[by], history[column]))


def named(table: pd.DataFrame) -> pd.DataFrame:
    """With the variant in words."""
    return table.assign(variant=[label(variant) for variant in table["variant"]])
