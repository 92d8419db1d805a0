"""Vorticity, shear rate and wall shear stress of exact flows, through the pipeline's code."""

import numpy as np
import pytest
import torch
from scipy.special import jv

from aiv_rba.fields import derived
from aiv_rba.fields.derived import at_time, sample
from tests.exact import (
    RADIUS,
    SCALES,
    SPIN,
    ExactFlow,
    Womersley,
    poiseuille,
    pulse,
    swirling,
    tube,
    value,
)
from tests.exact_flows import ethier_steinman


def test_poiseuille_at_the_wall():
    """Wall shear stress is mu 2 U / a along the flow; vorticity and shear rate equal 2 U / a."""
    wall = tube()
    values = sample(ExactFlow(poiseuille), SCALES, at_time(wall.points, 0.3))
    rate = 2 * SCALES.velocity / (RADIUS * SCALES.length)
    stress = values.wall_shear_stress(wall.normals, SCALES.viscosity)
    expected = np.tile([0, SCALES.viscosity * rate, 0], (len(stress), 1))
    np.testing.assert_allclose(stress, expected, atol=1e-12 * rate)
    np.testing.assert_allclose(values.shear_rate, rate, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(values.vorticity, axis=1), rate, rtol=1e-12)


@pytest.mark.parametrize("time", [0.0, 0.13, 0.4])
def test_womersley_at_the_wall(time):
    """Wall shear stress is -mu V'(a), V' by central differences of the exact velocity."""
    flow, wall, step = Womersley(), tube(), 1e-6

    def velocity(r):
        profile = 1 - jv(0, flow.s * r / RADIUS) / jv(0, flow.s)
        return (profile / (1j * flow.omega) * np.exp(1j * flow.omega * time)).real

    slope = (velocity(RADIUS + step) - velocity(RADIUS - step)) / (2 * step)
    values = sample(flow, SCALES, at_time(wall.points, time))
    stress = values.wall_shear_stress(wall.normals, SCALES.viscosity)
    expected = -SCALES.viscosity * slope * SCALES.shear_rate
    np.testing.assert_allclose(stress[:, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(stress[:, [0, 2]], 0, atol=1e-9 * abs(expected))
    np.testing.assert_allclose(SCALES.viscosity * values.shear_rate, abs(expected), rtol=1e-6)


def test_rotation_is_vorticity_but_no_strain():
    """On the axis of `swirling` only the rigid rotation is left: vorticity 2 Omega, no shear."""
    time = 0.2
    values = sample(ExactFlow(swirling), SCALES, np.array([[time, 0, 1.0, 0]]))
    factor = pulse(torch.tensor(time)).item()
    expected = [0, 2 * SPIN * factor * SCALES.shear_rate, 0]
    np.testing.assert_allclose(values.vorticity[0], expected, atol=1e-6 * SCALES.shear_rate)
    assert values.shear_rate[0] < 1e-12 * SCALES.shear_rate


def test_vorticity_of_a_beltrami_flow():
    """Ethier and Steinman's velocity is an eigenfunction of the curl, of eigenvalue +-d."""
    points = np.random.default_rng(0).uniform(-1, 1, (30, 4))
    values = sample(ExactFlow(lambda q: ethier_steinman(q, 1.0)), SCALES, points)
    ratio = values.vorticity / values.velocity
    np.testing.assert_allclose(np.abs(ratio), np.pi / 2 / SCALES.length, rtol=1e-9)
    assert np.ptp(np.sign(ratio)) == 0


def test_many_points_are_taken_in_parts(monkeypatch):
    """More points than go through at once come back in order, in SI units."""
    monkeypatch.setitem(derived.NUMBERS_AT_ONCE, "cpu", 50)
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (107, 4))
    values = sample(ExactFlow(poiseuille), SCALES, points)
    exact = value(poiseuille, points)
    np.testing.assert_allclose(values.velocity, exact[:, :3] * SCALES.velocity, rtol=1e-12)
    np.testing.assert_allclose(values.pressure, exact[:, 3] * SCALES.pressure, rtol=1e-12)
