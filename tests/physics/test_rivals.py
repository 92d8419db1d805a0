"""Rivals on tracks of a pulsating flow in a round tube, whose solution is exact."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aiv_rba import api, read_experiment
from aiv_rba.errors import UserError
from aiv_rba.files.case import read_case
from aiv_rba.files.results import Results
from aiv_rba.statistics import relative_l2
from aiv_rba.twin.lobes import Lobe
from aiv_rba.twin.mesh import Discretisation, duct_mesh
from studies.rivals import cfd, constrained, interpolation, pinn, stokes
from studies.rivals import tracks as rows
from studies.rivals.clock import Clock
from studies.rivals.duct import GivenDuct, line_of_sight
from studies.rivals.errors import errors
from studies.rivals.table import write_tables
from tests.exact import ExactFlow, case_of, swirling, write_truth
from tests.synthetic import tube_of, write_tube_experiment

TUBE = tube_of(pulsation=1.0)
NOISE = 0.02


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tube")
    experiment = read_experiment(write_tube_experiment(folder, tracks=400, noise=NOISE))
    api.ingest(experiment, folder / "results")
    return read_case(Results(folder / "results").case)


def compared(case, flow, count=300):
    """Relative errors of velocity, pressure and shear on the wall away from the openings."""
    rng = np.random.default_rng(4)
    scales, axis = case.scales, case.axis
    tube = (1 - 2 * rng.uniform(size=(20 * count, 3))) * [1, 0.8, 1] * case.corners[1]
    at = tube * scales.length + np.array(scales.origin)
    inside = TUBE.radius_of(at) < 0.97 * TUBE.radius
    points, at = tube[inside][:count], at[inside][:count]
    t = rng.uniform(0, TUBE.period, count)
    jet = jet_at(flow, points, t / scales.time)
    # Pressure is known up to a constant at every time: that of the section through the middle.
    middle = np.where(np.arange(3) == axis, 0, points)
    gauge = jet_at(flow, middle, t / scales.time)[0, :, 3]
    start = scales.origin[axis] - TUBE.centre[axis]
    s = points[:, axis] * scales.length + start
    drop = TUBE.pressure(t, s) - TUBE.pressure(t, start)
    # The slope from the wall inwards.
    outwards = points * np.where(np.arange(3) == axis, 0, 1)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    radius = 0.999 * TUBE.radius
    on_wall = points * (np.arange(3) == axis) + radius / scales.length * outwards
    shear = np.sum(jet_at(flow, on_wall, t / scales.time)[2:, :, axis].T * outwards, axis=1)
    step = 1e-4 * TUBE.radius
    difference = TUBE.axial_velocity(t, radius + step) - TUBE.axial_velocity(t, radius - step)
    return {
        "velocity": relative_l2(jet[0, :, :3] * scales.velocity, TUBE.velocity(t, at)),
        "pressure": relative_l2((jet[0, :, 3] - gauge) * scales.pressure, drop),
        "shear": relative_l2(shear * scales.shear_rate, difference / (2 * step)),
    }


def jet_at(flow, points, times):
    """Jet (5, N, 4) at nondimensional points and times."""
    return flow.jet(torch.tensor(np.column_stack([times, points])), 1).numpy()


def slopes_miss(case, flow, step):
    """Largest difference of the slopes of the velocity from central differences, relative."""
    rng = np.random.default_rng(5)
    points = rng.uniform(-0.3, 0.3, (40, 4))
    numeric = []
    for shift in step * np.eye(4):
        after, before = (
            jet_at(flow, p[:, 1:], p[:, 0])[0] for p in (points + shift, points - shift)
        )
        numeric.append((after - before) / (2 * step))
    numeric, jet = np.array(numeric)[..., :3], jet_at(flow, points[:, 1:], points[:, 0])
    return np.abs(numeric - jet[1:, :, :3]).max() / np.abs(numeric).max()


def test_interpolation_meets_the_velocity_and_knows_no_pressure(case):
    flow = interpolation.fit(case, interpolation.Smoothness(1.5, 2.0, 10.0))
    found = compared(case, flow)
    assert found["velocity"] < 0.03
    assert found["shear"] < 0.06
    assert slopes_miss(case, flow, 1e-5) < 1e-6
    assert not flow.pressure(case.wall.points[:5], 0.1).any()


def test_stokes_meets_all_fields(case, monkeypatch):
    monkeypatch.setattr(stokes, "FEATURES", 150)
    monkeypatch.setattr(stokes, "POINTS", 600)
    flow = stokes.fit(case, stokes.Weights(1.5, 0.1))
    found = compared(case, flow)
    assert found["velocity"] < 0.01
    assert found["pressure"] < 0.02
    assert found["shear"] < 0.01
    assert slopes_miss(case, flow, 1e-5) < 1e-6


def test_cfd_meets_all_fields(case, monkeypatch):
    monkeypatch.setattr(cfd, "SECTION", 1)
    monkeypatch.setattr(cfd, "RINGS", 1)
    monkeypatch.setattr(cfd, "ALONG", 3.0)
    found = compared(case, cfd.fit(case))
    assert found["velocity"] < 0.015
    assert found["pressure"] < 0.02
    assert found["shear"] < 0.08


def test_constrained_functions_meet_all_fields(case):
    pytest.importorskip("spicy_vki")
    flow = constrained.fit(case, constrained.Basis(60, 0.95, 1.0, 1e9))
    found = compared(case, flow)
    assert found["velocity"] < 0.04
    assert found["pressure"] < 0.07
    assert found["shear"] < 0.15
    assert slopes_miss(case, flow, 1e-5) < 1e-5


def test_network_stops_on_the_clock_and_goes_on(case, tmp_path, monkeypatch):
    pytest.importorskip("deepxde")
    monkeypatch.setattr(pinn, "WIDTH", 16)
    monkeypatch.setattr(pinn, "INTERIOR", 50)
    monkeypatch.setattr(pinn, "ROWS", 100)
    monkeypatch.setattr(pinn, "PIECE", 40)
    pieces = iter(range(100))
    flow = pinn.fit(case, 1, lambda: next(pieces), tmp_path)
    assert next(pieces) == 2
    again = pinn.fit(case, 0, lambda: 1.0, tmp_path)
    at = torch.tensor(np.column_stack([np.zeros(5), case.wall.points[:5]]))
    torch.testing.assert_close(again.jet(at), flow.jet(at))
    # The network is of single precision.
    assert slopes_miss(case, flow, 5e-3) < 0.02
    pieces = iter(range(100))
    longer = pinn.fit(case, 4, lambda: next(pieces), tmp_path)
    assert compared(case, longer)["velocity"] < compared(case, flow)["velocity"]


def test_duct_has_the_wall_of_the_tube_and_its_inverse(case):
    duct = GivenDuct(case)
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-0.7, 0.7, (2, 50))
    y = rng.uniform(*duct.span, 50)
    np.testing.assert_allclose(duct.unbend(*_swapped(duct.bend(a, b, y), y)), [a, b], atol=1e-9)
    radius = TUBE.radius / case.scales.length
    assert duct.width == pytest.approx(2 * radius, rel=1e-3)


def test_elements_follow_the_bundled_lobe(tmp_path):
    n = pytest.importorskip("ngsolve")
    experiment = read_experiment(Path("workflow/config/perivascular.yaml"))
    api.ingest(experiment, tmp_path)
    duct = GivenDuct(read_case(Results(tmp_path).case))
    mesh, displacement = duct_mesh(duct, duct.span, Discretisation(axial=30), "open")
    rule = n.IntegrationRule(n.HEX, 2 * displacement.space.globalorder)
    sizes = n.Det(n.specialcf.JacobianMatrix(3))(mesh.MapToAllElements(rule, n.VOL))
    assert sizes.min() > 0
    assert n.Integrate(1, mesh) == pytest.approx(
        duct.section * (duct.span[1] - duct.span[0]), rel=5e-3
    )


def test_a_section_is_seen_from_a_place_that_faces_all_of_its_outline():
    lobe, y = Lobe(), np.linspace(0, 12, 25)
    theta, heights = np.meshgrid(np.linspace(0, 2 * np.pi, 192, endpoint=False), y)
    outlines = lobe.place(np.ones_like(theta), theta, heights)[..., [0, 2]]
    outlines = outlines if area(outlines[0]) > 0 else outlines[:, ::-1]
    line = line_of_sight(outlines, y, y, 1.0)
    side = np.roll(outlines, -1, axis=1) - np.roll(outlines, 1, axis=1)
    ray = outlines - line[:, None]
    facing = ray[..., 0] * side[..., 1] - ray[..., 1] * side[..., 0]
    facing /= np.linalg.norm(side, axis=2) * np.linalg.norm(ray, axis=2)
    assert facing.min() > 0.3
    # From the centroid some of it is hardly seen, or not at all.
    ray = outlines - outlines.mean(axis=1, keepdims=True)
    facing = ray[..., 0] * side[..., 1] - ray[..., 1] * side[..., 0]
    assert facing.min() < 0


def area(outline):
    x, z = outline.T
    return np.sum(x * np.roll(z, -1) - np.roll(x, -1) * z) / 2


def test_a_section_that_is_nowhere_seen_whole_is_refused():
    angle = np.linspace(-2.8, 2.8, 80)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    horseshoe = np.concatenate([1.2 * arc, 0.8 * arc[::-1]])
    with pytest.raises(UserError, match=r"section at 0.5 that is not seen whole"):
        line_of_sight(horseshoe[None], np.array([0.5]), np.array([0.5]), 1.0)


def _swapped(section, y):
    x, z = section
    return x, y, z


def test_a_general_lumen_is_refused(case):
    with pytest.raises(UserError, match="expected a single one"):
        GivenDuct(replace(case, lumen="general", openings=()))


def test_mismatched_rows_lose_their_weight(case):
    some = rows.training_rows(case)
    some.measured[::20] *= -1
    seen = []
    exact = some.measured.copy()
    exact[::20] *= -1

    def solve(weights):
        seen.append(weights[:, 0] * some.noise[:, 0] ** 2)
        return exact

    rows.robust(some, solve)
    assert seen[0].min() == 1
    wrong = np.abs(some.measured[::20] - exact[::20]).max(axis=1) > 1
    assert seen[-1][::20][wrong].max() < 0.01
    assert np.delete(seen[-1], np.arange(0, len(exact), 20)).mean() > 0.9


def test_the_clock_goes_on_after_an_interruption(tmp_path):
    path = tmp_path / "seconds.json"
    path.write_text("100.0\n")
    with Clock(path) as clock:
        assert clock() >= 100
    assert float(path.read_text()) >= 100


def test_errors_of_pressure_drop_and_resistance(tmp_path):
    """The exact flow, but for a pressure that is 10 percent too large."""
    write_truth(tmp_path / "truth.h5")
    case = case_of(swirling)
    larger = torch.tensor([1.0, 1.0, 1.0, 1.1], dtype=torch.float64)
    flow = ExactFlow(lambda q: larger * swirling(q))
    found = errors(tmp_path / "truth.h5", case, flow)
    assert found["velocity"] == pytest.approx(0, abs=1e-6)
    assert found["vorticity"] == pytest.approx(0, abs=1e-6)
    assert found["pressure_drop"] == pytest.approx(0.1, rel=1e-5)
    # The wall of the case has 16 corners, so that its flow rate is too small.
    assert found["resistance"] == pytest.approx(1.1 / (1 - found["flow_rate"]) - 1, rel=1e-5)


def test_table_has_the_most_accurate_first_and_leaves_out_what_a_rival_does_not_infer(tmp_path):
    folder = tmp_path / "rivals" / "tube_a"
    folder.mkdir(parents=True)
    errors = {"velocity": 0.0123, "flow_rate": 0.5}
    outcome = {"errors": errors, "seconds": 12.3, "knows": "wall"}
    (folder / "cfd.json").write_text(json.dumps(outcome))
    spicy = {"velocity": 0.00996, "w": 1.5}
    (folder / "spicy.json").write_text(json.dumps(outcome | {"errors": spicy}))
    table = write_tables(folder.parent, ["aiv_rba", "cfd", "spicy"])
    head, _, first, last = (line.strip("| ").split(" | ") for line in table.splitlines())
    assert first[:6] == ["tube_a", "`spicy`", "1", "", "", "150"]
    found = dict(zip(head, last, strict=True))
    assert {name: text for name, text in found.items() if text} == {
        "twin": "tube_a",
        "method": "`cfd`",
        "velocity": "1.2",
        "flow rate": "50",
        "seconds": "12",
        "must know": "wall",
    }
    assert {"vorticity", "pressure drop", "resistance"} < set(head)
    assert json.loads((tmp_path / "rivals.json").read_text())["tube_a"]["cfd"] == outcome
