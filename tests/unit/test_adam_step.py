"""A step of Adam on many ranks: what it waits for, and that it may be taken in parts."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from aiv_rba import machine
from aiv_rba.files.case import read_case
from aiv_rba.optimisers import compilation, memory
from aiv_rba.problem import Batch, Residuals
from aiv_rba.problems.velocimetry.problem import SMALL_STEPS, Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, FlowNetworkSettings, TrainSettings
from aiv_rba.training.loop import Run
from tests.synchronisations import synchronisations
from tests.threads import on_ranks
from tests.training_case import PLAIN, write_training_case

CPU = torch.device("cpu")
# 23 groups in four parts of six, of which the last has five; shares of 8, 8 and 7 groups.
SETTINGS = TrainSettings(
    network=FlowNetworkSettings(width=6, layers=2, **PLAIN),
    optimiser=AdamSettings(learning_rate=1e-2, compile=False),
    groups_per_step=6,
    history_every=10_000,
    checkpoint_every=10_000,
)


@pytest.fixture
def files(tmp_path):
    write_training_case(tmp_path)
    return read_case(tmp_path / "case.h5"), tmp_path / "points.h5"


def problem_of(files, ranks, **optimiser):
    settings = replace(SETTINGS, optimiser=replace(SETTINGS.optimiser, **optimiser))
    return Velocimetry(settings, *files, ranks)


def steps(files, ranks, first, last, rows_at_once="all"):
    """Trainings of the ranks, and what the given steps of each wait for and meet for."""
    start = problem_of(files, Ranks(0, 1, CPU)).network.state_dict()

    def train(own):
        problem = problem_of(files, own, rows_at_once=rows_at_once)
        # Threads draw their networks from one generator.
        problem.network.load_state_dict(start)
        run = Run(problem.settings, problem, own)
        take(run, 0, first)
        # As if the steps took no time.
        run.watch.pause = 50
        own.met.clear()
        with synchronisations() as waits:
            rows = take(run, first, last)
        return run, rows, waits, own.met

    return on_ranks(ranks, train)


def take(run, first, last):
    rows = {}
    for step in range(first, last):
        rows = run.optimiser.step(run.problem.batch(step), run.weigh)
    return rows


@pytest.mark.parametrize("rows_at_once", ["all", 20])
def test_an_ordinary_step_waits_for_nothing_and_meets_twice(files, rows_at_once):
    """For the largest residuals, and for the gradient."""
    # Within an epoch, whose order is drawn on the host.
    for _, _, waits, met in steps(files, 3, 4, 4 + 3, rows_at_once):
        assert waits == []
        assert met == 3 * ["max", "sum"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rows_at_once", ["all", 20])
def test_an_ordinary_step_on_a_gpu_waits_for_nothing(files, rows_at_once):
    problem = problem_of(files, Ranks(0, 1, torch.device("cuda")), rows_at_once=rows_at_once)
    run = Run(problem.settings, problem, problem.ranks)
    take(run, 0, 4)
    run.watch.pause = 50
    torch.cuda.set_sync_debug_mode("error")
    try:
        # The last one fits the mismatches.
        take(run, 4, SMALL_STEPS + 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


# Six digits for the quantiles of all rows and six for those of the faster half, mean, standard
# deviation, and five steps of expectation maximisation.
@pytest.mark.parametrize(("ranks", "sums"), [(1, 0), (2, 19)])
def test_a_fit_of_the_mismatches_waits_for_nothing(files, ranks, sums):
    for _, _, waits, met in steps(files, ranks, SMALL_STEPS, SMALL_STEPS + 1):
        assert waits == []
        assert met == ["max", *sums * ["sum"], "sum"]


def test_ranks_and_parts_make_no_difference(files):
    whole, rows, _, _ = steps(files, 1, 0, 14)[0]
    # Rows of a step: 11 wall, 40 tracks, 6 interior. The last makes more parts than some have rows.
    for ranks, rows_at_once in ((1, 20), (3, "all"), (3, 10), (2, 3)):
        found = steps(files, ranks, 0, 14, rows_at_once)
        parts = {run.optimiser.parts for run, *_ in found}
        assert len(parts) == 1
        assert (parts == {1}) is (rows_at_once == "all")
        for run, *_ in found:
            for name, values in whole.problem.network.state_dict().items():
                own = run.problem.network.state_dict()[name]
                torch.testing.assert_close(own, values, rtol=1e-10, atol=1e-12)
        for block, values in whole.scheme.state.items():
            joined = torch.cat([run.scheme.state[block] for run, *_ in found])
            torch.testing.assert_close(joined, values, rtol=1e-10, atol=1e-12)
        joined = torch.cat([own["tracks"] for _, own, *_ in found])
        torch.testing.assert_close(joined, rows["tracks"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("cached", "rows"),
    [
        (2**18, {"no_slip": 4, "tracks": 13, "navier_stokes": 2}),
        # 19 rows of at most 9 numbers in three pieces.
        (57, {"no_slip": 2, "tracks": 5, "navier_stokes": 1}),
    ],
)
def test_one_graph_serves_all_steps_of_all_ranks(files, monkeypatch, cached, rows):
    """Though parts and shares differ by a row; the rows that fill them up are not seen."""
    monkeypatch.setattr(compilation, "CACHED", cached)
    shapes = set()

    class Graph(torch.nn.Module):
        def __init__(self, module, **options):
            assert options["dynamic"] is False
            super().__init__()
            self.module = module

        def forward(self, inputs):
            shapes.add(tuple((block, len(rows[0])) for block, rows in inputs.items()))
            return self.module(inputs)

    monkeypatch.setattr(compilation.torch, "compile", Graph)
    for problem in on_ranks(3, lambda own: problem_of(files, own, compile=True)):
        run = Run(problem.settings, problem, problem.ranks)
        for step in range(problem.batches.parts):
            inputs = problem.batch(step).inputs
            padded, plain = run.optimiser.forward(inputs), problem.residuals(inputs)
            for block, e in plain.items():
                torch.testing.assert_close(padded[block], e, rtol=1e-13, atol=1e-13)
            own, expected = gradients(problem, padded), gradients(problem, plain)
            for found, gradient in zip(own, expected, strict=True):
                torch.testing.assert_close(found, gradient, rtol=1e-12, atol=1e-12)
    assert shapes == {tuple(rows.items())}


def gradients(problem, residuals):
    """Of the sum of squares of all residuals."""
    loss = sum(e.square().sum() for e in residuals.values())
    return torch.autograd.grad(loss, list(problem.residuals.parameters()))


class Line(Residuals):
    """a x + b, squared."""

    terms: ClassVar = {"data": ("data",)}
    governing = "data"

    def data(self, x):
        return self.network(x).square()


def batch_of(rows):
    points = torch.ones(rows, 3, dtype=torch.float64)
    return Batch(0, {"data": (points,)}, {"data": torch.arange(rows)}, {"data": rows})


def test_a_step_is_cut_until_it_fits(monkeypatch):
    line = Line(torch.nn.Linear(3, 5).double())
    # The backward pass needs five outputs of each row; its inputs are there anyway.
    assert memory.bytes_kept(line, batch_of(1000)) == 1000 * 8 * 5
    one = Ranks(0, 1, CPU)
    assert memory.parts_that_fit(line, batch_of(1000), one) == 1
    monkeypatch.setattr(machine, "memory", lambda: 60_000)
    assert memory.parts_that_fit(line, batch_of(1000), one) == 3


def test_the_rank_that_needs_most_cuts_the_step_for_all(monkeypatch):
    # 10 x 8 x 5 bytes twice, in half of the 200 bytes of each rank.
    monkeypatch.setattr(machine, "memory", lambda: 400)
    line = Line(torch.nn.Linear(3, 5).double())
    rows = (1, 10)
    fits = on_ranks(2, lambda r: memory.parts_that_fit(line, batch_of(rows[r.rank]), r))
    assert fits == [8, 8]


def test_ranks_know_where_their_rows_are_among_those_of_all(files):
    alone = problem_of(files, Ranks(0, 1, CPU))
    ranks = on_ranks(3, lambda own: problem_of(files, own))
    for step in range(alone.batches.parts):
        batches = [problem.batch(step) for problem in ranks]
        for block, (points, *_) in alone.batch(step).inputs.items():
            assert sum(len(batch.inputs[block][0]) for batch in batches) == len(points)
            for batch in batches:
                own, first = batch.inputs[block][0], batch.firsts[block]
                assert torch.equal(points[first : first + len(own)], own)
