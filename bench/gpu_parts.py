"""The measuring parts of the check of a GPU, each run as ``python -m bench.gpu_parts``.

What only the training needs is imported there, so that the step runs where VTK is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
import yaml

from aiv_rba.files.experiment import write_settings
from aiv_rba.files.results import Results
from aiv_rba.settings import load_stage, read_experiment
from aiv_rba.stages.train.run import train
from aiv_rba.training.precision import matmul_precision
from bench.measure import BUNDLED, PAPER, in_turns, timed
from bench.step import (
    PAPER_SIZE,
    SMALL_SIZE,
    NestedNetwork,
    Size,
    Training,
    product_operations,
    products,
)

Note = Callable[[str, Any], None]
"""Adds an entry to the result, which is written at once."""
Steps = Callable[[int], object]
"""Takes so many steps and waits until the device has done them."""
STEPS = 2000
# Largest side of the square matrices whose product is the peak, and seconds that a turn of products
# takes at most: on many GPUs one of the largest in double precision takes longer.
SIDE, TURN = 8192, 0.1
# Numbers and precision of the products.
PRECISIONS = {
    "double": (torch.float64, "highest"),
    "single": (torch.float32, "highest"),
    "tf32": (torch.float32, "high"),
    "bfloat16": (torch.bfloat16, "highest"),
}
# By how many times fewer rows tell the work of a row from that of any step.
FEWER = 8


@dataclass(frozen=True)
class Variant:
    """A way to take the step.

    Attributes
    ----------
    make
        Makes it ready.
    size
        Rows of the step, and its network.
    precision
        Of its products.
    of_torch
        Whether torch takes it, whose memory is measured.
    """

    make: Callable[[], Steps]
    size: Size
    precision: str = "single"
    of_torch: bool = True


def step(device: torch.device, small: bool, note: Note) -> None:
    """Rates of matrix products; milliseconds, memory and shares of the peak of the paper's step."""
    # A step that could not be compiled must not count as one that was.
    warnings.filterwarnings("error", message=".*without torch.compile")
    size, rounds, turn = (SMALL_SIZE, 1, 1) if small else (PAPER_SIZE, 5, 10)
    note("operations", size.operations)
    peak = peaks(device, 64 if small else SIDE, rounds, note)
    of_own_shape = products_of_step(size, device, rounds)
    note("own_product_tflops", of_own_shape)
    few = replace(size, rows={block: -(-rows // FEWER) for block, rows in size.rows.items()})
    turns = {}
    variants = variants_of(size, few, device)
    for name, variant in variants.items():
        try:
            turns[name], found = made_ready(variant, turn, device)
            note(name, found)
        except Exception as error:
            note(name, {"error": f"{type(error).__name__}: {error}".splitlines()[0]})
    seconds = in_turns({name: timed(steps) for name, steps in turns.items()}, rounds)
    of_a_step = {name: median(values) / turn for name, values in seconds.items()}
    shares = {}
    for name, value in of_a_step.items():
        note(f"{name}_milliseconds", 1e3 * value)
        variant = variants[name]
        reached = variant.size.operations / value / 1e12
        shares[name] = {
            "of_peak": reached / peak[variant.precision],
            "of_own_product": reached / of_own_shape[variant.precision],
        }
    note("shares", shares)
    if {"jets_compiled", "jets_compiled_few_rows"} <= set(of_a_step):
        all_rows, few_rows = (one.rows["navier_stokes"] for one in (size, few))
        more = of_a_step["jets_compiled"] - of_a_step["jets_compiled_few_rows"]
        per_row = more / (all_rows - few_rows)
        fixed = of_a_step["jets_compiled"] - all_rows * per_row
        note("plan", {"per_row": per_row, "fixed": fixed})


def variants_of(size: Size, few: Size, device: torch.device) -> dict[str, Variant]:
    """Ways to take the step, those first that say most: the time may not suffice for all."""

    def of_torch(size: Size, *, precision: str = "single", **options: Any) -> Variant:
        return Variant(
            lambda: partial(repeated, Training(size, device, **options).step, device),
            size,
            precision,
        )

    found = {
        "jets": of_torch(size),
        "jets_compiled": of_torch(size, compile=True),
        "jets_compiled_few_rows": of_torch(few, compile=True),
        "nested_autograd": of_torch(size, kind=NestedNetwork),
    }
    if device.type == "cuda":
        found |= {
            "jets_tf32": of_torch(size, compile=True, precision="tf32"),
            "jets_cuda_graphs": of_torch(size, compile=True, cuda_graphs=True),
        }
    jax = Variant(lambda: jax_on(device, Training(size, device)), size, of_torch=False)
    return found | {"jax": jax}


def made_ready(
    variant: Variant, turn: int, device: torch.device
) -> tuple[Callable[[], None], dict[str, float]]:
    """A turn of steps, of which the first, which compile, are done; and what they took.

    The memory is that of the GPU beyond what was held before.
    """
    measure_memory = variant.of_torch and device.type == "cuda"
    held = torch.cuda.memory_allocated() if measure_memory else 0
    started = time.perf_counter()
    steps = variant.make()

    def take_turn() -> None:
        with matmul_precision(PRECISIONS[variant.precision][1]):
            steps(turn)

    take_turn()
    found = {"seconds_until_ready": time.perf_counter() - started}
    if measure_memory:
        torch.cuda.reset_peak_memory_stats()
    found["first_milliseconds"] = 1e3 * timed(take_turn)() / turn
    if measure_memory:
        found["peak_memory_mib"] = (torch.cuda.max_memory_allocated() - held) / 2**20
    return take_turn, found


def peaks(device: torch.device, largest: int, rounds: int, note: Note) -> dict[str, float]:
    """Rates of products of square matrices, TFLOP/s, by precision; noted one by one."""
    found: dict[str, float] = {}
    for name, (dtype, precision) in PRECISIONS.items():
        with matmul_precision(precision):
            side = largest // 8
            product = square(side, dtype, device)
            # Eight times the work, as long as it fits into a turn.
            while side < largest and 8 * seconds_of(product, device) < TURN:
                side *= 2
                product = square(side, dtype, device)
            found[name] = rate(product, 2.0 * side**3, device, rounds)
        note("peak_tflops", found)
    return found


def square(side: int, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    """The product of two square matrices."""
    a = torch.randn(side, side, device=device, dtype=dtype)
    return partial(torch.mm, a, a, out=torch.empty_like(a))


def products_of_step(size: Size, device: torch.device, rounds: int) -> dict[str, float]:
    """Rates of products of the shape that most of those of the step have, TFLOP/s."""
    found = {}
    for name in ("single", "tf32"):
        with matmul_precision(PRECISIONS[name][1]):
            shape = size.equation_rows, size.width
            product = products(*shape, device, 1)
            found[name] = rate(product, product_operations(*shape, 1), device, rounds)
    return found


def rate(
    product: Callable[[], object], operations: float, device: torch.device, rounds: int
) -> float:
    """Rate of a product of so many operations, TFLOP/s, taken as often as fits into a turn."""
    count = max(1, int(TURN / seconds_of(product, device)))
    turn = partial(repeated, product, device, count)
    (seconds,) = in_turns({"product": timed(turn)}, rounds).values()
    return operations * count / median(seconds) / 1e12


def seconds_of(product: Callable[[], object], device: torch.device) -> float:
    """Seconds of one product, the second: the first one prepares others."""
    once = timed(partial(repeated, product, device, 1))
    once()
    return once()


def repeated(step: Callable[[], object], device: torch.device, times: int) -> None:
    """So many steps, and a wait until the device has done them."""
    for _ in range(times):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()


def jax_on(device: torch.device, training: Training) -> Steps:
    """Steps in JAX, if that is installed and sees such a device."""
    # By itself JAX takes most of the GPU's memory, which torch needs too.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    import jax

    from bench.jax_step import jax_steps

    expected = "gpu" if device.type == "cuda" else "cpu"
    if jax.default_backend() != expected:
        raise RuntimeError(f"JAX computes on {jax.default_backend()}, expected {expected}")
    return jax_steps(training)


def training(device: torch.device, small: bool, note: Note) -> None:
    """Steps of Adam with the paper's settings, from the tracks on: seconds, memory, errors."""
    from aiv_rba.fields.flow import SMALL_FLOW
    from aiv_rba.stages.ingest.run import ingest
    from aiv_rba.stages.points.generate import collocate

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
