"""Tables of the study, after Tables 5, 6 and A.11 to A.13 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from aiv_rba.files.records import read_record
from studies.study.benefit import benefit
from studies.study.numbers import (
    KEYS,
    TRUTH,
    VALIDATION,
    largest_of,
    named,
    over_seeds,
    places_of,
    singled_out,
    table_of,
)
from studies.study.plan import Comparison, Run, runs_of

# The methods of Table 6, in words without the optimiser.
ABLATION = ("global weights only", "WN", "RBA", "RBA, WN")
TERMS = (
    *(("no_slip", f"no-slip in {axis}", i) for i, axis in enumerate("xyz")),
    *(("tracks", f"measured {name}", i) for i, name in enumerate("uv")),
    *(("momentum", f"momentum in {axis}", i) for i, axis in enumerate("xyz")),
)
COSTS = ("ms_per_step", "seconds", "steps")
PERCENT = 100


def tables(plan: Sequence[Comparison]) -> dict[str, pd.DataFrame]:
    """Every table of a finished plan by the name of its file; errors in percent."""
    runs = table_of(plan)
    places = places_of(plan)
    largest = [name for name in runs if name.startswith("largest_")]
    errors = [*VALIDATION, *(name for name in TRUTH if name in runs), *largest]
    runs[errors] *= PERCENT
    places["error_over_largest_true"] *= PERCENT
    means = over_seeds(runs, [*errors, *COSTS, "parameters"])
    # These are the same for all seeds.
    alike = [*(name for name in VALIDATION if name.startswith("floor_")), "parameters"]
    means = means.drop(columns=[f"{name}_std" for name in alike])
    schemes = means["variant"].isin(plan[0].variants) & means["twin"].isin(plan[0].twins)
    means = named(means)
    # A rehearsal has an ablation of few steps.
    ablated = means["variant"].str.removesuffix(", short").isin(ABLATION)
    ablation = schemes & ablated & (means["optimiser"] == "adam")
    costs = [name for cost in COSTS for name in (cost, f"{cost}_std")]
    accuracy = means.drop(columns=[*costs, "parameters"])
    return {
        "runs": runs,
        "all": means,
        "table_5": accuracy[schemes],
        "table_6": accuracy[ablation],
        "table_a11": global_weights(plan),
        "table_a12": details(plan),
        "table_a13": means.loc[schemes, [*KEYS, *costs, "parameters", "seeds"]],
        "benefit": benefit(plan),
        "largest_errors": places,
        "largest_by_variant": named(largest_of(places)),
        "multipliers": singled_out(plan),
    }


def _first_runs(plan: Sequence[Comparison]) -> list[Run]:
    """A run of each optimiser on each twin."""
    first: dict[tuple[str, str], Run] = {}
    for run in runs_of(list(plan)):
        first.setdefault((run.optimiser, run.twin), run)
    return list(first.values())


def global_weights(plan: Sequence[Comparison]) -> pd.DataFrame:
    """Global weight of each loss term, nondimensional, by optimiser and twin; Table A.11."""
    rows = []
    for run in _first_runs(plan):
        weights = _training(run)["settings"]["global_weights"]
        values = {name: weights[key][i] for key, name, i in TERMS}
        rows.append(
            {"optimiser": run.optimiser, "twin": run.twin} | values | {"mass": weights["mass"]}
        )
    return pd.DataFrame(rows)


def details(plan: Sequence[Comparison]) -> pd.DataFrame:
    """Sizes and settings, by optimiser and twin; Table A.12."""
    rows = []
    for run in _first_runs(plan):
        training = _training(run)
        settings = training["settings"]
        network, optimiser = settings["network"], settings["optimiser"]
        rows.append(
            {
                "optimiser": run.optimiser,
                "twin": run.twin,
                "wall points": training["points"]["wall"],
                "collocation points": training["points"]["interior"],
                "groups in a step": settings["groups_per_step"] or "all",
                "rows of a step": optimiser.get("rows", "all"),
                "hidden layers": network["layers"],
                "neurons": network["width"],
                "activation": network["activation"],
                "harmonics of time": network["time_harmonics"],
                "no-slip": network["no_slip"],
                "parameters": training["parameters"],
                "iterations": training["iterations"],
                "initial learning rate": optimiser.get("learning_rate"),
                "final learning rate": optimiser.get("final_learning_rate"),
                "precision": settings["precision"],
            }
        )
    return pd.DataFrame(rows)


def _training(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = read_record(run.results.record("train"))["training"]
    return found
