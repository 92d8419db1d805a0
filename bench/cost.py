"""Cost of an iteration of every method of the paper's profile; writes results/bench_cost.json.

The counterpart of Tables A.8 and A.10: networks and weighting of
workflow/config/validation/paper.yaml, a tenth of the points for Allen-Cahn, Adam, one thread. The
methods take turns, so that all of them meet the same moods of the machine; what is compared is the
time of a turn over that of vanilla in the same round. The weighting is timed inside the steps as
well, since whole steps vary by more than it costs.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from aiv_rba.problem import Batch, Blocks
from aiv_rba.problems.scalar import AllenCahn, Benchmark, Helmholtz
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import load_comparison
from aiv_rba.training.loop import Run

PROFILE = Path("workflow/config/validation/paper.yaml")
RESULTS = Path("results/bench_cost.json")
ROUNDS = 5
# On a GPU 25,600 points are nothing; on one thread a tenth costs as much per point.
POINTS = 2560


class Method:
    """One method, step by step."""

    def __init__(self, problem: Benchmark, name: str) -> None:
        self.name = name
        self.problem = problem
        self.run = Run(problem.settings, problem, problem.ranks)
        self.steps = 0
        self.weighing = 0.0

    def weigh(self, batch: Batch, residuals: Blocks) -> Blocks:
        """As the loop weighs, on the clock."""
        started = time.perf_counter()
        weights = self.run.weigh(batch, residuals)
        self.weighing = time.perf_counter() - started
        return weights

    def step(self) -> tuple[float, float]:
        """Seconds of one step, and of the weighting in it."""
        started = time.perf_counter()
        self.run.optimiser.step(self.problem.batch(self.steps), self.weigh)
        self.steps += 1
        return time.perf_counter() - started, self.weighing


def compare(problem: str) -> dict[str, dict[str, float]]:
    """Medians of every method of one problem."""
    here = Ranks(0, 1, torch.device("cpu"))
    grid = np.zeros(2), np.zeros(2), np.zeros((2, 2))
    methods = []
    for name, settings in load_comparison(PROFILE, problem).methods.items():
        eager = replace(
            settings,
            points=min(settings.points, POINTS),
            optimiser=replace(settings.optimiser, compile=False),
        )
        made = Helmholtz(eager, here) if problem == "helmholtz" else AllenCahn(eager, here, grid)
        methods.append(Method(made, name))
    for method in methods:
        method.step()
    rounds = [[method.step() for method in methods] for _ in range(ROUNDS)]
    result = {}
    for number, method in enumerate(methods):
        seconds = [turns[number][0] for turns in rounds]
        ratios = [turns[number][0] / turns[0][0] for turns in rounds]
        shares = [turns[number][1] / turns[number][0] for turns in rounds]
        result[method.name] = {
            "milliseconds_per_iteration": 1e3 * statistics.median(seconds),
            "relative_to_vanilla": statistics.median(ratios),
            "lowest_ratio": min(ratios),
            "highest_ratio": max(ratios),
            "share_of_weighting": statistics.median(shares),
        }
    return result


def main() -> None:
    """Both problems."""
    torch.set_num_threads(1)
    result = {problem: compare(problem) for problem in ("allen_cahn", "helmholtz")}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for problem, methods in result.items():
        print(problem)
        for name, row in methods.items():
            print(
                f"  {name:28} {row['milliseconds_per_iteration']:8.1f} ms "
                f"{row['relative_to_vanilla']:6.2f} ({row['lowest_ratio']:.2f} to "
                f"{row['highest_ratio']:.2f}), weighting {100 * row['share_of_weighting']:.2f} %"
            )


if __name__ == "__main__":
    main()
