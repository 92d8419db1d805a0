"""The check of an experiment: what it says, and whether its estimates are right."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from aiv_rba.check.costs import (
    MIB,
    checkpoint_size,
    costs,
    parameters,
    size,
    training_memory,
)
from aiv_rba.cli import main
from aiv_rba.files.case import read_case
from aiv_rba.files.results import Results
from aiv_rba.machine import free_disk, memory
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.ranks.plan import collocation_memory, collocation_points, points_file_size
from aiv_rba.settings import (
    AdamSettings,
    FlowNetworkSettings,
    GaussNewtonSettings,
    LBFGSSettings,
    OptimiserSettings,
    PointsSettings,
    SSBroydenSettings,
    TrainSettings,
    load_stage,
)
from aiv_rba.training.loop import Run
from tests.exact import case_of, poiseuille, write_trained
from tests.synthetic import write_tube_experiment
from tests.training_case import write_training_case

REPOSITORY = Path(__file__).parents[2]


def test_a_good_experiment_says_what_will_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tube_experiment(Path())
    before = sorted(tmp_path.rglob("*"))
    assert main(["check", "experiment.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "results: results/tube"
    assert lines[1] == "points: 576 in the lumen, 288 on the wall"
    # 4 x 8 + 8 + 8 x 8 + 8 weights and biases, and 9 for each of the 4 (1 + 2 h) outputs.
    assert lines[2].startswith("network: 148 to 724 parameters, by the functions of time")
    assert lines[3].startswith("memory: ")
    assert lines[4].startswith("disk: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_parameters_are_those_of_the_network() -> None:
    case = case_of(poiseuille)
    settings = resolve(TrainSettings(), case)
    network = FlowNetwork(settings.network, torch.zeros(4), torch.ones(4), case.wall_function)
    expected = sum(p.numel() for p in network.parameters())
    assert parameters(TrainSettings(), case.harmonics, "periodic") == expected
    assert costs(PointsSettings(), settings, "periodic", 1).parameters == (expected, expected)


# A process starts with the peak of the one that makes it, so a small one lies between.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(*command: str) -> int:
    """Most memory of a command, bytes."""
    python = sys.executable
    measured = subprocess.run(
        [python, "-c", PEAK, python, "-m", "aiv_rba.cli", *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return 1024 * int(measured.stdout)


@pytest.mark.parametrize("per_group", [10, 1000])
def test_points_take_the_memory_and_the_disk_that_was_estimated(
    tmp_path: Path, per_group: int
) -> None:
    write_trained(tmp_path)
    results = Results(tmp_path)
    results.settings("points").parent.mkdir()
    results.settings("points").write_text(f"points: {{per_group: {per_group}}}")
    settings = load_stage(results.settings("points"), "points")
    found = peak("points", str(tmp_path))
    estimate = collocation_memory(settings)
    assert 0.7 * estimate < found < 1.05 * estimate
    disk = results.points.stat().st_size
    assert disk == pytest.approx(points_file_size(settings), rel=0.05, abs=20_000)


# Measured with /usr/bin/time on the bundled experiment: parameters with its three harmonics.
MEASURED = {
    "small": ({"uncertainty": {"method": "none"}}, {}, 1213e6),
    "with the curvature": ({}, {}, 1509e6),
    "medium network": ({"uncertainty": {"method": "none"}, "network": {"width": 64}}, {}, 4374e6),
    "medium points": ({"uncertainty": {"method": "none"}}, {"per_group": 4000}, 1535e6),
}


@pytest.mark.parametrize("name", MEASURED)
def test_training_takes_the_memory_that_was_estimated(tmp_path: Path, name: str) -> None:
    train, points, measured = MEASURED[name]
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({"train": train, "points": points}))
    settings = load_stage(path, "train")
    estimate = training_memory(
        settings, load_stage(path, "points"), parameters(settings, 3, "periodic"), 1
    )
    assert estimate == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(
    "optimiser",
    [
        AdamSettings(iterations=5, compile=False),
        LBFGSSettings(iterations=5, pairs=3, compile=False),
        SSBroydenSettings(iterations=5, compile=False),
        GaussNewtonSettings(iterations=5),
    ],
    ids=["adam", "lbfgs", "ssbroyden", "gauss_newton"],
)
def test_a_checkpoint_takes_the_disk_that_was_estimated(
    tmp_path: Path, optimiser: OptimiserSettings
) -> None:
    write_training_case(tmp_path)
    network = FlowNetworkSettings(width=30, layers=2, time_harmonics=1)
    settings = TrainSettings(network=network, optimiser=optimiser, checkpoint_every=4)
    ranks = Ranks(0, 1, torch.device("cpu"))
    problem = Velocimetry(settings, read_case(tmp_path / "case.h5"), tmp_path / "points.h5", ranks)
    Run(problem.settings, problem, ranks).train(tmp_path / "checkpoints")
    size_found = (tmp_path / "checkpoints" / "step_00000004.pt").stat().st_size
    estimate = checkpoint_size(settings, parameters(settings, 1, "periodic"))
    # The rest of the file, with its history, is small.
    assert estimate < size_found < 1.25 * estimate + 20_000


def test_ranks_share_points_and_rows() -> None:
    points = PointsSettings(per_group=100_000)
    one, two = (training_memory(TrainSettings(), points, 3000, ranks) for ranks in (1, 2))
    assert one / 2 < two < 0.6 * one
    soft = replace(TrainSettings(), precision="single")
    assert training_memory(soft, points, 3000, 1) > one
    streamed = replace(TrainSettings(), points="stream")
    of_points = 34 * sum(collocation_points(points))
    saved = one - training_memory(streamed, points, 3000, 1)
    assert saved == pytest.approx(of_points * (1 - 2 / 100_000))


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    machine = memory(tmp_path)
    assert machine == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory(tmp_path) == machine
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory(tmp_path) == MIB


def test_free_disk_is_that_of_the_folder_that_is_there(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "not" / "yet") == pytest.approx(free_disk(tmp_path), rel=0.1)


def test_sizes_have_units() -> None:
    sizes = np.array([1, 1500, 3e6]) * MIB
    assert [size(x) for x in sizes] == ["1 MiB", "1.5 GiB", "2.9 TiB"]


@pytest.mark.skipif(not (REPOSITORY / "Snakefile").is_file(), reason="needs the workflow")
def test_the_workflow_says_the_same_in_as_many_lines(tmp_path: Path) -> None:
    bundled = yaml.safe_load((REPOSITORY / "workflow/config/perivascular.yaml").read_text())
    bundled["ingest"]["peroid"] = 0.3
    bundled["train"] = {"sead": 1}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(bundled))
    command = ["snakemake", "--cores", "1", "--nolock", "--configfile", str(path)]
    found = subprocess.run(
        [sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert found.returncode != 0
    assert found.stderr.splitlines() == [
        "aiv-rba: error: experiment: ingest.peroid: unknown key, did you mean period?",
        "aiv-rba: error: experiment: train.sead: unknown key, did you mean seed?",
    ]
