"""Deviations of linear least squares against their known covariance."""

import numpy as np
import pytest
import torch

from aiv_rba.optimisers.posterior import Posterior
from aiv_rba.problems.fixed_points import ONE_RANK

ROWS, SAMPLES = 60, 400_000


@pytest.fixture(scope="module")
def matrix():
    """A (rows, 3) Jacobian whose columns differ in size and are not orthogonal."""
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64)
    return matrix @ torch.tensor([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.1, 0.3, 0.2]]).double()


def deviations(matrix, errors, prior):
    posterior = Posterior(torch.zeros(3).double(), ("noise", "model"), errors.shape[1], ONE_RANK)
    for part in (slice(0, 20), slice(20, ROWS)):
        posterior.add(matrix[part], {"noise": errors[part]})
    return posterior.deviations(prior, "model", torch.Generator().manual_seed(3))


def assert_covariance(samples, expected):
    found = samples.T @ samples / len(samples)
    assert float((found - expected).norm() / expected.norm()) < 0.01


def test_independent_errors_have_the_covariance_of_least_squares(matrix):
    generator = torch.Generator().manual_seed(4)
    errors = torch.randn(ROWS, SAMPLES, generator=generator, dtype=torch.float64)
    found = deviations(matrix, errors, prior=1e6)
    assert_covariance(found["noise"], torch.linalg.inv(matrix.T @ matrix))


def test_errors_that_rows_share_have_that_of_the_sandwich(matrix):
    generator = torch.Generator().manual_seed(5)
    shared = torch.randn(ROWS // 5, SAMPLES, generator=generator, dtype=torch.float64)
    found = deviations(matrix, shared.repeat_interleave(5, dim=0), prior=1e6)
    inverse = torch.linalg.inv(matrix.T @ matrix)
    sums = matrix.reshape(ROWS // 5, 5, 3).sum(1)
    assert_covariance(found["noise"], inverse @ (sums.T @ sums) @ inverse)


def test_noise_and_prior_together_have_the_covariance_of_the_posterior(matrix):
    generator = torch.Generator().manual_seed(6)
    errors = torch.randn(ROWS, SAMPLES, generator=generator, dtype=torch.float64)
    # As wide as what the rows say, so that both matter.
    prior = float(torch.linalg.inv(matrix.T @ matrix).diagonal().max().sqrt())
    found = deviations(matrix, errors, prior)
    posterior = torch.linalg.inv(matrix.T @ matrix + torch.eye(3) / prior**2)
    assert_covariance(found["noise"] + found["model"], posterior)


def test_the_minimum_moves_against_the_errors(matrix):
    errors = torch.eye(ROWS, dtype=torch.float64)
    found = deviations(matrix, errors, prior=1e6)["noise"]
    np.testing.assert_allclose(found, -torch.linalg.pinv(matrix).T, atol=1e-9)
