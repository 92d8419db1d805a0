"""The paper's own training on this machine: seconds of its steps, and what all of them would take.

The settings of workflow/config/paper.yaml on the bundled experiment, with all of their points and
the whole batch of every step: one rank, and two, of one thread each. The training is not finished:
its hours are extrapolated from a few steps after compilation. Writes results/bench_paper.json.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from aiv_rba.files.case import read_case
from aiv_rba.files.records import revision, versions
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.ranks.plan import NVIDIA, Step, collocation_points, messages
from aiv_rba.settings import read_experiment
from bench.inputs import write_inputs
from bench.measure import BUNDLED, PAPER, RESULTS, renew, spread, write
from bench.scaling import TERMS
from bench.step import Size
from bench.turns import Inputs, Job, quiet_rounds, take_turns

HOUR = 3600.0
# Single-precision operations a second that NVIDIA states, outside its tensor cores.
PEAKS = {"A100": 19.5e12, "H100 SXM": 67e12}
# GPUs of the plan.
GPUS = (1, 8)


def hours(steps: int, seconds: Mapping[str, float]) -> dict[str, float]:
    """Hours of so many steps, from the median, least and most seconds of one."""
    return {name: steps * value / HOUR for name, value in seconds.items()}


def rows_of(inputs: Inputs) -> dict[str, int]:
    """Rows of each block in a step."""
    alone = Ranks(0, 1, torch.device("cpu"))
    return Velocimetry(inputs.settings, read_case(inputs.case), inputs.points, alone).lengths


def table(result: Mapping[str, Any]) -> str:
    """Seconds of a step and hours of the whole training, as a block of docs/large-data.md."""
    lines = [
        "| machine | s a step | hours, extrapolated | how |",
        "| --- | --- | --- | --- |",
    ]
    for job, name in (("one", "one rank"), ("two", "two ranks")):
        step, all_steps = result["seconds_per_step"][job], result["hours"][job]
        lines.append(f"| {name} | {shown(step, 2)} | {shown(all_steps, 0)} | steps timed |")
    planned_hours = result["gpu_hours_planned"]
    if isinstance(planned_hours, str):
        lines.append(f"| GPUs | | | {planned_hours} |")
    else:
        for count, value in planned_hours.items():
            how = "calculated by the plan from `make gpu-check`"
            lines.append(f"| {count} GPU(s) as checked | | {value:.2g} | {how} |")
    for gpu, value in result["gpu_hours_at_least"].items():
        how = "calculated: matrix products alone at the stated peak, not measured"
        lines.append(f"| {gpu} | | at least {value:.2g} | {how} |")
    return "<!-- paper_hours -->\n" + "\n".join(lines) + "\n<!-- end -->"


def shown(values: Mapping[str, float], digits: int) -> str:
    """The median, and the least and most in parentheses."""
    median, least, most = (f"{values[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} ({least} to {most})"


def planned(check: Path, rows: int, sent: tuple[float, ...], steps: int) -> Any:
    """Hours on GPUs by the plan of docs/scaling.md, from what ``make gpu-check`` measured on one.

    Parameters
    ----------
    check
        results/gpu_check.json, if there is one.
    rows
        Collocation points of a step.
    sent
        Bytes of its all-reduces.
    steps
        Steps of the training.
    """
    if not check.is_file():
        return "not known: make gpu-check measures what the plan needs"
    measured = json.loads(check.read_text())["parts"]["step"]["result"]["plan"]
    step = Step(rows=rows, messages=sent, **measured)
    return {count: steps * step.seconds(count, NVIDIA) / HOUR for count in GPUS}


def run(rounds: int = 4, docs: str = "") -> None:
    """Time so many rounds of two steps, extrapolate, and put the table on pages of a folder."""
    experiment = read_experiment(BUNDLED, PAPER)
    network, steps = experiment.train.network, experiment.train.optimiser.iterations
    assert network.width != "auto"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs, _ = write_inputs(folder / "inputs", PAPER)
        rows = rows_of(inputs)
        jobs = [Job("one", 1, inputs, 2), Job("two", 2, inputs, 2)]
        taken, told = take_turns(jobs, folder, rounds)
    counted = quiet_rounds(taken)
    quiet = {name: [turns[number] for number in counted] for name, turns in taken.items()}
    seconds = {name: spread([turn.seconds for turn in turns]) for name, turns in quiet.items()}
    sent = messages(told["one"][0]["parameters"], TERMS)
    check = RESULTS / "gpu_check.json"
    operations = Size(rows, network.layers, network.width).operations
    result = {
        "note": "extrapolated from a few steps: no such training has been run to its end",
        "revision": revision(Path(__file__)),
        "cores": os.cpu_count(),
        "versions": versions(),
        "points": dict(
            zip(("interior", "wall"), collocation_points(experiment.points), strict=True)
        ),
        "rows": rows,
        "steps": steps,
        "rounds_counted": counted,
        "cores_kept_by_others": {
            name: spread([turn.others for turn in turns]) for name, turns in quiet.items()
        },
        "seconds_per_step": seconds,
        "hours": {name: hours(steps, values) for name, values in seconds.items()},
        "gpu_hours_planned": planned(check, rows["navier_stokes"], sent, steps),
        "gpu_hours_at_least": {gpu: steps * operations / at / HOUR for gpu, at in PEAKS.items()},
    }
    write("bench_paper", result)
    print(table(result))
    if docs:
        renew(Path(docs).glob("*.md"), table(result))
