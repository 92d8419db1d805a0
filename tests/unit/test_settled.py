"""When training ends before its last step, and how its tolerances are raised."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from aiv_rba.files.case import read_case
from aiv_rba.problem import Residuals
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import (
    AdamSettings,
    FlowNetworkSettings,
    GaussNewtonSettings,
    GlobalWeights,
    LBFGSSettings,
    TrainSettings,
)
from aiv_rba.training.loop import Run
from aiv_rba.training.settled import has_settled
from tests.training_case import PLAIN, write_training_case

ALONE = Ranks(0, 1, torch.device("cpu"))


class Equation(Residuals):
    """One equation."""

    terms: ClassVar = {"equation": ("mass",)}
    governing = "equation"


def history(steps, *, mass, validation, softening=1.0):
    """Rows every five steps, of a loss of two and the mass loss and held-out error of a step."""
    return [
        {
            "step": s,
            "loss": 2.0,
            "mass": mass(s),
            "validation_v": validation(s),
            "softening": softening,
        }
        for s in range(5, steps + 1, 5)
    ]


def settled(rows, **settings):
    return has_settled(rows, Equation(torch.nn.Identity()), TrainSettings(**settings))


def test_settled_when_neither_equations_nor_held_out_error_improve():
    assert settled(history(60, mass=lambda s: 0.1, validation=lambda s: 0.2))
    # A loss that only falls far below the others.
    assert settled(history(60, mass=lambda s: 0.3 / s, validation=lambda s: 0.2))
    # Overfitting is no reason to go on.
    assert settled(history(60, mass=lambda s: 0.1, validation=lambda s: 0.2 + s / 1000))


@pytest.mark.parametrize("every", [1, 10, 15])
def test_settled_where_rows_were_written_at_other_intervals_before(every):
    """The same steps are compared, of a held-out error that falls no more after step 100."""

    def held_out(step):
        return 0.2 + max(100 - step, 0) / 1000

    rows = history(80, mass=lambda s: 0.1, validation=held_out)
    for step in range(81, 200):
        if step % every == 0:
            rows += [rows[-1] | {"step": step, "validation_v": held_out(step)}]
        if settled(rows, history_every=every):
            break
    # At the first row of which the 20 steps before the last 20 hold none, or too few, of the fall.
    assert 110 <= rows[-1]["step"] <= 160


def test_not_settled_before_training_has_recovered_from_a_step_that_went_wrong():
    rows = history(100, mass=lambda s: 0.1, validation=lambda s: 0.2)
    rows[11]["loss"] = 300.0
    ends = [rows[number]["step"] for number in range(20) if settled(rows[: number + 1])]
    assert ends == [40, 45, 50, 55, 80, 85, 90, 95, 100]


def test_not_settled_by_a_few_rows_of_many_steps():
    """Rows every 5 steps tell nothing of 40 steps after rows every 40."""
    rows = history(150, mass=lambda s: 0.1, validation=lambda s: 0.2)
    sparse = [row for row in rows if row["step"] % 40 == 0 or row["step"] > 130]
    assert settled(rows)
    assert not settled(sparse)


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        (history(35, mass=lambda s: 0.1, validation=lambda s: 0.2), {}),
        (history(60, mass=lambda s: 60 / s, validation=lambda s: 0.2), {}),
        (history(60, mass=lambda s: 0.1, validation=lambda s: 0.2 - s / 10_000), {}),
        (history(60, mass=lambda s: 0.1, validation=lambda s: 0.2), {"settled": None}),
        (
            history(55, mass=lambda s: 0.1, validation=lambda s: 0.2, softening=1.0)
            + history(5, mass=lambda s: 0.1, validation=lambda s: 0.2, softening=1.25),
            {},
        ),
    ],
    ids=["too few steps", "equations", "held-out error", "not asked for", "tolerances"],
)
def test_not_settled(rows, settings):
    assert not settled(rows, **settings)


def test_settled_fifty_steps_after_the_tolerances_have_changed():
    rows = history(120, mass=lambda s: 0.1, validation=lambda s: 0.2)
    for row in rows[:8]:
        row["softening"] = 4.0
    ends = [rows[number]["step"] for number in range(24) if settled(rows[: number + 1])]
    assert ends[ends.index(40) + 1] == 95


def test_only_gauss_newton_settles():
    rows = history(60, mass=lambda s: 0.1, validation=lambda s: 0.2)
    assert not settled(rows, optimiser=AdamSettings())
    assert not settled(rows, second_optimiser=LBFGSSettings())


def problem_in(folder: Path, optimiser=None, **weights) -> Velocimetry:
    write_training_case(folder)
    settings = TrainSettings(
        network=FlowNetworkSettings(width=6, layers=2, **PLAIN),
        global_weights=GlobalWeights(**weights),
        optimiser=optimiser or GaussNewtonSettings(),
        light_sheet="thin",
    )
    return Velocimetry(settings, read_case(folder / "case.h5"), folder / "points.h5", ALONE)


def slow(problem: Velocimetry, factor: float) -> None:
    """Let the network give `factor` times what was measured."""
    measured = problem.batches.measured

    def value(points):
        return torch.cat([factor * measured, torch.zeros(len(points), 2)], dim=1)

    problem.network.value = value


def test_tolerances_start_soft_and_follow_the_amplitude_bias(tmp_path):
    problem = problem_in(tmp_path)
    resolved = np.array(problem.resolved)
    np.testing.assert_allclose(problem.weights["navier_stokes"], resolved / 16)
    rows = []
    for step in range(5, 105, 5):
        slow(problem, 1 / 1.03 if step > 30 else 1.0)
        rows.append({"step": step} | problem.adapt(step, rows))
        np.testing.assert_allclose(
            problem.weights["navier_stokes"], resolved / rows[-1]["softening"] ** 2
        )
    assert rows[-1]["amplitude_bias"] == pytest.approx(0.03, abs=1e-6)
    path = [row["softening"] for row in rows]
    assert path[0] == 4
    assert min(path) == path[5] == pytest.approx(4 * 0.75**4)
    assert path[-1] == 4


def test_adam_softens_nothing(tmp_path):
    problem = problem_in(tmp_path, optimiser=AdamSettings())
    slow(problem, 1 / 1.03)
    assert problem.adapt(50, [])["softening"] == 1
    assert problem.weights["navier_stokes"] == problem.resolved


def test_weights_that_the_user_gave_stay(tmp_path):
    problem = problem_in(tmp_path, momentum=(1.0, 2.0, 3.0))
    mass = problem.resolved[3]
    assert problem.weights["navier_stokes"] == [1.0, 2.0, 3.0, pytest.approx(mass / 16)]

    problem = problem_in(tmp_path, momentum=(1.0, 2.0, 3.0), mass=4.0)
    slow(problem, 1 / 1.03)
    assert problem.adapt(50, [])["softening"] == 1
    assert problem.weights["navier_stokes"] == [1.0, 2.0, 3.0, 4.0]


def test_training_ends_at_its_limit_of_time(tmp_path):
    problem = problem_in(tmp_path)
    optimiser = GaussNewtonSettings(iterations=500, rows=(5, 9, 9))
    settings = replace(problem.settings, optimiser=optimiser, minutes=1e-4, settled=None)
    run = Run(settings, problem, ALONE)
    run.train(tmp_path / "checkpoints")
    assert run.ended == "time"
    assert run.history.rows[-1]["step"] < 500


def test_a_resumed_run_keeps_its_tolerances(tmp_path):
    optimiser = GaussNewtonSettings(iterations=4, rows=(5, 9, 9))

    def run_to(steps):
        problem = problem_in(tmp_path)
        longer = replace(optimiser, iterations=steps)
        settings = replace(problem.settings, optimiser=longer, checkpoint_every=2, settled=None)
        return problem, Run(settings, problem, ALONE)

    problem, run = run_to(3)
    run.history.rows = [{"step": 0, "amplitude_bias": 0.0, "softening": 2.0}]
    problem.weights["navier_stokes"] = softer = [w / 4 for w in problem.resolved]
    run.train(tmp_path / "checkpoints")
    problem, run = run_to(4)
    run.train(tmp_path / "checkpoints")
    assert run.history.rows[-1]["step"] == 4
    assert problem.weights["navier_stokes"] == softer
    assert run.history.rows[-1]["softening"] == pytest.approx(2)
