"""Which settings may change without the checkpoints of a training being left behind."""

import pandas as pd
import pytest
import torch

from aiv_rba.cli import main
from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, FlowNetworkSettings, LBFGSSettings, TrainSettings
from aiv_rba.training.loop import Run
from tests.training_case import PLAIN, arguments, write_tiny_training, write_training_case

ONE = Ranks(0, 1, torch.device("cpu"))
BEFORE = {"history_every": 4, "checkpoint_every": 4}


def train(folder, **settings):
    """Train; the steps in the history, the network, and the steps of all checkpoints."""
    write_tiny_training(folder, iterations=12, **settings)
    assert main(arguments(folder)) == 0
    steps = [int(step) for step in pd.read_csv(folder / "run" / "history.csv").step]
    state = torch.load(folder / "run" / "model.pt", weights_only=True)["state"]
    return steps, state


def forget_after(folder, step):
    """Take the run back to an earlier checkpoint."""
    for path in folder.glob("run/checkpoints/*/step_*.pt"):
        if int(path.stem[5:]) > step:
            path.unlink()


@pytest.mark.parametrize(
    "changed",
    [
        {"history_every": 3},
        {"checkpoint_every": 5},
        {"minutes": 10, "settled": 0.01},
        {"restarts": 2, "uncertainty": {"method": "none"}},
    ],
    ids=lambda changed: " ".join(changed),
)
def test_what_changes_no_step_leaves_the_checkpoints(tmp_path, caplog, changed):
    steps, whole = train(tmp_path, **BEFORE)
    assert steps == [4, 8, 12]
    forget_after(tmp_path, 8)
    steps, resumed = train(tmp_path, **BEFORE | changed)
    assert any("resuming at step 8" in message for message in caplog.messages)
    assert steps == ([4, 8, 9, 12] if "history_every" in changed else [4, 8, 12])
    for name, values in whole.items():
        assert torch.equal(resumed[name], values)


@pytest.mark.parametrize("settled", [None, 1e9], ids=["last step", "settled"])
def test_what_follows_a_training_takes_no_step_of_it(tmp_path, monkeypatch, settled):
    """A run that has ended, of which the standard deviations are asked for in another way."""
    monkeypatch.setattr(
        "aiv_rba.training.loop.has_settled", lambda rows, *_: settled and len(rows) > 1
    )
    before = BEFORE | {"settled": settled}
    steps, whole = train(tmp_path, **before, uncertainty={"method": "none"})
    taken = []
    monkeypatch.setattr(Run, "weigh", lambda run, batch, e: taken.append(batch.step))
    again, same = train(tmp_path, **before, uncertainty={"method": "curvature", "samples": 8})
    assert not taken
    assert again == steps == ([4, 8, 12] if settled is None else [4, 8])
    assert all(torch.equal(same[name], values) for name, values in whole.items())


def test_amplitudes_are_fitted_or_not_to_the_same_training(tmp_path, caplog):
    _, fitted = train(tmp_path, **BEFORE)
    _, plain = train(tmp_path, **BEFORE | {"fit_amplitudes": False})
    assert any("resuming at step 12" in message for message in caplog.messages)
    moved = {name for name, values in fitted.items() if not torch.equal(plain[name], values)}
    assert moved == {"body.mlp.out.weight", "body.mlp.out.bias"}


@pytest.mark.parametrize("changed", [{"seed": 1}, {"multipliers": {"name": "none"}}])
def test_what_changes_a_step_starts_anew(tmp_path, caplog, changed):
    train(tmp_path, **BEFORE)
    train(tmp_path, **BEFORE | changed)
    assert not any("resuming" in message for message in caplog.messages)


def test_optimisers_that_search_along_lines_keep_the_batch_of_their_first_step(tmp_path):
    write_training_case(tmp_path)
    settings = TrainSettings(
        network=FlowNetworkSettings(width=6, layers=2, **PLAIN),
        optimiser=AdamSettings(iterations=3, compile=False),
        second_optimiser=LBFGSSettings(iterations=4, compile=False),
        checkpoint_every=5,
    )

    def seen():
        """Collocation points of the first evaluation of every step."""
        case = read_case(tmp_path / "case.h5")
        problem = Velocimetry(settings, case, tmp_path / "points.h5", ONE)
        run, points = Run(problem.settings, problem, ONE), []
        factors = problem.factors

        def note(batch, e):
            points.append((batch.step, batch.inputs["navier_stokes"][0]))
            return factors(batch, e)

        problem.factors = note
        run.train(tmp_path / "checkpoints")
        return points

    (_, first), (_, second), (_, third), (number, kept), *later = seen()
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert not torch.equal(third, kept)
    assert [number, *(step for step, _ in later)] == [3, 4, 5, 6]
    assert all(torch.equal(points, kept) for _, points in later)
    # Also after a restart in between.
    (tmp_path / "checkpoints" / "step_00000007.pt").unlink()
    resumed = seen()
    assert [step for step, _ in resumed] == [5, 6]
    assert all(torch.equal(points, kept) for _, points in resumed)
