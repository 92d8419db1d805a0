"""What measured and inferred velocities say about each other."""

import numpy as np
import pytest

from aiv_rba.mixture import amplitude_bias, inlier_probability


def tracks(noise, outliers, rows=60_000):
    """True and measured velocity (rows, 2), and which rows are mismatches."""
    rng = np.random.default_rng(5)
    # Fast and slow places, as in a vessel: far from Gaussian.
    speed = (1 - rng.uniform(0, 1, rows)) * (0.9 + 1.1 * np.cos(rng.uniform(0, 2 * np.pi, rows)))
    true = np.stack([speed, 0.1 * rng.standard_normal(rows) * speed], axis=1)
    measured = true + [noise, 0.1 * noise] * rng.standard_normal((rows, 2))
    wrong = rng.uniform(size=rows) < outliers
    measured[wrong] = measured[rng.permutation(rows)][wrong]
    return true, measured, wrong


@pytest.mark.parametrize("outliers", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("noise", [0.03, 0.1])
def test_amplitude_bias_is_that_of_the_flow_whatever_noise_and_mismatches(noise, outliers):
    true, measured, _ = tracks(noise, outliers)
    for shrunk in (0.95, 1.0, 1.02):
        bias, deviation = amplitude_bias(shrunk * true, measured)[0]
        assert bias == pytest.approx(1 / shrunk - 1, abs=2e-3)
        if shrunk == 1:
            expected = noise / np.sqrt(np.sum(true[:, 0] ** 2))
            assert deviation == pytest.approx(expected, rel=0.15)


def test_a_flow_at_rest_has_no_infinite_bias():
    assert amplitude_bias(np.zeros((9, 1)), np.ones((9, 1)))[0][0] == -1


def test_mismatches_are_improbable_and_matched_rows_are_not():
    true, measured, wrong = tracks(0.05, 0.05)
    probability = inlier_probability(measured - true, measured)
    assert probability[~wrong].mean() > 0.99
    far = wrong & (np.abs(measured - true) > [0.25, 0.025]).any(axis=1)
    assert probability[far].mean() < 0.05
    # As many as there are.
    assert 1 - probability.mean() == pytest.approx(0.05, abs=0.01)


def test_a_component_that_rests_says_nothing():
    true, measured, _ = tracks(0.05, 0.05)
    alone = inlier_probability((measured - true)[:, :1], measured[:, :1])
    still = np.zeros((len(true), 1))
    both = inlier_probability(
        np.hstack([(measured - true)[:, :1], still]), np.hstack([measured[:, :1], still])
    )
    np.testing.assert_allclose(both, alone)
