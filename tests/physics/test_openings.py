"""Flow rates and mean pressures of openings, of exact flows."""

import numpy as np
import pytest
import pyvista as pv
import torch

from aiv_rba.errors import UserError
from aiv_rba.fields.flow import Flow
from aiv_rba.fields.openings import MainFlow, Quadrature
from aiv_rba.files.case import Wall
from tests.exact import SCALES, ExactFlow, model_of, value
from tests.general import GRADIENT, converging, general_case, slanted, slanted_flow_rate, stokes
from tests.unit.test_score import Off
from tests.walls import SLANTED_LENGTH, Shape, bifurcation, box_with_sphere, slanted_tube


def rates_of(shape, function, largest, order=3):
    """Nondimensional flow rates out of the openings of a shape."""
    quadrature = Quadrature.of(shape.openings, largest, order)
    points = np.insert(quadrature.points, 0, 0.0, axis=1)
    return quadrature.flow_rates(value(function, points)[:, :3], SCALES) / SCALES.length**2


def test_poiseuille_flow_through_a_slanted_tube():
    """Q = pi a^2 U / 2 in at one end and out at the other; the pressure falls along the tube."""
    case = general_case(slanted_tube(around=96), slanted)
    table = Flow(case, model_of(ExactFlow(slanted)), layers=4).hydraulics([0.0, 0.1])
    pulse = 1 + 0.5 * np.cos(2 * np.pi * np.array([0.0, 0.5]))
    expected = pulse * slanted_flow_rate()
    # The ends are polygons, next to whose sides the flow is slow: 2e-6 of it is cut off.
    np.testing.assert_allclose(table.flow_rate_m3_s, expected, rtol=1e-5)
    np.testing.assert_allclose(table.flow_rate_end_m3_s, expected, rtol=1e-5)
    np.testing.assert_allclose(table.flow_rate_start_m3_s, -expected, rtol=1e-5)
    np.testing.assert_allclose(table.mass_imbalance, 0, atol=1e-12)
    drop = pulse * GRADIENT * SLANTED_LENGTH * SCALES.pressure
    np.testing.assert_allclose(table.pressure_drop_pa, drop, rtol=1e-9)
    np.testing.assert_allclose(table.pressure_start_pa, drop / 2, rtol=1e-2)
    resistance = drop[0] / expected[0]
    np.testing.assert_allclose(table.hydraulic_resistance_pa_s_m3, resistance, rtol=1e-5)


def test_creeping_flow_round_a_body_takes_from_the_sides_what_it_lacks():
    """No fluid is lost: the stream is slowed at the inlet and comes in by the sides."""
    rates = rates_of(box_with_sphere(), stokes, 0.5)
    assert rates[0] < 0 < rates[1]
    assert np.all(rates[2:] < 0)
    assert abs(rates.sum()) < 1e-8 * rates[1]


def test_quadrature_converges_on_large_triangles():
    """Six faces of two triangles each; a coarse rule has the error of its order."""
    shape = box_with_sphere()
    exact = rates_of(shape, stokes, 0.3, 5)
    errors = [
        np.abs(rates_of(shape, stokes, largest, 2) - exact).max() for largest in (4.0, 2.0, 1.0)
    ]
    assert np.all(np.log2(np.divide(errors[:-1], errors[1:])) > 2.5), errors


def test_openings_of_branches_balance_what_passes_the_wall():
    """The flux of a linear field through a triangle is that at its middle times its area."""
    shape = bifurcation()
    a, b, c = shape.wall.points[shape.wall.triangles].transpose(1, 0, 2)
    middles = np.insert((a + b + c) / 3, 0, 0.0, axis=1)
    through_wall = np.sum(value(converging, middles)[:, :3] * np.cross(b - a, c - a) / 2)
    rates = rates_of(shape, converging, 0.5)
    assert np.abs(rates).min() > 1
    assert rates.sum() == pytest.approx(-through_wall, rel=1e-6)


@pytest.mark.parametrize(
    ("rates", "shares", "throughput"),
    [
        # One parent, two children.
        ([[-3, 1, 2], [-6, 2, 4]], [-1, 1 / 3, 2 / 3], [3, 6]),
        # A flow that is reversed for a time is negative then.
        ([[-3, 3], [1, -1]], [-1, 1], [3, -1]),
        # More comes in than goes out: half the sum of the magnitudes.
        ([[-4, 2, 1]], [-8 / 7, 4 / 7, 2 / 7], [3.5]),
        ([[0, 0]], [0, 0], [0]),
        (np.empty((2, 0)), [], [0, 0]),
    ],
)
def test_main_flow_is_from_the_openings_that_take_in_to_those_that_give_out(
    rates, shares, throughput
):
    rates = np.array(rates, dtype=float)
    main = MainFlow.of(rates)
    np.testing.assert_allclose(main.shares, shares)
    np.testing.assert_allclose(main.throughput(rates), throughput)


def test_one_opening_has_no_pressure_drop():
    main = MainFlow.of(np.array([[1.0]]))
    assert np.isnan(main.drop(np.array([[2.0]]))).all()


def test_a_closed_vessel_has_no_flow_rate_and_no_pressure_drop():
    """Rigid rotation in a sphere."""
    sphere = pv.Sphere(radius=1.0, theta_resolution=16, phi_resolution=16)
    points = sphere.points.astype(float)
    triangles = sphere.regular_faces.astype(np.int64)
    wall = Wall(points, points, triangles, np.zeros(len(triangles), dtype=np.int64))

    def rotating(q):
        _, x, y, _ = q.unbind(-1)
        return torch.stack([-y, x, 0 * x, 0 * x], dim=-1)

    case = general_case(Shape(wall, ()), rotating)
    flow = Flow(case, model_of(ExactFlow(rotating)), Off(), layers=3)
    table = flow.hydraulics([0.0])
    assert table.flow_rate_m3_s[0] == table.flow_rate_std_m3_s[0] == 0
    assert table[["pressure_drop_pa", "hydraulic_resistance_pa_s_m3"]].isna().all(axis=None)
    assert flow.volume(0.0).n_points > 100


def test_a_flow_tells_the_rate_of_an_opening_by_its_name():
    case = general_case(slanted_tube(), slanted)
    flow = Flow(case, model_of(ExactFlow(slanted)), layers=3)
    time = 0.5 * SCALES.period
    rate = flow.flow_rate(time)
    assert rate == pytest.approx(0.5 * slanted_flow_rate(), rel=1e-3)
    assert flow.flow_rate(time, "end") == pytest.approx(rate)
    assert flow.flow_rate(time, "start") == pytest.approx(-rate)
    for wrong in ("middle", 0.001):
        with pytest.raises(UserError, match=f"found {wrong!r}, expected an opening: start, end"):
            flow.flow_rate(time, wrong)


def test_a_flow_that_leaks_has_an_imbalance():
    """Uniform divergence e in a volume V sends e V out, of which the openings let out a part."""

    def leaking(q):
        along = q[:, 1:].sum(dim=1, keepdim=True)
        return slanted(q) + torch.cat([0.01 * along.expand(-1, 3), 0 * along], dim=1)

    case = general_case(slanted_tube(), leaking)
    flow = Flow(case, model_of(ExactFlow(leaking)), layers=3)
    table = flow.hydraulics([0.0])
    rates = table[["flow_rate_start_m3_s", "flow_rate_end_m3_s"]].to_numpy()
    main = np.abs(rates).sum() / 2
    assert table.mass_imbalance[0] == pytest.approx(rates.sum() / main)
    assert table.mass_imbalance[0] > 0.05
