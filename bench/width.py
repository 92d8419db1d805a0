"""A step of Gauss-Newton against the number of parameters of the network, in both spaces.

In the space of the parameters, the default, a step forms J^T J of the drawn rows and adds it to a
memory. In sample space it forms J J^T of fewer rows, without one. Networks take turns; seconds are
processor time. Writes results/bench_width.json.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import GaussNewtonSettings
from aiv_rba.training.loop import Run
from bench.inputs import write_inputs
from bench.measure import in_turns, spread, write
from bench.turns import Inputs

WIDTHS = (24, 32, 48, 64)
# Points of tracks and of the lumen in a step in sample space: some 800 rows.
FEW_ROWS = (200, 100)
SPACES = {
    "parameters": GaussNewtonSettings(curvature_memory_from=0),
    "samples": GaussNewtonSettings(rows=FEW_ROWS, curvature_memory=None, momentum=0.9),
}


class Steps:
    """Steps of a training whose network has a given width."""

    def __init__(self, inputs: Inputs, width: int, optimiser: GaussNewtonSettings) -> None:
        settings = inputs.settings
        network = replace(settings.network, width=width)
        settings = replace(settings, network=network, optimiser=optimiser)
        ranks = Ranks(0, 1, torch.device("cpu"))
        self.problem = Velocimetry(settings, read_case(inputs.case), inputs.points, ranks)
        self.run = Run(self.problem.settings, self.problem, ranks)
        self.parameters = sum(p.numel() for p in self.problem.network.parameters())
        self.taken = 0

    def step(self) -> float:
        """Processor seconds of one step."""
        batch = self.problem.batch(self.taken)
        started = time.process_time()
        self.run.optimiser.step(batch, self.run.weigh)
        self.taken += 1
        return time.process_time() - started


def exponent(seconds: dict[int, float]) -> float:
    """Of the power of the number of parameters with which the time grows between the ends."""
    first, last = min(seconds), max(seconds)
    return math.log(seconds[last] / seconds[first]) / math.log(last / first)


def run(rounds: int = 3) -> None:
    """Let all networks take their steps in turns."""
    torch.set_num_threads(1)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs, _ = write_inputs(Path(folder))
        for space, optimiser in SPACES.items():
            trainings = {width: Steps(inputs, width, optimiser) for width in WIDTHS}
            turns: dict[str, Callable[[], float]] = {
                str(width): training.step for width, training in trainings.items()
            }
            found = in_turns(turns, rounds)
            steps = {trainings[width].parameters: spread(found[str(width)]) for width in WIDTHS}
            medians = {parameters: each["median"] for parameters, each in steps.items()}
            result[space] = {"steps": steps, "exponent": exponent(medians)}
    write("bench_width", result)
