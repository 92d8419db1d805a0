"""The first of many ranks does and holds its share, with nobody to talk to."""

import pytest

from aiv_rba.files.formats import open_h5
from aiv_rba.problems.velocimetry.share import measure, write_points
from aiv_rba.settings import load_stage
from tests.training_case import PLAIN, write_config, write_training_case


@pytest.mark.parametrize("world", [1, 5])
def test_share_of_the_first_rank(tmp_path, world):
    write_training_case(tmp_path)
    optimiser = {"name": "adam", "iterations": 9, "compile": False}
    path = write_config(
        tmp_path, network={"layers": 1, "width": 4} | PLAIN, optimiser=optimiser, precision="single"
    )
    real, points = tmp_path / "points.h5", tmp_path / "many.h5"
    write_points(points, real, groups=230, world=world)
    share = measure(load_stage(path, "train"), tmp_path / "case.h5", points, world, steps=2)
    # Of 230 interior and 110 wall groups of four points each.
    assert (share.groups, share.collocation_points) == (230, 920)
    assert share.rows == 230 // world
    assert share.points == 16 * 4 * (230 + 110) // world
    assert share.multipliers >= 4 * (4 * 230 + 3 * 110) // world
    assert share.seconds > 0


def test_points_of_the_first_rank_are_the_real_ones_over_and_over(tmp_path):
    write_training_case(tmp_path)
    write_points(tmp_path / "many.h5", tmp_path / "points.h5", groups=230, world=5)
    with (
        open_h5(tmp_path / "points.h5", "points") as real,
        open_h5(tmp_path / "many.h5", "points") as many,
    ):
        written, given = many["interior/points"], real["interior/points"][:]
        assert written.shape == (4, 230, 4)
        assert (written[:, :23] == given).all()
        assert (written[:, 23:46] == given).all()
        assert (written[:, 46:] == 0).all()
