"""Properties of the training groups, over many shapes of the partition."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiv_rba.geometry import Lumen
from aiv_rba.ranks.mpi import Processes
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.cells import SAMPLES_PER_PATCH, ListedCells, sample_wall
from aiv_rba.stages.points.groups import patches, time_bins
from aiv_rba.stages.points.shrink_copy import InteriorCells
from tests.collocation import slab
from tests.exact import LENGTH, RADIUS, SCALES, annulus, tube

ALONE = Processes(0, 1, None)
LUMENS = {
    "single": Lumen.from_wall(tube(), 1),
    "elliptic": Lumen.from_wall(tube(squeeze=0.5), 1),
    "annular": Lumen.from_wall(annulus(0.3), 1),
}
COUNT = st.integers(1, 4)


@st.composite
def partitions(draw):
    n_r, n_t, wall_n_t = draw(COUNT), draw(COUNT), draw(COUNT)
    return PointsSettings(
        n_theta=draw(COUNT),
        n_y=draw(COUNT),
        n_r=n_r,
        n_t=n_t,
        wall_n_t=wall_n_t,
        per_group=draw(st.integers(1, 40)),
        layers=n_r + draw(st.integers(0, 9)),
        time_levels=max(n_t, wall_n_t) + draw(st.integers(0, 9)),
        seed=draw(st.integers(0, 2**20)),
    )


def cells_of(lumen, partition):
    count = SAMPLES_PER_PATCH * partition.n_theta * partition.n_y
    samples, _ = sample_wall(lumen.wall, count, partition.seed, patch=0)
    shape = partition.n_theta, partition.n_y
    members = patches(lumen, samples, *shape, partition.bins)
    interior = InteriorCells(
        lumen,
        samples,
        members,
        n_r=partition.n_r,
        layers=partition.layers,
        group=ALONE,
        shape=shape,
    )
    return samples, members, interior


def all_of(cells, cell):
    """Positions of all candidates of a cell."""
    return cells.positions(np.array([cell]), np.arange(cells.counts[cell])[None])[0]


@settings(max_examples=40, deadline=None)
@given(partitions(), st.sampled_from(sorted(LUMENS)))
def test_every_point_lies_in_exactly_one_group(partition, name):
    lumen = LUMENS[name]
    samples, members, interior = cells_of(lumen, partition)
    np.testing.assert_array_equal(np.sort(np.concatenate(members)), np.arange(len(samples)))
    candidates = [all_of(interior, cell) for cell in range(len(interior.counts))]
    for patch, member in enumerate(members):
        own = [candidates[i_r * len(members) + patch] for i_r in range(partition.n_r)]
        # Short patches take samples again, so a point may come twice, but in one cell only.
        distinct = [np.unique(c.round(9), axis=0) for c in own]
        together = np.unique(np.concatenate(distinct), axis=0)
        assert len(together) == sum(map(len, distinct)) <= partition.layers * len(member)
    first, levels = time_bins(partition.time_levels, partition.n_t)
    taken = np.concatenate([np.arange(a, a + n) for a, n in zip(first, levels, strict=True)])
    np.testing.assert_array_equal(taken, np.arange(partition.time_levels))


def bean():
    """A tube whose section is dented so far that its centre does not see all of it."""
    wall = tube(around=96, along=15)
    x, y, z = wall.points.T
    points = np.stack([x, y, z - 4 * x**2], axis=1)
    normals = np.stack([x + 8 * x * z, 0 * y, z], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Lumen.from_wall(replace(wall, points=points, normals=normals), 1)


@pytest.mark.parametrize("name", [*LUMENS, "bean"])
def test_copies_are_inside_by_their_own_distance(name):
    lumen = LUMENS.get(name) or bean()
    samples, _ = sample_wall(lumen.wall, 300, 0, patch=0)
    copies = lumen.shrink(samples, (np.arange(31) + 0.5) / 31)
    expected = lumen.inside(copies.reshape(-1, 3)).reshape(copies.shape[:2])
    np.testing.assert_array_equal(lumen.copies_inside(copies), expected)
    assert expected.all() == (name != "bean")


def test_no_point_inside_the_inner_wall_is_in_the_lumen():
    inner = 0.3 * RADIUS * np.array([0.0, 0.5, 0.99])
    depth = np.array([1e-6, 1e-3, 0.1])
    heights = np.concatenate([depth, LENGTH - depth])
    points = np.array([[x, y, 0.0] for x in inner for y in heights])
    lumen = Lumen.from_wall(annulus(0.3 * RADIUS), 1)
    assert not lumen.inside(points).any()
    assert lumen.inside(points + np.array([0.5 * RADIUS, 0, 0])).all()


@settings(max_examples=40, deadline=None)
@given(partitions(), st.sampled_from(sorted(LUMENS)), st.sampled_from([2, 3]))
def test_groups_are_equal_inside_and_the_same_on_any_number_of_ranks(partition, name, ranks):
    lumen = LUMENS[name]
    samples, members, interior = cells_of(lumen, partition)
    case = SimpleNamespace(scales=SCALES)
    for purpose, (cells, n_t) in enumerate(
        [(interior, partition.n_t), (ListedCells(samples, members), partition.wall_n_t)]
    ):
        whole = slab(partition, case, cells, n_t, purpose, ALONE)
        assert whole.shape == (n_t * len(cells.counts), partition.per_group, 4)
        assert whole[..., 0].min() >= 0
        assert whole[..., 0].max() < SCALES.nondimensional_period
        shares = [
            slab(partition, case, cells, n_t, purpose, Processes(rank, ranks, None))
            for rank in range(ranks)
        ]
        np.testing.assert_array_equal(np.concatenate(shares), whole)
        # The cell's own candidates in turn: none comes twice before all have come once.
        for number, group in enumerate(whole):
            available = cells.counts[number % len(cells.counts)]
            positions = np.unique(group[:, 1:], axis=0)
            drawn = np.unique(all_of(cells, number % len(cells.counts)), axis=0)
            assert len(positions) == pytest.approx(
                min(partition.per_group, len(drawn)), abs=int(available) - len(drawn)
            )
        if purpose == 0:
            assert lumen.inside(whole[..., 1:].reshape(-1, 3)).all()
