"""Flow rate, pressure drop and resistance of exact flows."""

import numpy as np
import pytest
import torch

from aiv_rba.fields.hydraulics import cross_sections, heights, hydraulics
from aiv_rba.geometry import Lumen
from tests.exact import LENGTH, RADIUS, SCALES, ExactFlow, Womersley, annulus, poiseuille, tube


def test_poiseuille_flow():
    """Q = pi a^2 U / 2, dp = 4 l / (Re a^2), R = dp / Q; every section carries the same."""
    lumen = Lumen.from_wall(tube(), 1)
    table = hydraulics(ExactFlow(poiseuille), SCALES, lumen, np.array([0.0, 0.1]), 5)
    flow_rate = np.pi / 2 * RADIUS**2 * SCALES.flow_rate
    drop = 4 * LENGTH / (SCALES.reynolds * RADIUS**2) * SCALES.pressure
    np.testing.assert_allclose(table.flow_rate_m3_s, flow_rate, rtol=1e-9)
    np.testing.assert_allclose(table.flow_rate_spread_m3_s, 0, atol=1e-9 * flow_rate)
    np.testing.assert_allclose(table.pressure_drop_pa, drop, rtol=1e-9)
    np.testing.assert_allclose(table.hydraulic_resistance_pa_s_m3, drop / flow_rate, rtol=1e-9)
    np.testing.assert_allclose(table.t_s, np.array([0.0, 0.1]) * SCALES.time, rtol=1e-12)


@pytest.mark.parametrize("time", [0.0, 0.13, 0.4])
def test_womersley_flow(time):
    flow = Womersley()
    lumen = Lumen.from_wall(tube(), 1)
    table = hydraulics(flow, SCALES, lumen, np.array([time]), 3)
    rate, size = flow.flow_rate(time)
    assert abs(table.flow_rate_m3_s[0] / SCALES.flow_rate - rate) < 1e-8 * size


def test_spread_shows_a_leak():
    """V = y is not solenoidal: Q = A y, so its spread is that of the sections' heights."""

    def leaking(q):
        zero = torch.zeros_like(q[:, 0])
        return torch.stack([zero, q[:, 2], zero, zero], dim=-1)

    sections = 4
    lumen = Lumen.from_wall(tube(), 1)
    table = hydraulics(ExactFlow(leaking), SCALES, lumen, np.array([0.0]), sections)
    heights = LENGTH * (np.arange(sections) + 0.5) / sections
    expected = np.pi * RADIUS**2 * np.std(heights) * SCALES.flow_rate
    assert table.flow_rate_spread_m3_s[0] == pytest.approx(expected, rel=1e-9)


def test_annular_sections_leave_out_the_inner_wall():
    lumen = Lumen.from_wall(annulus(0.3), 1)
    area = cross_sections(lumen, heights(lumen, 3)).weights.sum(axis=1)
    np.testing.assert_allclose(area, np.pi * (RADIUS**2 - 0.3**2), rtol=1e-9)


def test_area_of_an_ellipse_converges_with_order_two():
    """The wall's radius is interpolated linearly between its vertices."""
    exact = np.pi * RADIUS**2 * 0.6
    lumens = [Lumen.from_wall(tube(n, squeeze=0.6), 1) for n in (12, 24, 48)]
    sections = [cross_sections(lumen, heights(lumen, 1)) for lumen in lumens]
    errors = [abs(section.weights.sum() - exact) for section in sections]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 1.7), orders
    assert errors[-1] < 5e-3 * exact
