"""Vorticity, wall shear stress and hydraulics of exact flows, through the pipeline's code."""

import numpy as np
import pytest
import torch
from scipy.special import jv

from aiv_rba.fields.derived import at_time, sample
from aiv_rba.fields.hydraulics import cross_sections, hydraulics
from aiv_rba.geometry import Lumen
from aiv_rba.pde.navier_stokes import SECOND_ORDER
from aiv_rba.scales import Scales
from aiv_rba.store import Wall
from tests.exact_flows import ethier_steinman, jet_by_autograd

SCALES = Scales(2e-4, 3e-3, 1e3, 1e-3, 0.2)
RADIUS, LENGTH = 0.8, 4.0


class ExactFlow:
    """A flow given as a function of (N, 4) points, with its jet by nested autograd."""

    def __init__(self, function):
        self.function = function

    def jet(self, points):
        with torch.enable_grad():
            return jet_by_autograd(self.function, points, torch.tensor(SECOND_ORDER)).detach()


def tube(around=64, along=21):
    angle, y = np.meshgrid(
        2 * np.pi * np.arange(around) / around, np.linspace(0, LENGTH, along), indexing="ij"
    )
    normals = np.stack([np.cos(angle), np.zeros_like(y), np.sin(angle)], -1).reshape(-1, 3)
    points = RADIUS * normals
    points[:, 1] = y.ravel()
    i, j = (g.ravel() for g in np.meshgrid(np.arange(around), np.arange(along - 1), indexing="ij"))
    a, b = i * along + j, (i + 1) % around * along + j
    triangles = np.concatenate([np.stack([a, a + 1, b], 1), np.stack([b, a + 1, b + 1], 1)])
    return Wall(points, normals, triangles, np.zeros(len(triangles), dtype=int))


def poiseuille(q):
    """V = 1 - r^2 / a^2, p = -4 y / (Re a^2)."""
    _, x, y, z = q.unbind(-1)
    v = 1 - (x * x + z * z) / RADIUS**2
    p = -4 * y / (SCALES.reynolds * RADIUS**2)
    return torch.stack([0 * x, v, 0 * x, p], dim=-1)


def test_poiseuille_at_the_wall():
    """Wall shear stress is 4 mu U / d along the flow; vorticity and shear rate equal 2 U / a."""
    wall = tube()
    values = sample(ExactFlow(poiseuille), SCALES, at_time(wall.points, 0.3))
    rate = 2 * SCALES.velocity / (RADIUS * SCALES.length)
    stress = values.wall_shear_stress(wall.normals, SCALES.viscosity)
    expected = np.tile([0, SCALES.viscosity * rate, 0], (len(stress), 1))
    np.testing.assert_allclose(stress, expected, atol=1e-12 * rate)
    np.testing.assert_allclose(values.shear_rate, rate, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(values.vorticity, axis=1), rate, rtol=1e-12)


def test_vorticity_of_a_beltrami_flow():
    """Ethier and Steinman's velocity is an eigenfunction of the curl, of eigenvalue d."""
    points = np.random.default_rng(0).uniform(-1, 1, (30, 4))
    values = sample(ExactFlow(lambda q: ethier_steinman(q, 1.0)), SCALES, points)
    ratio = values.vorticity / values.velocity
    expected = np.pi / 2 / SCALES.length
    np.testing.assert_allclose(np.abs(ratio), expected, rtol=1e-9)
    assert np.ptp(np.sign(ratio)) == 0


def test_hydraulics_of_poiseuille_flow():
    """Q = pi a^2 U / 2, dp = 8 mu l Q / (pi a^4), R = dp / Q."""
    lumen = Lumen.from_wall(tube(), 1)
    table = hydraulics(ExactFlow(poiseuille), SCALES, lumen, np.array([0.0, 0.1]), 5)
    flow_rate = np.pi / 2 * RADIUS**2 * SCALES.flow_rate
    drop = 4 * LENGTH / (SCALES.reynolds * RADIUS**2) * SCALES.pressure
    np.testing.assert_allclose(table.flow_rate_m3_s, flow_rate, rtol=1e-9)
    np.testing.assert_allclose(table.pressure_drop_pa, drop, rtol=1e-9)
    np.testing.assert_allclose(table.hydraulic_resistance_pa_s_m3, drop / flow_rate, rtol=1e-9)


@pytest.mark.parametrize("time", [0.0, 0.13, 0.4])
def test_womersley_flow_rate(time):
    """Pulsatile flow in a tube: Q = Re[pi a^2 G / (i w) (1 - 2 J1(s) / (s J0(s))) e^(iwt)]."""
    omega = 2 * np.pi / SCALES.nondimensional_period
    s = np.sqrt(-1j * omega * SCALES.reynolds) * RADIUS

    def womersley(q):
        t, x, _, z = (column.numpy() for column in q.detach().unbind(-1))
        r = np.hypot(x, z)
        v = np.real((1 - jv(0, s * r / RADIUS) / jv(0, s)) / (1j * omega) * np.exp(1j * omega * t))
        jet = torch.zeros(6, len(q), 4, dtype=torch.float64)
        jet[0, :, 1] = torch.as_tensor(v)
        return jet

    class Womersley:
        def jet(self, points):
            return womersley(points)

    lumen = Lumen.from_wall(tube(256), 1)
    table = hydraulics(Womersley(), SCALES, lumen, np.array([time]), 3)
    area = np.pi * RADIUS**2
    rate = area * (1 - 2 * jv(1, s) / (s * jv(0, s))) / (1j * omega) * np.exp(1j * omega * time)
    scale = abs(rate) * SCALES.flow_rate
    assert abs(table.flow_rate_m3_s[0] - rate.real * SCALES.flow_rate) < 2e-3 * scale


def test_sections_hold_the_area():
    sections = cross_sections(Lumen.from_wall(tube(256), 1), 4)
    np.testing.assert_allclose(sections.weights.sum(axis=1), np.pi * RADIUS**2, rtol=1e-3)
