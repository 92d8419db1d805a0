"""Strong and weak scaling on this machine, and a plan for more ranks than it has.

Measures the training of the paper's settings and of the default on one and two ranks, the work of
the first of up to 1,024 ranks, and models the communication of larger worlds. Writes
results/bench_scaling.json, and prints tables; `--docs docs` puts them on the pages of that folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch

from aiv_rba.files.records import versions
from aiv_rba.problems.velocimetry.share import Share, measure, write_points
from aiv_rba.ranks.plan import Cluster, Step, messages
from bench.inputs import write_inputs
from bench.measure import PAPER, ratios, renew, spread, write
from bench.turns import Inputs, Job, Turn, quiet_rounds, take_turns

TABLES = Path(__file__).with_suffix(".md.j2")
# Steps of a turn. A row of the history is due at every fifth one of the default.
STEPS = {"paper": 2, "default": 5}
OVERLAYS = {"paper": (PAPER,), "default": ()}
WORLDS = (1, 2, 8, 64, 256, 1024)
# Groups of the paper's 4.98e6 points, of 1e8 and of 1e10, with 95 points each.
GROUPS = (52_500, 1_052_632, 105_263_158)
# Rows of which one step takes many seconds.
LONG = 30_000
# Of the loss of paper.
TERMS = 9


def scale(name: str, inputs: tuple[Inputs, Inputs], folder: Path, rounds: int) -> dict[str, Any]:
    """Time and memory of one rank, two on the same rows, two on twice as many, and two apart."""
    (once, twice), steps = inputs, STEPS[name]
    apart = Job("apart", 2, once, steps, apart=True)
    two = Job("two", 2, once, steps), Job("two_twice", 2, twice, steps)
    (folder / name).mkdir()
    return summary(*take_turns([Job("one", 1, once, steps), *two, apart], folder / name, rounds))


def summary(
    taken: Mapping[str, Sequence[Turn]], told: Mapping[str, Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    """What the turns of the quiet rounds and the ranks' words say of the four jobs."""
    counted = quiet_rounds(taken)
    quiet = {job: [turns[number] for number in counted] for job, turns in taken.items()}
    seconds = {job: [turn.seconds for turn in turns] for job, turns in quiet.items()}
    # Processor seconds, which a busy machine changes less.
    work = {job: [turn.work for turn in turns] for job, turns in quiet.items()}
    result = {
        "rounds_counted": counted,
        "cores_kept_by_others": {job: spread([t.others for t in ts]) for job, ts in quiet.items()},
        "seconds_per_step": {job: spread(values) for job, values in seconds.items()},
        "collectives": told["two"][0]["collectives"],
        "parameters": told["two"][0]["parameters"],
        "turns": {job: [turn._asdict() for turn in turns] for job, turns in taken.items()},
    }
    # Round by round, so that a slow round slows both.
    pairs = (("strong", "two", 1), ("weak", "two_twice", 2), ("apart", "apart", 2))
    for kind, job, factor in pairs:
        for what, values in (("throughput", seconds), ("work", work)):
            result[f"{kind}_{what}_ratio"] = spread(ratios(values["one"], values[job], factor))
    for key in ("peak", "multipliers", "points"):
        result[f"{key}_bytes"] = {job: [rank[key] for rank in ranks] for job, ranks in told.items()}
    return result


def measured_shares(inputs: Inputs, largest: int) -> list[Share]:
    """All shares of at most `largest` rows, smallest first, on one thread."""
    torch.set_num_threads(1)
    settings = replace(inputs.settings, groups_per_step=0)
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        points = Path(folder) / "points.h5"
        for rows, groups, world in sorted((-(-g // w), g, w) for g in GROUPS for w in WORLDS):
            if rows <= largest:
                write_points(points, inputs.points, groups, world)
                steps = 1 if rows > LONG else 3
                shares.append(measure(settings, inputs.case, points, world, steps))
    return shares


def plan(shares: Sequence[Share], ranks: dict[str, Any]) -> dict[str, Any]:
    """Work of one row from the measured shares, and the model of larger worlds.

    Ranks are cores like this machine's, joined by links like the one between two ranks on it.
    """
    rows, seconds = np.array([(share.rows, share.seconds) for share in shares]).T
    # The line with the least sum of squared relative errors.
    per_row, fixed = map(float, np.polyfit(rows, seconds, 1, w=1 / seconds))
    sent = messages(ranks["paper"]["parameters"], TERMS)
    # The least of what is measured: another process only ever adds to it.
    hop = min(found["collectives"]["maxima"]["alone"] for found in ranks.values()) / 2
    gradient = ranks["paper"]["collectives"]["sums"]
    link = 4 * gradient["numbers"] / gradient["alone"]
    here = Cluster(1, 0.0, (hop, hop), (hop, hop), link, link)
    core = Step(1, per_row, max(fixed, 0.0), sent)
    return core.plan(here, GROUPS, WORLDS)


def three_digits(value: float) -> str:
    """A number with three digits, without an exponent."""
    return f"{float(f'{value:.3g}'):,.10g}"


def tables(result: dict[str, Any]) -> str:
    """The tables of docs/scaling.md and docs/large-data.md, each between two comments."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "ms": lambda seconds: three_digits(1e3 * seconds),
        "mib": lambda count: three_digits(count / 2**20),
        "spread": lambda v: f"{v['median']:.2f} ({v['min']:.2f} to {v['max']:.2f})",
    }
    return environment.from_string(TABLES.read_text()).render(result)


def run(rounds: int = 4, largest: int = 105_000, docs: str = "") -> None:
    """Measure so many rounds, plan, and put the tables on the pages of a folder if given.

    A measured share has at most `largest` rows.
    """
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(1, get_context("spawn")) as one:
        folder = Path(name)
        inputs = {name: write_inputs(folder / f"{name}_inputs", *OVERLAYS[name]) for name in STEPS}
        ranks = {name: scale(name, inputs[name], folder, rounds) for name in STEPS}
        # In a process of its own, whose memory is measured.
        shares = one.submit(measured_shares, inputs["paper"][0], largest).result()
    result = {
        "cores": os.cpu_count(),
        "versions": versions(),
        "ranks": ranks,
        "shares": [asdict(share) for share in shares],
        "plan": plan(shares, ranks),
    }
    # Numbers as keys become text, as they are read from the file.
    result = json.loads(json.dumps(result))
    write("bench_scaling", result)
    text = tables(result)
    print(text)
    if docs:
        renew(Path(docs).glob("*.md"), text)
