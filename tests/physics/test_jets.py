"""Jets against nested autograd, for every network and embedding (double precision)."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from aiv_rba import jets
from aiv_rba.files.case import WallFunction
from aiv_rba.networks.embedding import BoxDistance, Fourier1D, Fourier2D, Normalise
from aiv_rba.networks.layers import MLP
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.wall_distance import WallDistance
from aiv_rba.settings import FlowNetworkSettings
from tests.exact_flows import jet_by_autograd
from tests.training_case import parabola

NS = torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64)
HELMHOLTZ = torch.tensor([1.0, 1.0], dtype=torch.float64)


def _assert_jet(module, x, second_order):
    jet = module(jets.seed(x))
    for order, slices in ((0, 1), (1, 1 + x.shape[1])):
        assert torch.allclose(module(jets.seed(x, order)), jet[:slices], rtol=1e-12, atol=1e-13)
    expected = jet_by_autograd(lambda q: module(q.unsqueeze(0))[0], x, second_order)
    assert torch.allclose(
        jet, expected, rtol=1e-10, atol=1e-10 * float(expected.detach().abs().max())
    )


@pytest.mark.parametrize(
    ("activation", "architecture", "weight_normalisation", "harmonics"),
    list(itertools.product(["sin", "tanh"], ["mlp", "modified_mlp"], [False, True], [0, 2])),
)
def test_flow_network(activation, architecture, weight_normalisation, harmonics):
    torch.manual_seed(1)
    settings = FlowNetworkSettings(
        architecture=architecture,
        layers=3,
        width=9,
        activation=activation,
        weight_normalisation=weight_normalisation,
        time="input",
        time_harmonics=harmonics,
        no_slip="soft",
        output_scales=(0.1, 1.0, 0.1, 100.0),
    )
    lower = torch.tensor([0.0, -1.0, 0.0, -2.0], dtype=torch.float64)
    network = FlowNetwork(settings, lower, lower + torch.tensor([1.0, 2.0, 6.0, 3.0]))
    x = lower + torch.rand(17, 4, dtype=torch.float64)
    _assert_jet(network, x, NS)
    assert torch.equal(network.jet(x)[0], network.value(x))


@pytest.mark.parametrize("no_slip", ["exact", "soft"])
@pytest.mark.parametrize("harmonics", [0, 2])
def test_flow_network_of_fourier_coefficients(no_slip, harmonics):
    torch.manual_seed(2)
    settings = FlowNetworkSettings(
        layers=2,
        width=9,
        time_harmonics=harmonics,
        no_slip=no_slip,
        output_scales=(0.1, 1.0, 0.1, 100.0),
    )
    lower = torch.tensor([0.0, -1.0, 0.0, -2.0], dtype=torch.float64)
    upper = lower + torch.tensor([0.7, 2.0, 6.0, 4.0], dtype=torch.float64)
    rng = np.random.default_rng(3)
    sources = 5 * rng.normal(size=(7, 3)) + 20
    linear, quadratic = rng.normal(size=3), np.array([[1, 2, -1], [2, -2, 3], [-1, 3, 0.5]])
    function = WallFunction(sources, rng.normal(size=7), 0.2, linear, quadratic, 0.1, 1.0, 0.0)
    network = FlowNetwork(settings, lower, upper, function)
    x = lower + torch.rand(17, 4, dtype=torch.float64)
    network.start_with_ridges(x[:, 1:].__getitem__, len(x), 1.3, seed=0)
    _assert_jet(network, x, NS)
    assert torch.allclose(network.jet(x)[0], network.value(x), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("degree", [0, 1, 2, 25])
def test_flow_network_of_polynomials_of_time(degree):
    torch.manual_seed(2)
    settings = FlowNetworkSettings(
        layers=1, width=5, time_harmonics=degree, no_slip="soft", output_scales=(0.1, 1.0, 0.1, 9.0)
    )
    lower = torch.tensor([0.0, -1.0, 0.0, -2.0], dtype=torch.float64)
    upper = lower + torch.tensor([0.7, 2.0, 6.0, 4.0], dtype=torch.float64)
    network = FlowNetwork(settings, lower, upper, flow="unsteady")
    x = lower + torch.rand(17, 4, dtype=torch.float64)
    x[:2, 0] = torch.tensor([0.0, 0.7])
    _assert_jet(network, x, NS)
    values, rates = network.body.basis(x[:, 0])
    s = 2 / 0.7 * x[:, 0].numpy() - 1
    legendre = np.polynomial.Legendre
    for k in range(degree + 1):
        polynomial = legendre.basis(k)
        np.testing.assert_allclose(values[:, k], polynomial(s), atol=1e-13)
        expected = 2 / 0.7 * polynomial.deriv()(s)
        np.testing.assert_allclose(rates[:, k], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("time", ["coefficients", "input"])
@pytest.mark.parametrize("flow", ["steady", "unsteady"])
def test_time_of_flows_without_a_period(time, flow):
    """A steady flow has no derivative in time; an unsteady one does not come back."""
    settings = FlowNetworkSettings(
        time=time,
        time_harmonics=0 if flow == "steady" else 3,
        no_slip="soft",
        width=8,
        output_scales=(1.0, 1.0, 1.0, 1.0),
    )
    lower, upper = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    network = FlowNetwork(settings, lower, upper, flow=flow)
    x = torch.rand(9, 4, dtype=torch.float64)
    later = x + torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    _assert_jet(network, x, NS)
    same = torch.allclose(network.jet(x), network.jet(later), atol=1e-12)
    assert same == (flow == "steady")
    assert network.jet(x)[1].any() == (flow == "unsteady")


def test_wall_distance_of_a_parabola():
    function = parabola(0.5)
    x = torch.tensor([[0.0, 3.0, 0.0], [0.5, 1.0, 0.0], [0.3, 2.0, 0.4]], dtype=torch.float64)
    jet = WallDistance(function, x.dtype)(x)[..., 0]
    expected = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(jet[0], expected, atol=1e-15)
    slope = torch.stack([-x[:, 0], 0 * x[:, 1], -x[:, 2]]) / 2 / function.unit
    assert torch.allclose(jet[1:4], slope)
    assert torch.allclose(jet[4], torch.full_like(jet[4], -1 / function.unit))


def test_wall_distance_with_sources_at_many_points():
    rng = np.random.default_rng(3)
    sources = 3 + rng.random((5, 3))
    function = replace(parabola(0.5), sources=sources, strengths=rng.standard_normal(5))
    x = torch.tensor(rng.uniform(-1, 1, (1500, 3)))
    wall_distance = WallDistance(function, x.dtype)

    def phi(x):
        squares = x[:, ::2].square().sum(1) / 4
        inverse = 1 / (x[:, None] - torch.tensor(sources)).norm(dim=2)
        value = function.constant - squares + inverse @ torch.tensor(function.strengths)
        return (value / function.unit)[:, None]

    expected = jet_by_autograd(phi, x, torch.ones(3, dtype=x.dtype))
    torch.testing.assert_close(wall_distance(x), expected, rtol=1e-10, atol=1e-9)
    for order, slices in ((0, 1), (1, 4)):
        assert torch.equal(wall_distance(x, order), wall_distance(x)[:slices])


@pytest.mark.parametrize("time", ["coefficients", "input"])
def test_periodic_time_is_periodic(time):
    settings = FlowNetworkSettings(
        time=time, time_harmonics=2, no_slip="soft", width=8, output_scales=(1.0, 1.0, 1.0, 1.0)
    )
    lower = torch.zeros(4, dtype=torch.float64)
    upper = torch.tensor([0.7, 1.0, 1.0, 1.0], dtype=torch.float64)
    network = FlowNetwork(settings, lower, upper)
    x = torch.rand(9, 4, dtype=torch.float64)
    later = x + torch.tensor([0.7, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(network.jet(x), network.jet(later), atol=1e-12)


@pytest.mark.parametrize("truncated", [False, True])
def test_fourier_2d(truncated):
    x = torch.rand(11, 2, dtype=torch.float64)
    embed = Fourier2D((2.0, 1.0), 3, HELMHOLTZ, truncated=truncated)
    _assert_jet(embed, x, HELMHOLTZ)
    columns = embed(x.unsqueeze(0))[0]
    assert columns.shape[1] == (27 if truncated else 36)
    holds_sin_sin = torch.isclose(
        columns, (torch.sin(torch.pi * x[:, 0]) * torch.sin(2 * torch.pi * x[:, 1]))[:, None]
    ).all(0)
    assert bool(holds_sin_sin.any()) is not truncated


@pytest.mark.parametrize("harmonics", [1, 5])
def test_fourier_1d(harmonics):
    x = torch.rand(11, 2, dtype=torch.float64)
    _assert_jet(Fourier1D(1, 2.0, harmonics, HELMHOLTZ), x, HELMHOLTZ)


def test_box_distance():
    torch.manual_seed(0)
    mlp = MLP(2, 1, layers=2, width=7, activation="tanh", second_order=HELMHOLTZ).double()
    normalise = Normalise(torch.tensor([-1.0, 0.0]).double(), torch.tensor([1.0, 3.0]).double())
    distance = BoxDistance(HELMHOLTZ)

    def network(jet):
        coordinates = normalise(jet)
        return distance(mlp(coordinates), coordinates)

    _assert_jet(network, torch.rand(11, 2, dtype=torch.float64), HELMHOLTZ)
    corners = torch.tensor([[-1.0, 1.5], [1.0, 0.2], [0.3, 0.0], [-0.4, 3.0]]).double()
    assert torch.all(network(corners.unsqueeze(0)) == 0)


def test_product_and_composition_of_known_functions():
    """x^2 y and sin(x y) have derivatives that one writes down."""
    x = torch.rand(5, 2, dtype=torch.float64)
    a, b = x.unbind(-1)
    jet = jets.seed(x)
    xy = jets.product(jet[..., :1], jet[..., 1:], HELMHOLTZ)
    square = jets.product(jet[..., :1], xy, HELMHOLTZ)[..., 0]
    assert torch.allclose(square, torch.stack([a * a * b, 2 * a * b, a * a, 2 * b]))
    wave = jets.compose(xy, jets.sin, HELMHOLTZ)[..., 0]
    s, c = torch.sin(a * b), torch.cos(a * b)
    assert torch.allclose(wave, torch.stack([s, b * c, a * c, -(a * a + b * b) * s]))
