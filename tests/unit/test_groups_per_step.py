"""Eq. 12 where a step takes a rotating part of the groups: a multiplier belongs to its group."""

import h5py
import numpy as np
import pytest
import torch

from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import FlowNetworkSettings, LoopSettings, RBASettings, TrainSettings
from aiv_rba.training.loop import Run
from tests.training_case import PLAIN, write_training_case

ONE = Ranks(0, 1, torch.device("cpu"))
GROUPS, PARTS = 23, 4
GAMMA, ETA = 0.8, 0.1


@pytest.fixture
def problem(tmp_path):
    write_training_case(tmp_path, groups=GROUPS)
    settings = TrainSettings(
        network=FlowNetworkSettings(width=6, layers=2, **PLAIN),
        multipliers=RBASettings(gamma=GAMMA, eta=ETA, offset=0.0),
        # 23 groups by 6 are four parts, of which the last is one short.
        groups_per_step=6,
    )
    case = read_case(tmp_path / "case.h5")
    return tmp_path, Velocimetry(settings, case, tmp_path / "points.h5", ONE)


def test_every_group_takes_its_turn_with_one_point_of_its_own(problem):
    folder, velocimetry = problem
    with h5py.File(folder / "points.h5") as file:
        points = file["interior/points"][:]
    seen = []
    for step in range(PARTS):
        batch = velocimetry.batch(step)
        rows = batch.rows["navier_stokes"].numpy()
        np.testing.assert_array_equal(rows % PARTS, step)
        assert batch.counts["navier_stokes"] == len(rows)
        for row, point in zip(rows, batch.inputs["navier_stokes"][0].numpy(), strict=True):
            assert np.abs(points[:, row] - point).sum(axis=1).min() == 0
        seen += list(rows)
    assert sorted(seen) == list(range(GROUPS))


def test_multipliers_are_those_of_equation_12_over_the_visits_of_each_group(problem):
    _, velocimetry = problem
    loop = LoopSettings(multipliers=velocimetry.settings.multipliers)
    run = Run(loop, velocimetry, ONE)
    expected = np.zeros((GROUPS, 4))
    for step in range(3 * PARTS):
        batch = velocimetry.batch(step)
        e = velocimetry.residuals(batch.inputs)
        run.scheme.update(batch, e)
        size = np.abs(e["navier_stokes"].detach().numpy())
        # The maximum is taken over the groups of the step.
        for group, own in zip(batch.rows["navier_stokes"].tolist(), size, strict=True):
            expected[group] = GAMMA * expected[group] + ETA * own / size.max(axis=0)
        found = run.scheme.multipliers["navier_stokes"].numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert expected.min() > 0
