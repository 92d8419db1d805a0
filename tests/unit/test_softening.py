"""How the tolerances of the equations follow the amplitude bias."""

import pytest

from aiv_rba.problems.velocimetry.softening import next_softening

LARGEST = 4.0


def path(bias, *, steps=300, every=5, deviation=0.001):
    """Softening by step, with the amplitude bias that a function of step and softening gives."""
    rows = []
    for step in range(every, steps + 1, every):
        now = bias(step, rows[-1]["softening"] if rows else LARGEST)
        softening = next_softening(step, now, deviation, rows, LARGEST)
        rows.append({"step": step, "amplitude_bias": now, "softening": softening})
    return {row["step"]: row["softening"] for row in rows}


def test_equations_stiffen_to_the_tolerances_of_the_settings_where_the_flow_is_large_enough():
    found = path(lambda step, softening: 0.0)
    assert found[10] == LARGEST
    assert found[15] == pytest.approx(0.75 * LARGEST)
    assert found[20] == pytest.approx(0.75**2 * LARGEST)
    assert found[300] == 1
    # A flow that is too large is no flow that is too small.
    assert path(lambda step, softening: -0.02) == found


def test_equations_wait_while_the_flow_grows():
    found = path(lambda step, softening: 0.0 if step > 30 else 0.05)
    # The mean of two rows counts.
    assert found[35] == LARGEST
    assert found[40] == pytest.approx(0.75 * LARGEST)
    # What was too slow while it grew softens nothing later.
    assert found[300] == 1


def test_equations_stop_where_the_flow_becomes_too_slow():
    """A bias that falls with the tolerance, as that of a network that cannot resolve them."""
    found = path(lambda step, softening: 0.006 / softening)
    # At 2 the bias is the tolerated 0.003; the mean over rows lags behind by two rises.
    assert 2 <= found[300] <= 2 * 1.25**2
    assert len({softening for step, softening in found.items() if step > 150}) == 1


def test_equations_that_have_been_softened_stiffen_no_more():
    found = path(lambda step, softening: 0.05 if 50 < step < 80 else 0.0)
    # The mean of four rows is large a little longer.
    before, after = found[50], found[90]
    assert after > before
    assert {softening for step, softening in found.items() if step >= 90} == {after}


def test_equations_soften_up_to_the_first_tolerance():
    found = path(lambda step, softening: 0.0 if step < 50 else 0.05)
    assert found[45] < LARGEST
    assert found[300] == LARGEST


def test_one_slow_step_changes_nothing():
    steady = path(lambda step, softening: 0.0)
    # The mean of two rows is 0.003, that of four 0.0015; 0.003 is tolerated.
    assert path(lambda step, softening: 0.0058 if step == 60 else 0.0) == steady


@pytest.mark.parametrize("deviation", [0.0005, 0.01])
def test_a_bias_within_its_standard_error_is_none(deviation):
    limit = 0.002 + deviation
    assert path(lambda step, softening: 0.99 * limit, deviation=deviation)[300] == 1
    assert path(lambda step, softening: 1.01 * limit, deviation=deviation)[300] == LARGEST


@pytest.mark.parametrize(("every", "stiffened"), [(1, 20), (3, 21), (5, 20), (7, 28), (20, 40)])
def test_the_number_of_rows_of_the_history_does_not_matter(every, stiffened):
    """Each multiple of five steps from the fifteenth stiffens once, at the next row."""
    found = path(lambda step, softening: 0.0, steps=60, every=every)
    first = next(step for step, value in found.items() if value < LARGEST)
    assert first == next(step for step in found if step >= 15 and step > every)
    if every < 20:
        second = next(step for step, value in found.items() if value < 0.75 * LARGEST)
        assert second == stiffened
