"""Bias and random errors of fields that are off by known amounts."""

import numpy as np
import pytest

from aiv_rba.stages.score.challenge import challenge_errors
from tests.exact import RADIUS, SCALES, case_of, swirling


def test_bias_and_random_error_are_the_planted_ones():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4, 500, 3))
    true *= 2 / np.linalg.norm(true, axis=-1, keepdims=True)  # The bulk speed is 2 m/s.
    factor = 1 + 0.03 + 0.1 * rng.standard_normal((4, 500, 1))
    pressure = rng.normal(size=(4, 500))
    pressure -= pressure.mean(axis=1, keepdims=True)
    found = challenge_errors(
        {
            "velocity": (factor * true, true),
            "vorticity": (factor * true, true),
            "pressure": (0.5 * pressure, pressure),
        },
        case_of(swirling),
    )
    assert found["bulk_speed_m_s"] == pytest.approx(2)
    assert found["velocity_bias"] == pytest.approx(factor.mean() - 1)
    assert found["velocity_random"] == pytest.approx(factor.std())
    turning = 2 / (RADIUS * SCALES.length)
    assert found["vorticity_bias"] == pytest.approx(2 * (factor.mean() - 1) / turning)
    assert found["pressure_bias"] == pytest.approx(0, abs=1e-12)
    size = SCALES.density * 2**2
    assert found["pressure_random"] == pytest.approx(0.5 * pressure.std() / size)
    assert found["pressure_correlation"] == pytest.approx(1)


def test_without_a_velocity_the_unit_is_the_scale():
    pressure = np.array([1.0, -1.0])
    found = challenge_errors({"pressure": (-pressure, pressure)}, case_of(swirling))
    assert found["bulk_speed_m_s"] == SCALES.velocity
    assert found["pressure_correlation"] == pytest.approx(-1)
