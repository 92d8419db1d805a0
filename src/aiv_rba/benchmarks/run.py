"""Stage benchmark: train the methods of one problem, compare them, check them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aiv_rba import __version__, config
from aiv_rba.benchmarks import figures
from aiv_rba.benchmarks.problems import AllenCahn, Benchmark, Helmholtz
from aiv_rba.benchmarks.reference import allen_cahn, read_mat
from aiv_rba.errors import UserError
from aiv_rba.parallel.ddp import Ranks, process_group
from aiv_rba.store import Array, atomic_path, create_h5, open_h5, sha256
from aiv_rba.train.loop import Run

# Reference of Allen-Cahn: modes and steps, and how much of it is kept for scoring.
MODES, STEPS, TIMES, PLACES = 4096, 2000, 100, 512


def reference(out: Path) -> None:
    """Write the Allen-Cahn reference solution, HDF5: t, x, u (t, x)."""
    t, x, u = allen_cahn(MODES, STEPS, TIMES)
    every = MODES // PLACES
    with create_h5(out, "reference", {"modes": MODES, "steps": STEPS}) as file:
        file["t"], file["x"], file["u"] = t, x[::every], u[:, ::every]


def benchmark(
    methods: dict[str, config.Benchmark],
    checks: config.Checks,
    *,
    problem: str,
    reference: Path | None,
    out: Path,
) -> None:
    """Train every method with every seed; write a JSON file per method, a table and figures.

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
        results = {}
        for name, settings in methods.items():
            path = out / f"{name}.json"
            identity = _identity(settings, known_by)
            found = _finished(path, identity)
            if found is None:
                found = _train(problem, name, settings, known, ranks, out, identity)
                if ranks.rank == 0:
                    with atomic_path(path) as temporary:
                        temporary.write_text(json.dumps(found, indent=2) + "\n")
            results[name] = found
        if ranks.rank == 0:
            _table(results, out / "table.csv")
            figures.convergence(results, out / "convergence.png")
            _check(problem, results, checks)


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
    name: str,
    settings: config.Benchmark,
    known: tuple[Array, Array, Array] | None,
    ranks: Ranks,
    out: Path,
    identity: str,
) -> dict[str, Any]:
    runs = []
    for seed in settings.seeds:
        one = replace(settings, seed=seed)
        trained = _make(problem, one, known, ranks)
        run = Run(one, trained, ranks)
        run.train(out / "checkpoints" / f"{name}_{seed}_{identity[:12]}")
        runs.append(run)
        if ranks.rank == 0 and seed == settings.seeds[0]:
            figures.solution(trained, problem, out / f"{name}.png")
    errors = [run.history[-1]["error_u"] for run in runs]
    seconds = [run.seconds for run in runs]
    return {
        "problem": problem,
        "method": name,
        "rel_l2": errors,
        "mean": float(np.mean(errors)),
        "std": float(np.std(errors)),
        "seconds": float(np.mean(seconds)),
        "milliseconds_per_iteration": 1e3 * float(np.mean(seconds)) / settings.optimiser.iterations,
        "iterations": settings.optimiser.iterations,
        "parameters": sum(p.numel() for p in runs[0].problem.residuals.parameters()),
        "largest_multiplier": max(
            row.get("lambda_equation_max", 0.0) for run in runs for row in run.history
        ),
        "history": {
            key: [row[key] for row in runs[0].history] for key in ("step", "seconds", "error_u")
        },
        "settings": asdict(settings),
        "identity": identity,
        "world_size": ranks.size,
        "version": __version__,
    }


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


def _table(results: dict[str, dict[str, Any]], path: Path) -> None:
    columns = ("mean", "std", "iterations", "parameters", "seconds", "milliseconds_per_iteration")
    table = pd.DataFrame({n: {c: r[c] for c in columns} for n, r in results.items()}).T
    table = table.rename(columns={"mean": "rel_l2"})
    table.index.name = "method"
    with atomic_path(path) as temporary:
        table.to_csv(temporary, float_format="%.6g")
    print(table.to_string(float_format=lambda value: f"{value:.3g}"))


def _check(problem: str, results: dict[str, dict[str, Any]], checks: config.Checks) -> None:
    """Compare the errors with what is expected.

    Raises
    ------
    UserError
        At the first figure that is out of its bounds, and by how much.
    """
    for name, result in results.items():
        weighting = result["settings"]["weighting"]
        if weighting["name"] == "rba":
            bound = weighting["eta"] / (1 - weighting["gamma"])
            if result["largest_multiplier"] > bound * (1 + 1e-6):
                raise UserError(
                    f"{problem}: {name}: largest multiplier is {result['largest_multiplier']:.4g}, "
                    f"expected at most eta* / (1 - gamma) = {bound:.4g} (Eq. 13)"
                )
    for name, bound in checks.at_most.items():
        error = _result(problem, results, name)["mean"]
        if not error <= bound:
            raise UserError(
                f"{problem}: relative L2 of {name} is {error:.3g}, expected at most {bound:.3g}"
            )
    for better, (worse, factor) in checks.better.items():
        ratio = _result(problem, results, worse)["mean"] / _result(problem, results, better)["mean"]
        if not ratio >= factor:
            raise UserError(
                f"{problem}: {better} is {ratio:.3g} times more accurate than {worse}, expected at "
                f"least {factor:.3g} times"
            )


def _result(problem: str, results: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in results:
        raise UserError(
            f"{problem}: checks name the method {name!r}, expected one of {', '.join(results)}"
        )
    return results[name]
