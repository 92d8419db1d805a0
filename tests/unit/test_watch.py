"""Numbers that are not finite and requests to stop: told the same way on all ranks, and in time."""

from typing import ClassVar

import pytest
import torch

from aiv_rba.errors import NotFinite
from aiv_rba.problem import Residuals
from aiv_rba.problems.fixed_points import FixedPoints
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.training import watch
from aiv_rba.training.watch import Watch
from tests.threads import on_ranks


class Line(Residuals):
    """Two blocks, of which the second has two terms."""

    terms: ClassVar = {"wall": ("wall",), "flow": ("mass", "momentum")}
    governing = "flow"


POINTS = {"wall": torch.rand(4, 2), "flow": torch.arange(12.0).view(6, 2)}
SIZES = {"wall": (2, 1), "flow": (3, 2)}


def watched(ranks):
    problem = FixedPoints(Line(torch.nn.Identity()), POINTS, ranks=ranks)
    return problem, Watch(Line.terms, problem.batch, ranks)


def residuals(**changes):
    found = {block: torch.ones(size) for block, size in SIZES.items()}
    for block, (row, term, value) in changes.items():
        found[block][row, term] = value
    return found


def test_the_first_failure_is_told_by_all_ranks_though_they_look_later():
    def work(ranks):
        problem, look_out = watched(ranks)
        look_out.step(problem.batch(0), residuals(), look=True)
        look_out.pause = 50
        # The last rank fails at step 4, and takes the other one with it.
        fails = {3: {1: {"flow": (2, 1, torch.inf)}, 0: {}}, 4: {1: {"wall": (0, 0, torch.nan)}}}
        fails[4][0] = {"flow": (0, 0, torch.nan)}
        for step in range(1, 8):
            failed = fails.get(step, {}).get(ranks.rank, {})
            look_out.step(problem.batch(step), residuals(**failed), look=False)
        with pytest.raises(NotFinite) as failure:
            look_out.look()
        return failure.value.step, str(failure.value)

    (step, first), second = on_ranks(2, work)
    assert second == (step, first)
    assert step == 4
    assert first.startswith(
        "step 4: residual momentum is inf in rank 1's row 2 of flow, at (10, 11), nondimensional"
    )


def test_one_rank_is_asked_and_all_stop_within_the_pause():
    def work(ranks):
        problem, look_out = watched(ranks)
        look_out.step(problem.batch(0), residuals(), look=True)
        look_out.pause = 3
        if ranks.rank == 2:
            look_out.ask()
        stops = []
        for step in range(1, 6):
            look_out.step(problem.batch(step), residuals(), look=False)
            stops.append(look_out.stop)
        return stops

    assert on_ranks(3, work) == 3 * [[False, False, False, True, True]]


def test_the_time_of_a_step_is_that_of_the_device(monkeypatch):
    """Which is done with its steps only when its numbers are there; the host launches them."""
    now = 0.0
    read = torch.Tensor.tolist

    def wait(tensor):
        nonlocal now
        now = 0.6
        return read(tensor)

    monkeypatch.setattr(watch.time, "perf_counter", lambda: now)
    monkeypatch.setattr(torch.Tensor, "tolist", wait)
    problem, look_out = watched(Ranks(0, 1, torch.device("cpu")))
    look_out.pause = 50
    for step in range(6):
        now += 1e-4
        look_out.step(problem.batch(step), residuals(), look=step == 5)
    # Of a tenth of a second each, two fit into a fifth of a second.
    assert look_out.pause == 2


def test_looks_are_a_fifth_of_a_second_apart(monkeypatch):
    """Where a step takes longer than that, every step looks."""
    now = 0.0
    monkeypatch.setattr(watch.time, "perf_counter", lambda: now)
    problem, look_out = watched(Ranks(0, 1, torch.device("cpu")))
    looks = []
    monkeypatch.setattr(look_out, "look", lambda: (looks.append(step), Watch.look(look_out)))
    for step in range(40):
        now += 0.045 if step < 20 else 0.5
        look_out.step(problem.batch(step), residuals(), look=step == 7)
    assert looks[:5] == [0, 5, 7, 12, 17]
    assert looks[-15:] == list(range(25, 40))
