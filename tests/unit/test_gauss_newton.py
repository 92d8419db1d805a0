"""Gauss-Newton: its Jacobian and Gram matrix against automatic differentiation."""

from functools import partial

import pytest
import torch
from scipy.linalg import LinAlgError

from aiv_rba.errors import NotFinite
from aiv_rba.networks.layers import Linear
from aiv_rba.optimisers.gauss_newton import PROBE, GaussNewton, _second_derivative, shuffled
from aiv_rba.optimisers.jacobian import DenseJacobian, KroneckerJacobian, Linearised
from aiv_rba.optimisers.least_squares import Curvature, ParameterSpace, SampleSpace
from aiv_rba.optimisers.normal_equations import add_upper_gram, factored
from aiv_rba.problem import Batch, Residuals
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.residuals import FlowResiduals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import FlowNetworkSettings, GaussNewtonSettings
from tests.training_case import parabola

ONE = Ranks(0, 1, torch.device("cpu"))
TERMS = {"data": ("data",)}
CANYON = {"canyon": ("slope", "floor")}


@pytest.mark.parametrize("time", ["coefficients", "input"])
def test_jacobian_of_every_block_is_that_of_automatic_differentiation(time):
    torch.manual_seed(0)
    settings = FlowNetworkSettings(
        architecture="modified_mlp",
        layers=2,
        width=5,
        time=time,
        time_harmonics=1,
        no_slip="exact" if time == "coefficients" else "soft",
        output_scales=(0.1, 1.0, 0.1, 10.0),
    )
    lower = -torch.ones(4, dtype=torch.float64)
    network = FlowNetwork(settings, lower, -lower, parabola(1.0))
    module = FlowResiduals(network, 1.0, 1.0, [0, 1], soft_wall=True)
    layers = [m for m in module.modules() if isinstance(m, Linear)]
    parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
    points = torch.rand(6, 4, dtype=torch.float64)
    measured = torch.rand(6, 2, dtype=torch.float64)
    kinds = []
    for evaluate in (
        lambda: module.no_slip(points),
        lambda: module.tracks(points, measured),
        lambda: module.navier_stokes(points),
    ):
        expected = evaluate()
        linearised = Linearised(evaluate, layers)
        assert torch.equal(linearised.residuals, expected)
        factors = torch.rand_like(expected)
        found = linearised.jacobian(factors)
        j = torch.stack(
            [
                torch.cat(
                    [
                        part.flatten()
                        for part in torch.autograd.grad(
                            row, parameters, retain_graph=True, materialize_grads=True
                        )
                    ]
                )
                for row in (factors * expected).flatten()
            ]
        )
        close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-10)
        close(found.dense(), j)
        rows, step = torch.rand_like(expected), torch.rand_like(j[0])
        close(found.times(step), (j @ step).view_as(expected))
        close(found.transposed_times(rows), j.T @ rows.flatten())
        upper = torch.ones_like(j.T @ j)
        found.add_gram(upper)
        close(torch.triu(upper), torch.triu(1 + j.T @ j))
        kinds.append(type(found))
    # Where no derivative is needed there is one slice.
    assert kinds == [KroneckerJacobian, KroneckerJacobian, DenseJacobian]


def test_normal_equations_are_solved_from_the_upper_triangle():
    j, right = torch.randn(20, 11, dtype=torch.float64), torch.randn(11, dtype=torch.float64)
    gram = torch.zeros(11, 11, dtype=torch.float64)
    add_upper_gram(j, gram)
    torch.testing.assert_close(torch.triu(gram), torch.triu(j.T @ j))
    kernel = torch.ones(20, 20, dtype=torch.float64)
    add_upper_gram(j.T, kernel)
    torch.testing.assert_close(torch.triu(kernel), torch.triu(1 + j @ j.T))
    assert torch.allclose(factored(gram.clone())(right), torch.linalg.solve(j.T @ j, right))
    with pytest.raises(LinAlgError):
        factored(-gram)


class Squares(Residuals):
    """(w x + b)^2 - y, quadratic in its parameters."""

    terms = TERMS
    governing = "data"

    def data(self, x, y):
        return self.network(x.unsqueeze(0))[0] ** 2 - y


def problem(**settings):
    torch.manual_seed(0)
    x = torch.rand(12, 2, dtype=torch.float64)
    y = (x @ torch.tensor([[2.0], [1.0]], dtype=torch.float64) + 3) ** 2
    batch = Batch(0, {"data": (x, y)}, {"data": torch.arange(12)}, {"data": 12})
    settings = GaussNewtonSettings(
        rows=(12,), curvature_memory=None, smallest_damping=1e-14, **settings
    )
    return batch, GaussNewton(settings, Squares(Linear(2, 1).double()), ONE, 0)


def weigh(batch, e):
    return {"data": torch.linspace(0.5, 1, 12, dtype=torch.float64).unsqueeze(1)}


def test_second_derivative_of_quadratic_residuals_is_exact():
    batch, optimiser = problem()
    x, y = batch.inputs["data"]
    weights = weigh(batch, {})
    start = torch.nn.utils.parameters_to_vector(optimiser.parameters).detach()
    velocity = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    linearised = Linearised(lambda: optimiser.residuals.data(x, y), optimiser.layers)
    rows = {"data": weights["data"] * linearised.residuals}
    jacobians = {"data": linearised.jacobian(weights["data"])}
    optimiser._move(start + PROBE * velocity)
    ahead = optimiser._rows(batch, weights)
    found = _second_derivative(rows, ahead, jacobians, velocity)["data"]
    along = torch.cat([x, torch.ones(12, 1, dtype=torch.float64)], dim=1) @ velocity
    torch.testing.assert_close(found, weights["data"] * 2 * along.unsqueeze(1) ** 2)


@pytest.mark.parametrize("levenberg", [False, True])
@pytest.mark.parametrize("rows", [7, 30])
def test_both_spaces_solve_the_damped_least_squares_problem(levenberg, rows):
    torch.manual_seed(0)
    a, b = torch.randn(rows, 1, 12).double(), 9 * torch.randn(2, 2, 12).double()
    jacobians = {"a": DenseJacobian(a), "b": DenseJacobian(b)}
    right = {"a": torch.randn(rows, 1).double(), "b": torch.randn(2, 2).double()}
    curvature = Curvature(torch.zeros(12).double(), None, 0, ONE)
    curvature.update(jacobians, 3)
    parameter_space = ParameterSpace(curvature, jacobians, ONE, levenberg=levenberg)
    j = torch.cat([a.flatten(0, 1), b.flatten(0, 1)])
    squares = j.square().sum(0)
    unit = squares.mean().expand(12) if levenberg else squares
    # |J x - rows|^2 + damping |x|_unit^2 as one problem, by another method.
    design = torch.cat([j, (0.3 * unit).sqrt().diag()])
    values = torch.cat([right["a"].flatten(), right["b"].flatten(), torch.zeros(12).double()])
    expected = torch.linalg.lstsq(design, values.unsqueeze(1)).solution[:, 0]
    for system in (parameter_space, SampleSpace(jacobians, ONE, levenberg=levenberg)):
        torch.testing.assert_close(system.unit, unit)
        torch.testing.assert_close(system.damped(0.3)(right), expected)


def test_the_curvature_remembers_from_the_asked_step_on():
    """H_k = k / (k + memory) H_{k-1} + J^T J, with k = 0 up to that step."""
    curvature = Curvature(torch.zeros(3).double(), 4.0, 2, ONE)
    generator = torch.Generator().manual_seed(0)
    expected = torch.zeros(3, 3).double()
    for steps, kept in enumerate([0, 0, 0, 1 / 5, 2 / 6]):
        j = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        curvature.update({"data": DenseJacobian(j[:, None])}, steps)
        expected = kept * expected + j.T @ j
        torch.testing.assert_close(curvature.matrix.upper().triu(), expected.triu())


def test_steps_in_either_space_are_the_same():
    """Two rows more than parameters, and two fewer."""

    def train(extra):
        torch.manual_seed(0)
        x = torch.rand(11, 2, dtype=torch.float64)
        squares = Squares(torch.nn.Sequential(Linear(2, 3), Linear(3, 1)).double())
        # Rows of zero weight change nothing but the space.
        x = torch.cat([x, x[:extra]])
        weights = torch.cat([torch.ones(11, 1), torch.zeros(extra, 1)]).double()
        batch = Batch(
            0,
            {"data": (x, x.sum(1, keepdim=True))},
            {"data": torch.arange(len(x))},
            {"data": len(x)},
        )
        settings = GaussNewtonSettings(
            rows=(99,), curvature_memory=None, momentum=0.5, scaling="levenberg", acceleration=True
        )
        optimiser = GaussNewton(settings, squares, ONE, 0)
        for _ in range(6):
            order = optimiser._draw(batch)["data"]
            optimiser.step(batch, lambda batch, e, order=order: {"data": weights[order]})
        in_samples = "curvature" not in vars(optimiser)
        return in_samples, torch.nn.utils.parameters_to_vector(optimiser.parameters)

    (few, sample), (many, parameter) = train(0), train(4)
    assert few
    assert not many
    torch.testing.assert_close(sample, parameter, rtol=1e-8, atol=1e-8)


def test_momentum_holds_the_step_to_a_part_of_the_last_one():
    """With much damping the step is that part, but for the gradient's share."""
    batch, optimiser = problem(momentum=0.5)
    optimiser.damping = 1e12
    start = optimiser._position()
    optimiser.step(batch, weigh)
    # Downhill, and small enough that half of it more is downhill too.
    first = optimiser._position() - start
    optimiser.last_step = 1e6 * first
    optimiser.step(batch, weigh)
    second = optimiser._position() - start - first
    torch.testing.assert_close(second, 5e5 * first, rtol=1e-4, atol=0)


class Canyon(Residuals):
    """Rosenbrock's function of the two biases: 1 - a and 100 (b - a^2)."""

    terms = CANYON
    governing = "canyon"

    def canyon(self, x):
        a, b = self.network(x.unsqueeze(0))[0].split(1, dim=1)
        return torch.cat([1 - a, 100 * (b - a**2)], dim=1)


@pytest.mark.parametrize("scaling", ["marquardt", "levenberg"])
def test_acceleration_follows_a_canyon_in_fewer_steps(scaling):
    def steps(acceleration):
        canyon = Canyon(Linear(1, 2).double())
        with torch.no_grad():
            canyon.network.bias.copy_(torch.tensor([-1.0, 1.0]))
        origin = torch.zeros(1, 1, dtype=torch.float64)
        batch = Batch(0, {"canyon": (origin,)}, {"canyon": torch.arange(1)}, {"canyon": 1})
        settings = GaussNewtonSettings(
            rows=(1,), curvature_memory=None, scaling=scaling, acceleration=acceleration
        )
        optimiser = GaussNewton(settings, canyon, ONE, 0)
        for step in range(1000):
            if (canyon.network.bias - 1).norm() < 1e-8:
                return step
            optimiser.step(batch, lambda batch, e: {"canyon": torch.ones_like(e["canyon"])})
        return None

    assert 2 * steps(True) < steps(False)


def test_a_derivative_that_is_not_finite_is_told():
    batch, optimiser = problem()
    with pytest.raises(NotFinite, match="step 1: found a derivative"):
        optimiser.step(batch, lambda batch, e: {"data": torch.full((12, 1), torch.nan).double()})


def test_rows_are_drawn_anew_after_so_many_steps():
    batch, _ = problem()
    settings = GaussNewtonSettings(rows=(5,), redraw=3)
    optimiser = GaussNewton(settings, Squares(Linear(2, 1).double()), ONE, 0)
    drawn = []
    for step in range(7):
        optimiser.steps = step
        drawn.append(tuple(optimiser._choose(batch).rows["data"].tolist()))
    assert drawn[0] == drawn[1] == drawn[2] != drawn[3] == drawn[4] == drawn[5] != drawn[6]


class Line(Residuals):
    """w x + b - y, linear in its parameters."""

    terms = TERMS
    governing = "data"

    def data(self, x, y):
        return self.network(x.unsqueeze(0))[0] - y


def test_steps_of_a_linear_problem_are_predicted_and_find_its_solution():
    torch.manual_seed(0)
    x, y = torch.rand(12, 2, dtype=torch.float64), torch.rand(12, 1, dtype=torch.float64)
    batch = Batch(0, {"data": (x, y)}, {"data": torch.arange(12)}, {"data": 12})
    settings = GaussNewtonSettings(
        rows=(12,), curvature_memory=None, damping=0.1, damping_update="gain_ratio"
    )
    optimiser = GaussNewton(settings, Line(Linear(2, 1).double()), ONE, 0)
    for step in range(5):
        optimiser.step(batch, lambda batch, e: {"data": torch.ones_like(e["data"])})
        # A gain of one divides the damping by five.
        assert optimiser.damping == pytest.approx(settings.damping / 5 ** (step + 1), rel=1e-3)
    columns = torch.cat([x, torch.ones(12, 1, dtype=torch.float64)], dim=1)
    expected = torch.linalg.lstsq(columns, y).solution[:, 0]
    found = torch.nn.utils.parameters_to_vector(optimiser.parameters)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("gain", [0.01, 0.5, 1.0, 2.0])
def test_damping_falls_with_the_gain(gain):
    optimiser = problem(damping_update="gain_ratio")[1]
    before = optimiser.damping
    optimiser._lower_damping(gain)
    assert optimiser.damping == pytest.approx(
        before * {0.01: 1 + 0.98**3, 0.5: 1.0, 1.0: 0.2, 2.0: 0.2}[gain]
    )


def test_more_rows_are_drawn_where_residuals_are_large():
    x = torch.linspace(0, 1, 1000, dtype=torch.float64).unsqueeze(1)
    line = Line(Linear(1, 1).double())
    # Residuals one, and nine in the last fifth.
    y = line.network(x.unsqueeze(0))[0].detach() - torch.where(x > 0.8, 9.0, 1.0)
    batch = Batch(0, {"data": (x, y)}, {"data": torch.arange(1000)}, {"data": 1000})
    for adaptive, share in ((0.0, 0.2), (0.5, 0.45), (0.999, 9 / 13)):
        settings = GaussNewtonSettings(rows=(100,), importance_sampling=adaptive)
        optimiser = GaussNewton(settings, line, ONE, 0)
        found = []
        for step in range(20):
            optimiser.steps = step
            rows = optimiser._choose(batch).rows["data"]
            assert len(set(rows.tolist())) == 100
            found.append(float((rows >= 800).double().mean()))
        # Without replacement the shares fall a little short of the rates.
        assert sum(found) / 20 == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(("count", "limit"), [(14, 4), (12, 4), (5, 5), (3, 9), (1000, 300)])
def test_draws_go_through_all_rows(count, limit):
    """The first rows of one draw after the other are a permutation of all rows, and so the next."""
    draws = -(-3 * count // min(limit, count))
    rows = torch.cat([shuffled(draw, count, limit, seed=7) for draw in range(draws)])
    orders = rows[: 3 * count].view(3, count)
    for order in orders:
        assert order.sort().values.tolist() == list(range(count))
    if count > 9:
        assert not torch.equal(orders[0], orders[1])
        assert not torch.equal(orders[0], shuffled(0, count, count, seed=8))
