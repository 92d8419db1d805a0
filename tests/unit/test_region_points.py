"""Collocation in a vessel of any shape: uniform, balanced, by patches of the wall and depth."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial import KDTree

from aiv_rba.errors import UserError
from aiv_rba.geometry import Region
from aiv_rba.ranks.mpi import Processes
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.groups import bisected, uniform
from aiv_rba.stages.points.lattice import JITTER, fill
from aiv_rba.stages.points.partition import RegionPartition, partition_of
from tests.collocation import slab
from tests.exact import SCALES
from tests.walls import BOX, CENTRE, SPHERE, bifurcation, box_with_sphere, slanted_tube

ALONE = Processes(0, 1, None)
SETTINGS = PointsSettings(
    n_theta=5, n_y=4, n_r=3, n_t=2, wall_n_t=2, per_group=7, layers=20, time_levels=10
)
SHAPES = {"bifurcation": bifurcation(), "box": box_with_sphere(), "slanted": slanted_tube()}


def case_of(shape):
    return SimpleNamespace(
        wall=shape.wall, openings=shape.openings, lumen="general", scales=SCALES, axis=0
    )


@pytest.fixture(scope="module", params=sorted(SHAPES))
def made(request):
    shape = SHAPES[request.param]
    return shape, RegionPartition(case_of(shape), SETTINGS, ALONE)


def candidates_of(cells, cell):
    return cells.positions(np.array([cell]), np.arange(cells.counts[cell])[None])[0]


@pytest.mark.parametrize(("count", "parts"), [(40, 1), (40, 7), (41, 13), (13, 13)])
def test_parts_are_equal_within_one_point(count, parts):
    points = np.random.default_rng(count).normal(size=(count, 3))
    members = bisected(points, parts)
    sizes = [len(member) for member in members]
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(np.sort(np.concatenate(members)), np.arange(count))


def test_parts_of_a_line_are_its_sections():
    line = np.random.default_rng(1).permutation(30)[:, None] * [1.0, 0.1]
    for number, member in enumerate(bisected(line, 5)):
        assert set(line[member, 0]) == set(range(6 * number, 6 * number + 6))


def test_a_region_is_filled_with_one_point_in_each_cube():
    """Against the distance of each single point of the whole lattice."""
    shape = SHAPES["bifurcation"]
    region, spacing = Region(shape.wall, shape.openings), 0.31
    low, high = region.bounds
    levels = int(np.ceil(np.max(high - low) / spacing) - 1).bit_length()
    cubes = np.indices([2**levels] * 3).reshape(3, -1).T
    cubes = cubes[(low + spacing * cubes < high).all(axis=1)]
    number = cubes @ [4**levels, 2**levels, 1]
    points = low + spacing * (cubes + np.stack([uniform(3, j, number) for j in JITTER], axis=1))
    expected = points[region.inside(points)]
    found = fill(region, spacing, 3, ALONE)
    assert len(found) == len(expected)
    assert KDTree(expected).query(found)[0].max() < 1e-12


def test_points_are_in_proportion_to_the_volume():
    shape = SHAPES["box"]
    region, spacing = Region(shape.wall, shape.openings), 0.1
    points = fill(region, spacing, 0, ALONE)
    volume = 8 * np.prod(BOX) - 4 / 3 * np.pi * SPHERE**3
    assert len(points) * spacing**3 == pytest.approx(volume, rel=5e-3)
    # A shell round the sphere, away from the faces of the box.
    radius = np.linalg.norm(points - CENTRE, axis=1)
    shell = 4 / 3 * np.pi * (1.5**3 - 1.1**3)
    inside = np.sum((radius > 1.1) & (radius < 1.5))
    assert inside * spacing**3 == pytest.approx(shell, rel=2e-2)
    assert radius.min() > SPHERE * np.cos(np.pi / 24) ** 2


def test_every_candidate_lies_in_one_cell_of_equal_numbers(made):
    shape, partition = made
    cells, patches = partition.interior, SETTINGS.wall_patches
    assert partition.shape == (patches,)
    assert len(cells.counts) == patches * SETTINGS.n_r
    assert np.ptp(cells.counts) <= 2
    by_patch = cells.counts.reshape(SETTINGS.n_r, patches)
    assert np.ptp(by_patch.sum(axis=0)) <= 1
    assert np.ptp(by_patch, axis=0).max() <= 1
    everyone = np.concatenate([candidates_of(cells, n) for n in range(len(cells.counts))])
    assert len(np.unique(everyone, axis=0)) == len(everyone)
    assert Region(shape.wall, shape.openings).inside(everyone).all()
    assert len(everyone) == pytest.approx(8 * SETTINGS.layers * patches, rel=0.05)


def test_sections_go_by_the_distance_to_the_wall(made):
    """Against the exact distance; openings do not count."""
    shape, partition = made
    cells, patches = partition.interior, SETTINGS.wall_patches
    region = Region(shape.wall, shape.openings)
    spacing = (region.volume / cells.counts.sum()) ** (1 / 3)
    for patch in range(patches):
        depths = [
            region.wall_distance(candidates_of(cells, i_r * patches + patch))
            for i_r in range(SETTINGS.n_r)
        ]
        for near, far in pairwise(depths):
            # The samples that stand for the wall are about one spacing apart.
            assert near.max() < far.min() + spacing


def test_patches_of_the_wall_are_equal_and_compact(made):
    shape, partition = made
    assert (partition.wall.counts == SETTINGS.per_group).all()
    patches = [candidates_of(partition.wall, n) for n in range(SETTINGS.wall_patches)]
    samples = np.concatenate(patches)
    assert np.abs(Region(shape.wall, shape.openings).wall_distance(samples)).max() < 1e-6
    size = np.mean([np.linalg.norm(np.ptp(patch, axis=0)) for patch in patches])
    assert size < 0.6 * np.linalg.norm(np.ptp(samples, axis=0))


def test_groups_are_equal_and_the_same_on_any_number_of_ranks(made):
    _, partition = made
    case = SimpleNamespace(scales=SCALES)
    for purpose, cells in enumerate((partition.interior, partition.wall)):
        whole = slab(SETTINGS, case, cells, 2, purpose, ALONE)
        assert whole.shape == (2 * len(cells.counts), SETTINGS.per_group, 4)
        shares = [slab(SETTINGS, case, cells, 2, purpose, Processes(r, 3, None)) for r in range(3)]
        np.testing.assert_array_equal(np.concatenate(shares), whole)
        # Each group takes different candidates of its cell.
        assert all(len(np.unique(group[:, 1:], axis=0)) == SETTINGS.per_group for group in whole)


def test_patches_do_not_reach_across_a_narrow_gap():
    """Two plates that face each other closer than a patch is wide, as the partition cuts them."""
    rng = np.random.default_rng(0)
    side = np.arange(800) % 2
    plates = np.column_stack([rng.uniform(0, 4, (800, 2)), 0.1 * side])
    normals = np.sqrt(2 * 4 * 4 / 16) * np.column_stack([0 * side, 0 * side, 2 * side - 1])

    def majorities(features):
        return np.array([abs(2 * side[member].mean() - 1) for member in bisected(features, 16)])

    # The middle of a part need not be the gap: a few points of the other plate make it equal.
    assert majorities(np.hstack([plates, normals])).min() > 0.6
    assert majorities(plates).mean() < 0.3


def test_too_few_candidates_are_an_error():
    settings = PointsSettings(n_theta=1, n_y=1, n_r=1, n_t=1, wall_n_t=1, layers=1, patches=3)
    bad = PointsSettings(patches=1, n_r=30, layers=1, n_t=1, wall_n_t=1)
    assert RegionPartition(case_of(SHAPES["box"]), settings, ALONE).shape == (3,)
    with pytest.raises(UserError, match=r"points.layers: 1 give \d+ candidates .* expected at"):
        RegionPartition(case_of(SHAPES["box"]), bad, ALONE)


def test_a_number_of_patches_is_refused_in_a_tube():
    case = SimpleNamespace(lumen="single")
    with pytest.raises(UserError, match=r"points.patches: found 7, expected auto for a tube"):
        partition_of(case, PointsSettings(patches=7), ALONE)
