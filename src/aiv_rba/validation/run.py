"""Validation: train methods on a problem with a known solution, compare them, check them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba import __version__
from aiv_rba.files.formats import atomic_path, sha256
from aiv_rba.files.records import versions
from aiv_rba.problems.scalar import ScalarProblem, Solution
from aiv_rba.ranks.ddp import Ranks, process_group
from aiv_rba.settings import Comparison, MethodSettings
from aiv_rba.settings.ranks import Device
from aiv_rba.terminal import say
from aiv_rba.training.loop import Run
from aiv_rba.validation import figures, summary
from aiv_rba.validation.attention import Attention, attention_maps
from aiv_rba.validation.checks import Results, check
from aiv_rba.validation.references import read_mat


def validate(
    compared: Comparison,
    *,
    problem: type[ScalarProblem],
    name: str,
    reference: Path | None,
    out: Path,
    device: Device = "auto",
) -> None:
    """Train every method with every seed; write a JSON file per method, table, figures and page.

    Errors are measured against the problem's own solution, or against a reference of the
    literature. Every rank calls this. A method whose JSON file belongs to the same settings,
    reference and version of this package is not trained again; the hash of these three names the
    folder of its checkpoints too.

    Raises
    ------
    UserError
        If a file is damaged, a combination impossible, or a check fails.
    """
    with process_group(device) as ranks:
        solution = read_mat(reference) if reference else problem.solution()
        known_by = sha256(reference) if reference else ""
        results, folders = {}, {}
        for method, settings in compared.methods.items():
            path = out / f"{method}.json"
            identity = _identity(settings, known_by)
            trainings = {
                seed: out / "checkpoints" / f"{method}_{seed}_{identity[:12]}"
                for seed in settings.seeds
            }
            folders[method] = trainings[settings.seeds[0]]
            found = _finished(path, identity)
            if found is None:
                picture = out / f"{method}.png"
                trained = _train(problem, settings, solution, ranks, trainings, picture)
                about = {"problem": name, "profile": compared.profile, "method": method}
                found = about | trained | {"identity": identity}
                if ranks.rank == 0:
                    with atomic_path(path) as temporary:
                        temporary.write_text(json.dumps(found, indent=2) + "\n")
            results[method] = found
        if ranks.rank == 0:
            _summarise(problem, compared, results, folders, out)
            check(name, results, compared.checks)


def _train(
    problem: type[ScalarProblem],
    settings: MethodSettings,
    solution: Solution,
    ranks: Ranks,
    folders: dict[int, Path],
    picture: Path,
) -> dict[str, Any]:
    runs = []
    for seed, folder in folders.items():
        one = replace(settings, seed=seed)
        trained = problem(one, ranks, solution)
        run = Run(one, trained, ranks)
        first = seed == settings.seeds[0]
        run.train(folder, Attention(run, trained, folder) if first else None)
        runs.append(run)
        if first and ranks.rank == 0:
            figures.solution(trained, picture)
    errors = [run.history.rows[-1]["error_u"] for run in runs]
    seconds = float(np.mean([run.seconds for run in runs]))
    problem_of_first = runs[0].problem
    steps = float(np.mean([run.history.rows[-1]["step"] for run in runs]))
    return {
        "rel_l2": errors,
        "mean": float(np.mean(errors)),
        "std": float(np.std(errors)),
        "seconds": seconds,
        "milliseconds_per_iteration": 1e3 * seconds / steps,
        "iterations": round(steps),
        "parameters": sum(p.numel() for p in problem_of_first.residuals.parameters()),
        "points": problem_of_first.batch(0).counts,
        "largest_multiplier": max(
            row.get("lambda_equation_max", 0.0) for run in runs for row in run.history.rows
        ),
        "history": runs[0].history.columns(),
        "settings": asdict(settings),
        "world_size": ranks.size,
        "versions": versions(),
    }


def _summarise(
    problem: type[ScalarProblem],
    compared: Comparison,
    results: Results,
    folders: dict[str, Path],
    out: Path,
) -> None:
    values = summary.table(results, compared)
    summary.write_table(values, out / "table.csv")
    say(values.to_string(float_format=lambda value: f"{value:.3g}", na_rep=""))
    pictures = [(out / "convergence.png", "Convergence, first seed.")]
    figures.convergence(results, out / "convergence.png")
    maps = {name: attention_maps(folder) for name, folder in folders.items()}
    maps = {name: found for name, found in maps.items() if found}
    if maps:
        figures.attention(maps, problem.coordinates, out / "attention.png")
        figures.multipliers({name: results[name] for name in maps}, out / "multipliers.png")
        pictures += [
            (out / "attention.png", "Multipliers of the equation, first seed."),
            (out / "multipliers.png", "Multipliers: smallest, mean and largest."),
        ]
    pictures += [(out / f"{name}.png", f"{name}, first seed.") for name in results]
    summary.write_page(problem.title, values, pictures, out / "report.html")


def _identity(settings: MethodSettings, known_by: str) -> str:
    text = json.dumps([asdict(settings), known_by, __version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _finished(path: Path, identity: str) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    same = isinstance(found, dict) and found.get("identity") == identity
    return dict(found) if same else None
