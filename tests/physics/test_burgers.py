"""Burgers: a problem that came as one folder and one profile."""

import json

import numpy as np
import torch
import yaml

from aiv_rba import jets
from aiv_rba.cli import main
from aiv_rba.problems.burgers.problem import NODES, VISCOSITY, exact, residual
from tests.exact_flows import jet_by_autograd


def test_the_exact_solution_does_not_depend_on_the_quadrature():
    t, x = np.linspace(0, 1, 11), np.linspace(-1, 1, 41)
    assert np.abs(exact(t, x) - exact(t, x, NODES + 100)).max() < 1e-12


def test_the_exact_solution_obeys_equation_and_conditions():
    """Against central differences, an independent check of the signs."""
    h, t, x = 1e-4, np.linspace(0.1, 0.9, 9), np.linspace(-0.9, 0.9, 19)
    u = exact(t, x)
    u_t = (exact(t + h, x) - exact(t - h, x)) / (2 * h)
    left, right = exact(t, x - h), exact(t, x + h)
    u_x, u_xx = (right - left) / (2 * h), (right - 2 * u + left) / h**2
    assert np.abs(u_t + u * u_x - VISCOSITY * u_xx).max() < 1e-3
    np.testing.assert_allclose(exact(np.zeros(1), x)[0], -np.sin(np.pi * x), atol=1e-12)
    np.testing.assert_allclose(exact(t, np.array([-1.0, 1.0])), 0, atol=1e-12)


def test_the_residual_of_a_travelling_front_vanishes():
    """U = c - 2 nu k tanh(k (x - c t)) is an exact solution too."""
    c, k = 0.3, 5.0
    points = torch.rand(20, 2, dtype=torch.float64)
    front = jet_by_autograd(
        lambda q: c - 2 * VISCOSITY * k * torch.tanh(k * (q[:, 1:] - c * q[:, :1])),
        points,
        torch.tensor([0.0, 1.0]),
    )
    assert residual(jets.View(front, "tx")).abs().max() < 1e-12


def test_a_short_training_is_scored_and_drawn(tmp_path):
    method = {
        "points": 400,
        "boundary_points": 40,
        "boundary_weight": 10,
        "precision": "double",
        "network": {"layers": 2, "width": 12},
        "optimiser": {"name": "gauss_newton", "iterations": 60, "rows": [400, 40, 80]},
    }
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"burgers": {"methods": {"rba": method}}}))
    options = ["--problem", "burgers", "--config", str(tmp_path / "m.yaml")]
    assert main(["validate", *options, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "rba.json").read_text())
    assert result["mean"] < 0.5 * result["history"]["error_u"][0]
    assert result["points"] == {"equation": 400, "initial": 40, "boundary": 80}
    assert (tmp_path / "rba.png").stat().st_size > 5000
    assert "Burgers" in (tmp_path / "report.html").read_text()
