"""What measured and inferred velocities say about each other."""

import numpy as np
import pytest
import torch

from aiv_rba import mixture
from aiv_rba.mixture import Everyone, inlier_probability, order_statistics
from tests.threads import on_ranks

TINY = np.finfo(np.float64).smallest_subnormal


def amplitude_bias(predicted, measured):
    """Bias and standard error of every component."""
    found = mixture.amplitude_bias(torch.tensor(predicted), torch.tensor(measured))
    return torch.stack(found, dim=1).tolist()


def share(values, ranks):
    return torch.tensor(values[ranks.share(len(values))])


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


def test_rows_that_share_errors_count_once_in_the_standard_error():
    """Against the spread of the bias over sets of tracks that are drawn anew."""
    rng = np.random.default_rng(2)
    track = np.repeat(np.arange(200), 15)
    true = rng.uniform(0.2, 1, (200, 1))[track]
    biases, deviations = [], []
    for _ in range(200):
        shared = 0.05 * rng.standard_normal((200, 1))[track]
        measured = true + shared + 0.05 * rng.standard_normal(true.shape)
        found = mixture.amplitude_bias(
            torch.tensor(true), torch.tensor(measured), track=torch.tensor(track)
        )
        biases.append(float(found[0][0]))
        deviations.append(float(found[1][0]))
    assert np.mean(deviations) == pytest.approx(np.std(biases), rel=0.12)


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


@pytest.mark.parametrize("slow", [0.0, 0.3, 0.7])
def test_rows_that_a_slow_flow_misses_are_no_mismatches(slow):
    """Otherwise the slow rows alone would count, and they are met by a flow that rests."""
    true, measured, wrong = tracks(0.05, 0.05)
    probability = inlier_probability(measured - slow * true, measured)
    energy = np.sum(measured**2, axis=1)
    assert np.sum((probability * energy)[~wrong]) > 0.97 * np.sum(energy[~wrong])


def test_a_component_that_rests_says_nothing():
    true, measured, _ = tracks(0.05, 0.05)
    alone = inlier_probability((measured - true)[:, :1], measured[:, :1])
    still = np.zeros((len(true), 1))
    both = inlier_probability(
        np.hstack([(measured - true)[:, :1], still]), np.hstack([measured[:, :1], still])
    )
    np.testing.assert_allclose(both, alone)


@pytest.mark.parametrize("rows", [1, 4, 5, 1000])
def test_order_statistics_of_all_ranks_are_exact(rows):
    rng = np.random.default_rng(rows)
    values = np.abs(rng.standard_normal((rows, 4))) * [1.0, 1e-300, 1e300, TINY]
    # Many that are equal.
    values[rng.uniform(size=values.shape) < 0.3] = 0
    numbers = [0, (rows - 1) // 2, rows // 2, rows - 1]
    # Of four rows or five the last rank has none.
    for found in on_ranks(4, lambda r: order_statistics(share(values, r), numbers, r.sum)):
        np.testing.assert_array_equal(found.numpy(), np.sort(values, axis=0)[numbers])


def probability_of_all_rows(residual, measured, relative):
    """The mixture of all rows, with NumPy's median, mean and standard deviation."""
    deviation = 1.4826 * np.median(np.abs(residual / relative), axis=0) * relative
    width = np.maximum(measured.std(axis=0), deviation)
    distance = (residual / deviation) ** 2 / 2 + np.log(deviation)
    other = ((measured - measured.mean(axis=0)) / width) ** 2 / 2 + np.log(width)
    odds = np.exp(np.minimum(distance.sum(axis=1) - other.sum(axis=1), 100))
    share = 0.05
    for _ in range(5):
        share = np.mean(1 - 1 / (1 + odds * share / (1 - share)))
    return 1 / (1 + odds * share / (1 - share))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_mixture_of_the_rows_of_all_ranks_is_that_of_all_rows(ranks):
    """To 1e-12, though no rank sees the rows of another one."""
    true, measured, _ = tracks(0.05, 0.03, rows=601)
    relative = np.random.default_rng(1).uniform(0.5, 2, true.shape)
    rows = (measured - true, measured, relative)

    def of_rank(rank):
        own = [share(values, rank) for values in rows]
        everyone = Everyone(len(true), rank.sum) if ranks > 1 else None
        probability = mixture.fit(*own, everyone=everyone).probability(*own)
        return probability, mixture.amplitude_bias(own[1] - own[0], own[1], everyone)

    found = on_ranks(ranks, of_rank)
    expected = probability_of_all_rows(*rows)
    assert 0.01 < np.mean(expected < 0.5) < 0.05
    joined = torch.cat([probability for probability, _ in found])
    np.testing.assert_allclose(joined, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found[-1][1][0], np.transpose(amplitude_bias(true, measured))[0])
