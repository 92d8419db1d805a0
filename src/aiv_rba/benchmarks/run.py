"""Stage benchmark: train the methods of one problem, compare them, check them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba import __version__, config
from aiv_rba.benchmarks import figures, summary
from aiv_rba.benchmarks.attention import Attention, attention_maps
from aiv_rba.benchmarks.checks import Results, check
from aiv_rba.benchmarks.problems import AllenCahn, Benchmark, Helmholtz
from aiv_rba.benchmarks.reference import allen_cahn, read_mat
from aiv_rba.errors import UserError
from aiv_rba.parallel.ddp import Ranks, process_group
from aiv_rba.store import Array, atomic_path, create_h5, open_h5, sha256
from aiv_rba.train.loop import Run
from aiv_rba.train.provenance import versions

# Reference of Allen-Cahn: modes and steps, and how much of it is kept for scoring.
MODES, STEPS, TIMES, PLACES = 4096, 2000, 100, 512


def reference(out: Path) -> None:
    """Write the Allen-Cahn reference solution, HDF5: t, x, u (t, x)."""
    t, x, u = allen_cahn(MODES, STEPS, TIMES)
    every = MODES // PLACES
    with create_h5(out, "reference", {"modes": MODES, "steps": STEPS}) as file:
        file["t"], file["x"], file["u"] = t, x[::every], u[:, ::every]


def benchmark(
    compared: config.Comparison,
    *,
    problem: str,
    reference: Path | None,
    out: Path,
) -> None:
    """Train every method with every seed; write a JSON file per method, table, figures and page.

    Every rank calls this. A method whose JSON file belongs to the same settings, reference and
    version of this package is not trained again; the hash of these three names the folder of its
    checkpoints too.

    Raises
    ------
    UserError
        If a file is damaged, a combination impossible, or a check fails.
    """
    with process_group() as ranks:
        known = _read_reference(reference) if reference else None
        known_by = sha256(reference) if reference else ""
        results, folders = {}, {}
        for name, settings in compared.methods.items():
            path = out / f"{name}.json"
            identity = _identity(settings, known_by)
            trainings = {
                seed: out / "checkpoints" / f"{name}_{seed}_{identity[:12]}"
                for seed in settings.seeds
            }
            folders[name] = trainings[settings.seeds[0]]
            found = _finished(path, identity)
            if found is None:
                picture = out / f"{name}.png"
                trained = _train(problem, settings, known, ranks, trainings, picture)
                about = {"problem": problem, "profile": compared.profile, "method": name}
                found = about | trained | {"identity": identity}
                if ranks.rank == 0:
                    with atomic_path(path) as temporary:
                        temporary.write_text(json.dumps(found, indent=2) + "\n")
            results[name] = found
        if ranks.rank == 0:
            _summarise(problem, compared, results, folders, out)
            check(problem, results, compared.checks)


def _read_reference(path: Path) -> tuple[Array, Array, Array]:
    if path.suffix == ".mat":
        return read_mat(path)
    with open_h5(path, "reference") as file:
        return file["t"][:], file["x"][:], file["u"][:]


def _make(
    problem: str,
    settings: config.Benchmark,
    known: tuple[Array, Array, Array] | None,
    ranks: Ranks,
) -> Benchmark:
    if problem == "helmholtz":
        return Helmholtz(settings, ranks)
    if known is None:
        raise UserError("allen_cahn: no reference given, expected --reference")
    return AllenCahn(settings, ranks, known)


def _train(
    problem: str,
    settings: config.Benchmark,
    known: tuple[Array, Array, Array] | None,
    ranks: Ranks,
    folders: dict[int, Path],
    picture: Path,
) -> dict[str, Any]:
    runs = []
    for seed, folder in folders.items():
        one = replace(settings, seed=seed)
        trained = _make(problem, one, known, ranks)
        run = Run(one, trained, ranks)
        first = seed == settings.seeds[0]
        run.train(folder, Attention(run, trained, folder) if first else None)
        runs.append(run)
        if first and ranks.rank == 0:
            figures.solution(trained, problem, picture)
    errors = [run.history[-1]["error_u"] for run in runs]
    seconds = float(np.mean([run.seconds for run in runs]))
    problem_of_first = runs[0].problem
    steps = float(np.mean([run.history[-1]["step"] for run in runs]))
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
            row.get("lambda_equation_max", 0.0) for run in runs for row in run.history
        ),
        "history": {key: [row[key] for row in runs[0].history] for key in runs[0].history[0]},
        "settings": asdict(settings),
        "world_size": ranks.size,
        "versions": versions(),
    }


def _summarise(
    problem: str,
    compared: config.Comparison,
    results: Results,
    folders: dict[str, Path],
    out: Path,
) -> None:
    values = summary.table(results, compared)
    summary.write_table(values, out / "table.csv")
    print(values.to_string(float_format=lambda value: f"{value:.3g}", na_rep=""))
    pictures = [(out / "convergence.png", "Convergence, first seed.")]
    figures.convergence(results, out / "convergence.png")
    maps = {name: attention_maps(folder) for name, folder in folders.items()}
    maps = {name: found for name, found in maps.items() if found}
    if maps:
        figures.attention(maps, problem, out / "attention.png")
        figures.multipliers({name: results[name] for name in maps}, out / "multipliers.png")
        pictures += [
            (out / "attention.png", "Multipliers of the equation, first seed."),
            (out / "multipliers.png", "Multipliers: smallest, mean and largest."),
        ]
    pictures += [(out / f"{name}.png", f"{name}, first seed.") for name in results]
    summary.write_page(problem, values, pictures, out / "report.html")


def _identity(settings: config.Benchmark, known_by: str) -> str:
    text = json.dumps([asdict(settings), known_by, __version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _finished(path: Path, identity: str) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    same = isinstance(found, dict) and found.get("identity") == identity
    return dict(found) if same else None
