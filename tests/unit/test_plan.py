"""The plan for many ranks against limits that are worked out by hand."""

import math
from dataclasses import replace

import pytest

from aiv_rba.ranks.plan import (
    NVIDIA,
    Cluster,
    Step,
    collocation_memory,
    collocation_points,
    messages,
)
from aiv_rba.settings import PointsSettings

SIMPLE = Cluster(
    ranks_per_node=4, start=1e-6, ring=(2e-6, 3e-6), tree=(4e-6, 5e-6), within=1e9, between=1e8
)
FREE = Cluster(
    ranks_per_node=1,
    start=0.0,
    ring=(0.0, 0.0),
    tree=(0.0, 0.0),
    within=math.inf,
    between=math.inf,
)


def test_one_rank_does_not_communicate():
    assert SIMPLE.all_reduce(1e6, 1) == 0
    step = Step(rows=1000, per_row=1e-3, fixed=0.1, messages=(1e6, 36))
    assert step.seconds(1, SIMPLE) == pytest.approx(1.1)
    assert step.efficiency(1, SIMPLE) == pytest.approx(1)


@pytest.mark.parametrize(
    ("ranks", "size", "seconds"),
    [
        # Two ranks of a node: two messages of half the data on a ring.
        (2, 1e6, 1e-6 + 2 * 2e-6 + 1e6 / 1e9),
        # Four ranks, a few bytes: 6 hops on a ring, 2 (3 x 4) us on a tree.
        (4, 0, 1e-6 + 6 * 2e-6),
        # Two nodes: 2 (6 x 2 + 3) us on a ring, 2 (3 x 4 + 5) us on a tree.
        (8, 0, 1e-6 + 2 * 15e-6),
        # Sixteen nodes: the tree's 2 (12 + 4 x 5) us beat the ring's 2 (48 x 2 + 15 x 3) us.
        (64, 0, 1e-6 + 2 * 32e-6),
        # Much data over two nodes: a ring sends 2 x 7 / 8 of it over the slow link.
        (8, 1e9, 1e-6 + 2 * 15e-6 + 2 * 7 / 8 * 1e9 / 1e8),
    ],
)
def test_all_reduce(ranks, size, seconds):
    assert SIMPLE.all_reduce(size, ranks) == pytest.approx(seconds, rel=1e-12)


def test_without_latency_only_bandwidth_counts():
    no_latency = replace(SIMPLE, start=0.0, ring=(0.0, 0.0), tree=(0.0, 0.0))
    assert no_latency.all_reduce(1e6, 4) == pytest.approx(2 * 3 / 4 * 1e6 / 1e9)
    assert no_latency.all_reduce(1e6, 10_000) == pytest.approx(2 * 1e6 / 1e8, rel=1e-3)


def test_free_communication_leaves_the_work():
    step = Step(rows=1024, per_row=1e-3, fixed=0.0, messages=(1e6, 36))
    assert step.efficiency(1024, FREE) == pytest.approx(1)
    assert step.most_ranks(FREE, 0.8) == 1024
    # With a fixed part f of the work the efficiency is (f + n) / (f W + n).
    step = replace(step, fixed=0.128)
    assert step.efficiency(8, FREE) == pytest.approx((0.128 + 1.024) / (8 * 0.128 + 1.024))
    # Rows that do not divide wait for the rank with most of them.
    assert replace(step, rows=1025, fixed=0.0).seconds(1024, FREE) == pytest.approx(2e-3)


@pytest.mark.parametrize("efficiency", [0.5, 0.8])
def test_rows_per_rank_give_the_efficiency_that_was_asked(efficiency):
    step = Step(rows=1, per_row=1e-6, fixed=1e-4, messages=(1.1e6, 36, 4))
    rows = step.rows_per_rank(NVIDIA, 1024, efficiency)
    reached = replace(step, rows=1024 * math.ceil(rows)).efficiency(1024, NVIDIA)
    assert reached == pytest.approx(efficiency, rel=1e-2)


def test_efficiency_falls_with_ranks_and_most_ranks_is_where_it_crosses():
    step = Step(rows=1_000_000, per_row=1e-6, fixed=1e-4, messages=(1.1e6, 36, 4))
    most = step.most_ranks(NVIDIA, 0.5)
    assert step.efficiency(most, NVIDIA) >= 0.5 > step.efficiency(2 * most, NVIDIA)


def test_a_plan_has_all_worlds_that_rows_allow():
    step = Step(rows=1, per_row=1e-3, fixed=0.1, messages=(0.0,))
    plan = step.plan(SIMPLE, rows=(10, 1000), worlds=(1, 8, 64))
    assert list(plan["worlds"][10]["by_world"]) == [1, 8]
    world = plan["worlds"][1000]["by_world"][8]
    assert (world["rows"], world["communication"]) == (125, SIMPLE.all_reduce(0, 8))
    assert world["seconds"] == pytest.approx(0.1 + 0.125 + world["communication"])
    assert plan["worlds"][1000]["most_ranks"][0.5] == 8
    assert plan["all_reduce_at_1024"] == [SIMPLE.all_reduce(0, 1024)]


def test_a_step_of_adam_sends_gradient_and_maxima():
    assert messages(parameters=1000, terms=9) == (4000, 36)


def test_collocation_memory_is_that_of_the_samples_of_the_wall():
    section = PointsSettings(n_theta=10, n_y=10, per_group=10, n_r=3, n_t=5, wall_n_t=5)
    assert collocation_points(section) == (15_000, 5_000)
    assert collocation_memory(section) == 330 * 2**20 + 120 * 1000
    finer = replace(section, per_group=1000)
    assert collocation_memory(finer) - collocation_memory(section) == 120 * 99_000
