"""Averages of the parameters over the last steps."""

import pytest
import torch
from torch import nn

from aiv_rba.training.averaging import TailAverage


def after(steps, *, averaged, loss=lambda step: 1.0):
    """What a parameter has become that was k after step k, with the loss of such parameters."""
    parameter = nn.Parameter(torch.zeros(2))
    average = TailAverage([parameter], averaged)
    for step in range(1, steps + 1):
        parameter.data = torch.tensor([float(step), -float(step)])
        # A step finds the loss of the parameters before it.
        average.note(loss(step - 1))
    average.apply(steps)
    first, second = parameter.tolist()
    assert second == -first
    return first


def test_mean_of_the_last_steps():
    assert after(100, averaged=20) == sum(range(80, 100)) / 20


def test_at_most_a_quarter_of_the_steps():
    assert after(40, averaged=20) == sum(range(30, 40)) / 10


def test_a_single_step_stays():
    assert after(1, averaged=20) == 1


def test_steps_that_went_wrong_are_left_out():
    """Parameters 90 to 92 have a loss of 50 times the others."""
    found = after(100, averaged=20, loss=lambda step: 50.0 if 90 <= step <= 92 else 1.0)
    assert found == pytest.approx((sum(range(80, 90)) + sum(range(93, 100))) / 17)


def test_losses_that_scatter_count():
    found = after(100, averaged=20, loss=lambda step: 1.0 + step % 3)
    assert found == sum(range(80, 100)) / 20


def test_without_averaging_the_last_parameters_stay():
    assert after(100, averaged=0) == 100


def test_the_scatter_of_noisy_steps_falls_with_the_root_of_their_number():
    """Independent steps about an optimum: the mean of n of them scatters 1 / sqrt(n) as much."""
    generator = torch.Generator().manual_seed(3)
    parameter = nn.Parameter(torch.zeros(4000))
    average = TailAverage([parameter], 16)
    for _ in range(64):
        parameter.data = 5 + torch.randn(4000, generator=generator)
        average.note(1.0)
    average.apply(64)
    scatter = float((parameter.detach() - 5).square().mean().sqrt())
    assert abs(scatter - 0.25) < 0.02
