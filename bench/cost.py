"""Cost of an iteration of every method of the paper's profile; writes results/bench_cost.json.

The counterpart of Tables A.8 and A.10: networks and multipliers of
workflow/config/validation/paper.yaml, a tenth of the points for Allen-Cahn, Adam, one thread. The
methods take turns; what is compared is the time of a turn over that of vanilla in the same round.
The multipliers are timed inside the steps as well, since whole steps vary by more than they cost.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
import yaml

from aiv_rba.problem import Batch, Blocks
from aiv_rba.problems import find
from aiv_rba.problems.scalar import ScalarProblem
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, load_comparison
from aiv_rba.training.loop import Run
from bench.measure import in_turns, ratios, write

PROFILE = Path("workflow/config/validation/paper.yaml")
# On a GPU 25,600 points are nothing; on one thread a tenth costs as much per point.
POINTS = 2560


class Method(Run):
    """A training that is taken step by step, with its weighing on the clock."""

    def __init__(self, problem: ScalarProblem) -> None:
        super().__init__(problem.settings, problem, problem.ranks)
        self.taken = 0
        self.weighing = 0.0

    def weigh(self, batch: Batch, residuals: Blocks) -> Blocks:
        """As the loop weighs."""
        started = time.perf_counter()
        weights = super().weigh(batch, residuals)
        self.weighing = time.perf_counter() - started
        return weights

    def step(self) -> tuple[float, float]:
        """Seconds of one step, and of the weighing in it."""
        started = time.perf_counter()
        self.optimiser.step(self.problem.batch(self.taken), self.weigh)
        self.taken += 1
        return time.perf_counter() - started, self.weighing


def methods(name: str, points: int) -> dict[str, Method]:
    """The methods of one problem of the profile, with at most so many points, not compiled."""
    problem = find(name)
    here = Ranks(0, 1, torch.device("cpu"))
    nothing = np.zeros(2), np.zeros(2), np.zeros((2, 2))
    made = {}
    for method, settings in load_comparison(PROFILE, name, problem.settings_type).methods.items():
        assert isinstance(settings.optimiser, AdamSettings)
        eager = replace(settings.optimiser, compile=False)
        fewer = replace(settings, points=min(settings.points, points), optimiser=eager)
        made[method] = Method(problem(fewer, here, nothing))
    return made


def compare(methods: dict[str, Method], rounds: int) -> dict[str, dict[str, float]]:
    """Medians of every method over rounds; the first is the one that others are compared with."""
    turns = in_turns({name: method.step for name, method in methods.items()}, rounds)
    seconds = {name: [step for step, _ in taken] for name, taken in turns.items()}
    result = {}
    for name, taken in turns.items():
        relative = ratios(seconds[name], seconds[next(iter(methods))])
        result[name] = {
            "milliseconds_per_iteration": 1e3 * median(seconds[name]),
            "relative_to_vanilla": median(relative),
            "lowest_ratio": min(relative),
            "highest_ratio": max(relative),
            "share_of_weighting": median(weighing / step for step, weighing in taken),
        }
    return result


def run(rounds: int = 5) -> None:
    """Time every method of every problem of the profile in so many rounds."""
    torch.set_num_threads(1)
    problems = yaml.safe_load(PROFILE.read_text())
    write("bench_cost", {name: compare(methods(name, POINTS), rounds) for name in problems})
