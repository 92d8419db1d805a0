"""The measuring parts of the check of a GPU, each run as ``python -m bench.gpu_parts``."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
import yaml

from aiv_rba.fields.flow import SMALL_FLOW
from aiv_rba.files.experiment import write_settings
from aiv_rba.files.results import Results
from aiv_rba.settings import load_stage, read_experiment
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.points.generate import collocate
from aiv_rba.stages.train.run import train
from bench.measure import BUNDLED, PAPER, in_turns, timed
from bench.step import PAPER_SIZE, SMALL_SIZE, NestedNetwork, Training

Note = Callable[[str, Any], None]
"""Adds an entry to the result, which is written at once."""
STEPS = 2000
# Side of the square matrices whose product is the peak, and products in a turn.
SIDE, PRODUCTS = 8192, 10
# By how many times fewer rows tell the work of a row from that of any step.
FEWER = 8


def step(device: torch.device, small: bool, note: Note) -> None:
    """Peak of matrix products; milliseconds and memory of the paper's step in all variants."""
    size, rounds, turn = (SMALL_SIZE, 1, 1) if small else (PAPER_SIZE, 5, 10)
    few = replace(size, rows={block: -(-rows // FEWER) for block, rows in size.rows.items()})
    note("peak_tflops", peaks(device, 64 if small else SIDE, rounds))
    variants: dict[str, Callable[[], Callable[[], object]]] = {
        "jets": lambda: Training(size, device).step,
        "jets_compiled": lambda: Training(size, device, compile=True).step,
        "jets_compiled_few_rows": lambda: Training(few, device, compile=True).step,
        "nested_autograd": lambda: Training(size, device, NestedNetwork).step,
        "jax": lambda: jax_on(device, Training(size, device)),
    }
    ready = {}
    for name, make in variants.items():
        try:
            ready[name] = repeated(make(), turn, device)
            note(name, {"peak_memory_mib": peak_memory_mib(ready[name], device)})
        except Exception as error:
            note(name, {"error": f"{type(error).__name__}: {error}".splitlines()[0]})
    seconds = in_turns({name: timed(turn) for name, turn in ready.items()}, rounds)
    of_a_step = {name: median(values) / turn for name, values in seconds.items()}
    for name, value in of_a_step.items():
        note(f"{name}_milliseconds", 1e3 * value)
    if {"jets_compiled", "jets_compiled_few_rows"} <= set(of_a_step):
        all_rows, few_rows = (one.rows["navier_stokes"] for one in (size, few))
        more = of_a_step["jets_compiled"] - of_a_step["jets_compiled_few_rows"]
        per_row = more / (all_rows - few_rows)
        fixed = of_a_step["jets_compiled"] - all_rows * per_row
        note("plan", {"per_row": per_row, "fixed": fixed})
    note("operations", size.operations)


def peaks(device: torch.device, side: int, rounds: int) -> dict[str, float]:
    """Rates of products of square matrices, TFLOP/s, by precision."""
    found = {}
    for name, dtype, precision in (
        ("double", torch.float64, "highest"),
        ("single", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, "highest"),
    ):
        torch.set_float32_matmul_precision(precision)
        a = torch.randn(side, side, device=device, dtype=dtype)
        turn = repeated(partial(torch.mm, a, a, out=torch.empty_like(a)), PRODUCTS, device)
        seconds = in_turns({name: timed(turn)}, rounds)[name]
        found[name] = 2.0 * side**3 * PRODUCTS / median(seconds) / 1e12
    torch.set_float32_matmul_precision("highest")
    return found


def repeated(step: Callable[[], object], times: int, device: torch.device) -> Callable[[], object]:
    """So many steps, and a wait until the device has done them."""

    def steps() -> None:
        for _ in range(times):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return steps


def peak_memory_mib(steps: Callable[[], object], device: torch.device) -> float | None:
    """Largest memory that torch held on the GPU during steps; none is measured on cores."""
    # The first steps compile.
    steps()
    if device.type == "cpu":
        return None
    torch.cuda.reset_peak_memory_stats()
    steps()
    return torch.cuda.max_memory_allocated() / 2**20


def jax_on(device: torch.device, training: Training) -> Callable[[], object]:
    """The step in JAX, if that is installed and sees such a device."""
    import jax

    from bench.jax_step import jax_step

    expected = "gpu" if device.type == "cuda" else "cpu"
    if jax.default_backend() != expected:
        raise RuntimeError(f"JAX computes on {jax.default_backend()}, expected {expected}")
    return jax_step(training)


def training(device: torch.device, small: bool, note: Note) -> None:
    """Steps of Adam with the paper's settings, from the tracks on: seconds, memory, errors."""
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder, "overlay.yaml")
        overlay.write_text(yaml.safe_dump(changes(device, small)))
        write_settings([BUNDLED, PAPER, overlay], Path(folder))
        experiment = read_experiment(BUNDLED, PAPER, overlay)
        results = Results(Path(folder, experiment.name))
        if small:
            shutil.copy(SMALL_FLOW / "case.h5", results.case)
        stages: dict[str, Callable[[], object]] = {
            "ingest": lambda: ingest(experiment.ingest, results),
            "points": lambda: collocate(experiment.points, results),
            "train": lambda: train(load_stage(results.settings("train"), "train"), results),
        }
        if small:
            del stages["ingest"]
        for name, stage in stages.items():
            started = time.perf_counter()
            stage()
            note(f"{name}_seconds", time.perf_counter() - started)
        history = pd.read_csv(results.history)
        first, last = history.iloc[0], history.iloc[-1]
        note("steps", int(last.step))
        # The first rows of the history are made while the step is compiled.
        if len(history) > 1:
            seconds = (last.seconds - first.seconds) / (last.step - first.step)
            note("milliseconds_per_step", 1e3 * seconds)
        note("history", {"first": first.to_dict(), "last": last.to_dict()})
        if device.type == "cuda":
            note("peak_memory_mib", torch.cuda.max_memory_allocated() / 2**20)


def changes(device: torch.device, small: bool) -> dict[str, Any]:
    """What is changed in the paper's settings."""
    optimiser: dict[str, Any] = {"iterations": STEPS}
    train: dict[str, Any] = {"optimiser": optimiser, "device": device.type}
    changed: dict[str, Any] = {"name": "gpu_check", "train": train}
    if small:
        train |= {"network": {"layers": 2, "width": 8}, "history_every": 1, "groups_per_step": 20}
        optimiser |= {"iterations": 3, "compile": False}
        few = {"n_theta": 4, "n_y": 4, "n_r": 1, "n_t": 2, "wall_n_t": 2}
        changed["points"] = few | {"per_group": 4, "layers": 6, "time_levels": 5}
    return changed


def main(name: str, device: str, out: str) -> None:
    """Run a part and write what it notes."""
    result: dict[str, Any] = {}

    def note(key: str, value: Any) -> None:
        result[key] = value
        Path(out).write_text(json.dumps(result))

    {"step": step, "training": training}[name](torch.device(device), device == "cpu", note)


if __name__ == "__main__":
    main(*sys.argv[1:])
