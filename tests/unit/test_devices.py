"""Ranks and devices, with a counted number of GPUs that are not there."""

from typing import ClassVar

import pytest
import torch

from aiv_rba import api, machine
from aiv_rba.cli import main
from aiv_rba.errors import UserError
from aiv_rba.problem import Residuals
from aiv_rba.problems.fixed_points import FixedPoints
from aiv_rba.ranks.ddp import Ranks, process_group
from aiv_rba.ranks.devices import Place, check_places, count_ranks, find_device, ranks_to_start
from aiv_rba.settings import AdamSettings, LoopSettings
from tests.training_case import arguments, write_tiny_training

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("wanted", "device", "gpus", "slots", "ranks"),
    [
        ("auto", "auto", 0, 2, 2),
        # `make run` on two cores and one GPU.
        ("auto", "auto", 1, 2, 1),
        ("auto", "auto", 8, 2, 8),
        ("auto", "cpu", 8, 2, 2),
        ("auto", "cuda", 4, 2, 4),
        (3, "auto", 0, 2, 3),
        (3, "auto", 4, 2, 3),
        (3, "cpu", 1, 2, 3),
    ],
)
def test_ranks_follow_the_devices(wanted, device, gpus, slots, ranks):
    assert count_ranks(wanted, device, gpus, slots) == ranks


def test_more_ranks_than_gpus_are_refused():
    with pytest.raises(UserError, match=r"--ranks 2: found 1 visible GPU\(s\), expected one for"):
        count_ranks(2, "auto", 1, 2)


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "3"}, 2),
        ({"OMP_NUM_THREADS": "16"}, 1),
        # One of several ranks of a launcher starts no others.
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}, 1),
        # A job of one task, in which Slurm runs the workflow's rule.
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"}, 8),
    ],
)
def test_ranks_share_the_cores_where_no_launcher_has_started_them(environment, ranks):
    assert ranks_to_start("auto", "cpu", 8, environment) == ranks


def test_ranks_beside_those_of_a_launcher_are_refused():
    environment = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    with pytest.raises(UserError, match="--ranks 2: found 4 ranks of a launcher, expected auto"):
        ranks_to_start(2, "auto", 8, environment)


@pytest.mark.parametrize(
    ("device", "gpus", "local", "found"),
    [
        ("auto", 0, 3, "cpu"),
        ("auto", 4, 3, "cuda:3"),
        # A launcher that shows every rank a GPU of its own.
        ("auto", 1, 3, "cuda:0"),
        ("cuda", 1, 0, "cuda:0"),
        ("cpu", 4, 3, "cpu"),
    ],
)
def test_a_rank_takes_its_own_device(device, gpus, local, found):
    assert find_device(device, gpus, local) == torch.device(found)


def test_a_rank_that_cannot_know_its_gpu_says_so():
    with pytest.raises(UserError, match="local rank 3 sees 2 GPUs, expected one for each rank"):
        find_device("auto", 2, 3)


@pytest.mark.parametrize(
    "find", [lambda: find_device("cuda", 0, 0), lambda: count_ranks(1, "cuda", 0, 1)]
)
def test_a_gpu_that_is_not_there_is_missed(find):
    with pytest.raises(UserError, match="device: found cuda, but no GPU is visible"):
        find()


def test_ranks_on_gpus_of_their_own_or_on_cores_agree():
    check_places([Place("a", "gpu 0"), Place("a", "gpu 1"), Place("b", "gpu 0")])
    check_places([Place("a"), Place("a"), Place("b")])


@pytest.mark.parametrize(
    ("places", "complaint"),
    [
        (
            [Place("a", "0"), Place("b", "0"), Place("a", "0")],
            "ranks 0 and 2 have the same GPU of a",
        ),
        ([Place("a", "0"), Place("b")], "rank 1 on b has no GPU and rank 0 on a has a GPU"),
        ([Place("a"), Place("b", "0")], "rank 1 on b has a GPU and rank 0 on a has no GPU"),
        ([Place("a", "0"), Place("b", mistake="too many")], "rank 1 on b: too many"),
    ],
)
def test_ranks_that_do_not_fit_together_are_named(places, complaint):
    with pytest.raises(UserError, match=complaint):
        check_places(places)


def test_the_setting_and_the_option_choose_the_device(tmp_path, monkeypatch, capsys):
    """No GPU is visible; the option goes before the setting."""
    monkeypatch.setattr(machine, "cores", lambda: 1)
    folder = write_tiny_training(tmp_path, iterations=1, device="cuda")
    for ranks in ("1", "auto"):
        assert main([*arguments(folder), "--ranks", ranks]) == 2
        assert "device: found cuda, but no GPU is visible" in capsys.readouterr().err
    assert main([*arguments(folder), "--ranks", "auto", "--device", "cpu"]) == 0
    assert "1 steps on 1 rank(s) (cpu)" in capsys.readouterr().out


def test_one_rank_takes_the_first_visible_gpu(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with process_group(environment={}) as ranks:
        assert ranks.device == torch.device("cuda", 0)
    assert chosen == [torch.device("cuda", 0)]
    with process_group("cpu", environment={}) as ranks:
        assert ranks.device == CPU


def test_another_device_and_longer_waits_resume_the_same_training(tmp_path, capsys):
    folder = write_tiny_training(tmp_path, iterations=3, checkpoint_every=2)
    assert main(arguments(folder)) == 0
    waits = {"join_minutes": 1, "compile_minutes": 1, "step_minutes": 1}
    write_tiny_training(tmp_path, iterations=3, checkpoint_every=2, device="cpu", timeouts=waits)
    assert main(arguments(folder)) == 0
    assert "resuming at step 3" in capsys.readouterr().out


def test_cores_are_those_of_the_process_and_its_control_group(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)))
    assert machine.cores(tmp_path) == 6
    for text, cores in (("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1)):
        (tmp_path / "cpu.max").write_text(text)
        assert machine.cores(tmp_path) == cores


class Line(Residuals):
    """a x + b, which shall vanish."""

    terms: ClassVar = {"data": ("data",)}
    governing = "data"

    def data(self, x):
        return self.network(x)


def test_a_problem_of_ones_own_is_trained_where_it_is():
    """Its ranks know the device."""
    ranks = Ranks(0, 1, CPU)
    problem = FixedPoints(Line(torch.nn.Linear(1, 1)), {"data": torch.ones(3, 1)}, ranks=ranks)
    settings = LoopSettings(optimiser=AdamSettings(iterations=1, compile=False))
    assert api.fit(problem, settings).ranks is ranks
