"""Rivals on tracks of a pulsating flow in a round tube, whose solution is exact."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from aiv_rba import api, read_experiment
from aiv_rba.errors import UserError
from aiv_rba.files.case import read_case
from aiv_rba.files.results import Results
from studies.rivals import cfd, constrained, interpolation, pinn, stokes
from studies.rivals import tracks as rows
from studies.rivals.clock import Clock
from studies.rivals.duct import GivenDuct
from studies.rivals.table import write_tables
from tests.synthetic import tube_of, write_tube_experiment

TUBE = tube_of(pulsation=1.0)
NOISE = 0.02


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tube")
    experiment = read_experiment(write_tube_experiment(folder, tracks=150, noise=NOISE))
    api.ingest(experiment, folder / "results")
    return read_case(Results(folder / "results").case)


def compared(case, flow, count=300):
    """Relative errors of velocity and of pressure and wall shear stress where they are asked for.

    Points lie in the middle of the tube, away from its openings.
    """
    rng = np.random.default_rng(4)
    scales, axis = case.scales, case.axis
    low, high = case.corners
    points = rng.uniform(low, high, (20 * count, 3)) * np.where(np.arange(3) == axis, 0.8, 1.0)
    at = points * scales.length + np.array(scales.origin)
    inside = TUBE.radius_of(at) < 0.97 * TUBE.radius
    points, at = points[inside][:count], at[inside][:count]
    t = rng.uniform(0, TUBE.period, count)
    jet = flow.jet(torch.tensor(np.column_stack([t / scales.time, points])), 1).numpy()
    exact = TUBE.velocity(t, at)
    found = jet[0, :, :3] * scales.velocity
    # A point and the section through the middle at the same time: pressure is known up to that.
    middle = points.copy()
    middle[:, axis] = 0
    gauge = flow.jet(torch.tensor(np.column_stack([t / scales.time, middle])), 0).numpy()[0, :, 3]
    s = (at - np.array(TUBE.centre))[:, axis]
    drop = TUBE.pressure(t, s) - TUBE.pressure(t, scales.origin[axis] - TUBE.centre[axis])
    return {
        "velocity": np.linalg.norm(found - exact) / np.linalg.norm(exact),
        "pressure": np.linalg.norm((jet[0, :, 3] - gauge) * scales.pressure - drop)
        / np.linalg.norm(drop),
        "slopes": slopes_miss(flow, points, t / scales.time, jet),
    }


def slopes_miss(flow, points, times, jet, step=1e-5):
    """Largest difference between the velocity's slopes and central differences, relative."""
    numeric = []
    for column in range(4):
        shift = step * np.eye(4)[column]
        at = np.column_stack([times, points])
        beside = [flow.jet(torch.tensor(at + sign * shift), 0).numpy()[0] for sign in (1, -1)]
        numeric.append((beside[0] - beside[1]) / (2 * step))
    numeric = np.array(numeric)[..., :3]
    return np.abs(numeric - jet[1:, :, :3]).max() / np.abs(numeric).max()


def test_interpolation_meets_the_velocity_and_knows_no_pressure(case):
    flow = interpolation.fit(case, interpolation.Smoothness(1.5, 2.0, 10.0))
    found = compared(case, flow)
    assert found["velocity"] < 0.04
    assert found["slopes"] < 1e-5
    assert not flow.pressure(case.wall.points[:5], 0.1).any()


def test_stokes_meets_velocity_and_pressure(case, monkeypatch):
    monkeypatch.setattr(stokes, "FEATURES", 150)
    monkeypatch.setattr(stokes, "POINTS", 600)
    found = compared(case, stokes.fit(case, stokes.Weights(1.5, 0.1)))
    assert found["velocity"] < 0.01
    assert found["pressure"] < 0.02
    assert found["slopes"] < 1e-5


def test_cfd_meets_velocity_and_pressure(case, monkeypatch):
    monkeypatch.setattr(cfd, "SECTION", 1)
    monkeypatch.setattr(cfd, "RINGS", 1)
    monkeypatch.setattr(cfd, "ALONG", 3.0)
    found = compared(case, cfd.fit(case))
    assert found["velocity"] < 0.01
    assert found["pressure"] < 0.02
    assert found["slopes"] < 1e-2


def test_constrained_functions_meet_the_velocity(case):
    pytest.importorskip("spicy_vki")
    found = compared(case, constrained.fit(case, constrained.Basis(150, 0.85, 1.0)))
    assert found["velocity"] < 0.06
    assert found["pressure"] < 0.5
    assert found["slopes"] < 1e-5


def test_network_stops_on_the_clock_and_goes_on(case, tmp_path, monkeypatch):
    pytest.importorskip("deepxde")
    monkeypatch.setattr(pinn, "WIDTH", 16)
    monkeypatch.setattr(pinn, "INTERIOR", 100)
    monkeypatch.setattr(pinn, "ROWS", 200)
    pieces = iter(range(100))
    flow = pinn.fit(case, 3, lambda: next(pieces), tmp_path)
    first = compared(case, flow)
    assert next(pieces) == 4
    assert first["slopes"] < 0.02
    again = pinn.fit(case, 0, lambda: 1.0, tmp_path)
    at = torch.tensor(np.column_stack([np.zeros(5), case.wall.points[:5]]))
    torch.testing.assert_close(again.jet(at), flow.jet(at))
    pieces = iter(range(100))
    assert compared(case, pinn.fit(case, 6, lambda: next(pieces), tmp_path))["velocity"] < 0.3


def test_duct_has_the_wall_of_the_tube_and_its_inverse(case):
    duct = GivenDuct(case)
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-0.7, 0.7, (2, 50))
    y = rng.uniform(*duct.span, 50)
    np.testing.assert_allclose(duct.unbend(*_swapped(duct.bend(a, b, y), y)), [a, b], atol=1e-9)
    radius = TUBE.radius / case.scales.length
    assert duct.width == pytest.approx(2 * radius, rel=1e-3)


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


def test_table_leaves_out_what_a_rival_does_not_infer(tmp_path):
    folder = tmp_path / "rivals" / "tube_a"
    folder.mkdir(parents=True)
    errors = {"velocity": 0.0123, "flow_rate": 0.5}
    outcome = {"errors": errors, "seconds": 12.3, "knows": "wall"}
    (folder / "cfd.json").write_text(json.dumps(outcome))
    table = write_tables(folder.parent, ["aiv_rba", "cfd"])
    assert table.splitlines()[-1] == "| tube_a | cfd | 1.2 |  |  |  |  |  |  | 50 | 12 | wall |"
    assert json.loads((tmp_path / "rivals.json").read_text())["tube_a"]["cfd"] == outcome
