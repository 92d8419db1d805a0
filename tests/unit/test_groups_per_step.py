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


def problem_in(folder, **multipliers):
    write_training_case(folder, groups=GROUPS)
    settings = TrainSettings(
        network=FlowNetworkSettings(width=6, layers=2, **PLAIN),
        multipliers=RBASettings(gamma=GAMMA, eta=ETA, offset=0.0, **multipliers),
        # 23 groups by 6 are four parts, of which the last is one short.
        groups_per_step=6,
    )
    case = read_case(folder / "case.h5")
    return Velocimetry(settings, case, folder / "points.h5", ONE)


def test_every_group_takes_its_turn_with_one_point_of_its_own(tmp_path):
    velocimetry = problem_in(tmp_path)
    with h5py.File(tmp_path / "points.h5") as file:
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


@pytest.mark.parametrize("init", [1, 2])
@pytest.mark.parametrize("per", ["iteration", "visit"])
def test_equation_12_is_applied_for_every_iteration_or_for_every_turn(tmp_path, per, init):
    velocimetry = problem_in(tmp_path, per=per, init=init)
    loop = LoopSettings(multipliers=velocimetry.settings.multipliers)
    run = Run(loop, velocimetry, ONE)
    expected = {"navier_stokes": np.zeros((GROUPS, 4)), "tracks": 0.0}
    applied = dict.fromkeys(range(GROUPS), 0)
    for step in range(3 * PARTS):
        batch = velocimetry.batch(step)
        e = velocimetry.residuals(batch.inputs)
        run.scheme.update(batch, e)
        size = np.abs(e["navier_stokes"].detach().numpy())
        groups = batch.rows["navier_stokes"].tolist()
        for group, own in zip(groups, size, strict=True):
            # At its turn a group catches up with the iterations, with the residual of the turn.
            while applied[group] <= step:
                eta = 1 if init == 2 and not expected["navier_stokes"][group].any() else ETA
                # The maximum is taken over the groups of the step.
                added = eta * own / size.max(axis=0)
                expected["navier_stokes"][group] = GAMMA * expected["navier_stokes"][group] + added
                applied[group] = applied[group] + 1 if per == "iteration" else step + 1
        # Rows of the tracks take part in every step.
        size = np.abs(e["tracks"].detach().numpy())
        eta = 1 if init == 2 and step == 0 else ETA
        expected["tracks"] = GAMMA * expected["tracks"] + eta * size / size.max(axis=0)
        for block, values in expected.items():
            found = run.scheme.multipliers[block].numpy()
            np.testing.assert_allclose(found, values, rtol=1e-12)
    assert expected["navier_stokes"].min() > 0
