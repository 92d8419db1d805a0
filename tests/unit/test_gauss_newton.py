"""Gauss-Newton: its Jacobian and Gram matrix against automatic differentiation."""

import pytest
import torch
from scipy.linalg import LinAlgError

from aiv_rba import config
from aiv_rba.nn.flow import FlowNetwork
from aiv_rba.nn.layers import Linear
from aiv_rba.train.gauss_newton import jacobian, solve_upper, upper_gram
from aiv_rba.train.velocimetry import FlowResiduals


def test_jacobian_of_every_block_is_that_of_automatic_differentiation():
    torch.manual_seed(0)
    settings = config.Network(architecture="modified_mlp", layers=2, width=5, time_harmonics=1)
    lower = -torch.ones(4, dtype=torch.float64)
    network = FlowNetwork(settings, lower, -lower)
    module = FlowResiduals(network, 1.0, 1.0, [0, 1])
    layers = [m for m in module.modules() if isinstance(m, Linear)]
    parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
    points = torch.rand(6, 4, dtype=torch.float64)
    measured = torch.rand(6, 2, dtype=torch.float64)
    for evaluate in (
        lambda: module.no_slip(points),
        lambda: module.tracks(points, measured),
        lambda: module.navier_stokes(points),
    ):
        e, j = jacobian(evaluate, layers)
        expected = evaluate()
        assert torch.equal(e, expected)
        for row in range(e.shape[0]):
            for term in range(e.shape[1]):
                gradient = torch.autograd.grad(
                    expected[row, term], parameters, retain_graph=True, materialize_grads=True
                )
                flat = torch.cat([part.flatten() for part in gradient])
                assert torch.allclose(j[row, term], flat, rtol=1e-10, atol=1e-12)


def test_normal_equations_are_solved_from_the_upper_triangle():
    j, right = torch.randn(20, 11, dtype=torch.float64), torch.randn(11, dtype=torch.float64)
    gram = upper_gram(j)
    assert torch.allclose(torch.triu(gram), torch.triu(j.T @ j))
    assert torch.allclose(solve_upper(gram.clone(), right), torch.linalg.solve(j.T @ j, right))
    with pytest.raises(LinAlgError):
        solve_upper(-gram, right)
