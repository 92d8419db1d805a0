"""Coverage: the largest empty ball of the collocation points."""

from types import SimpleNamespace

import numpy as np
import pytest

from aiv_rba.errors import UserError
from aiv_rba.ranks.mpi import Processes
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.coverage import LIMIT, MOST, distinct, looked_at, measure
from aiv_rba.stages.points.generate import check_coverage
from aiv_rba.stages.points.partition import RegionPartition, TubePartition
from tests.collocation import slab
from tests.exact import LENGTH, RADIUS, SCALES, annulus, eccentric, tube
from tests.walls import bifurcation, box_with_sphere

ALONE = Processes(0, 1, None)
SMOKE = PointsSettings(
    n_theta=4, n_y=6, n_r=2, n_t=3, wall_n_t=3, per_group=10, layers=10
)  # workflow/config/smoke.yaml
SETTINGS = {"default": PointsSettings(), "smoke": SMOKE, "one": PointsSettings(per_group=1)}


def checked(kind, settings, wall, openings=()):
    case = SimpleNamespace(wall=wall, openings=openings, axis=1, scales=SCALES)
    partition = kind(case, settings, ALONE)
    points = slab(settings, case, partition.interior, settings.n_t, 0, ALONE)
    looked = looked_at(len(points), settings.per_group)
    return check_coverage(points[:, :looked, 1:].reshape(-1, 3), settings, case, partition, ALONE)


@pytest.mark.parametrize("hole", [0.0, 0.25])
def test_the_largest_empty_ball_is_found(hole):
    """Points in the middle of 20^3 cubes of a unit box, but none in a ball."""
    positions = (np.indices((20, 20, 20)).reshape(3, -1).T + 0.5) / 20
    middle = np.array([0.6, 0.5, 0.45])
    positions = positions[np.linalg.norm(positions - middle, axis=1) >= hole]

    def inside(points):
        return ((points >= 0) & (points <= 1)).all(axis=1)

    bounds = np.full(3, -0.2), np.full(3, 1.3)
    found = measure(positions, len(positions), inside, bounds, 0.0, ALONE)
    assert found.spacing == pytest.approx(len(positions) ** (-1 / 3), rel=0.02)
    assert found.complete == (hole == 0)
    if hole:
        # A probe lies within a twentieth of the box of every point of it.
        assert found.radius == pytest.approx(hole, abs=0.05)
        assert np.linalg.norm(found.centre - middle) < 0.1
    else:
        half_diagonal = np.sqrt(3) / 40
        assert 0.8 * half_diagonal < found.radius <= half_diagonal
    coarser = measure(positions, len(positions), inside, bounds, 0.5, ALONE)
    assert coarser.spacing == pytest.approx(0.5 / np.sqrt(2))


def test_expected_number_of_distinct_positions():
    """Against draws of runs from random starts, as groups are drawn."""
    rng = np.random.default_rng(0)
    count, n_t, drawn = 50, 4, 20
    found = [
        len({(start + k) % count for start in rng.integers(count, size=n_t) for k in range(drawn)})
        for _ in range(2000)
    ]
    assert distinct(np.array([count]), n_t, drawn) == pytest.approx(np.mean(found), rel=0.01)
    assert distinct(np.array([5, 8]), 1, 8) == 13


def test_what_is_looked_at_does_not_grow_without_end():
    assert looked_at(100, 40) == 40
    assert looked_at(52_500, 95) * 52_500 <= MOST
    assert looked_at(10 * MOST, 95) == 1


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_tubes_are_covered(name):
    for wall in (tube(), tube(squeeze=0.3), annulus(0.3), eccentric(0.3, 0.2)):
        found = checked(TubePartition, SETTINGS[name], wall)
        assert found["radius"] < 0.9 * LIMIT * found["spacing"]


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_vessels_of_any_shape_are_covered(name):
    for shape in (bifurcation(), box_with_sphere()):
        found = checked(RegionPartition, SETTINGS[name], shape.wall, shape.openings)
        assert found["radius"] < 0.7 * LIMIT * found["spacing"]


def test_an_eccentric_annulus_is_left_uncovered_as_a_tube():
    """The error says where: in the lumen, where the centre line and not the inner wall is."""
    inner, offset = 0.1, 0.5
    wall = eccentric(inner, offset)
    with pytest.raises(UserError, match="no collocation point lies within") as error:
        checked(TubePartition, PointsSettings(), wall)
    place = str(error.value).split("x, y, z = ")[1].split(" m in")[0]
    x, y, z = (np.array(place.split(", "), dtype=float) - SCALES.origin) / SCALES.length
    assert np.hypot(x, z) < RADIUS
    assert np.hypot(x - offset, z) > inner
    assert 0 < y < LENGTH
