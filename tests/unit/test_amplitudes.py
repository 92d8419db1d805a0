"""The fit of the amplitudes to the tracks when a training has ended."""

import math

import pytest
import torch

from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.amplitudes import PRIOR, fit_amplitudes, scalings
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import FlowNetworkSettings, TrainSettings
from tests.training_case import PLAIN, write_training_case

ONE = Ranks(0, 1, torch.device("cpu"))
NETWORKS = {
    "periodic": ("periodic", {"time_harmonics": 2}),
    "unsteady": ("unsteady", {"time_harmonics": 4}),
    "steady": ("steady", {"time_harmonics": 0}),
    "time as input": ("periodic", PLAIN | {"output_scales": "auto"}),
    "weight-normalised": ("periodic", {"time_harmonics": 2, "weight_normalisation": True}),
}


def problem_in(folder, flow="periodic", light_sheet="thin", **network):
    """A problem whose network is as it was drawn; its rows have hardly any noise."""
    write_training_case(folder, flow=flow)
    settings = TrainSettings(
        network=FlowNetworkSettings(width=6, layers=2, **network),
        light_sheet=light_sheet,
        robust_weights=False,
    )
    problem = Velocimetry(settings, read_case(folder / "case.h5"), folder / "points.h5", ONE)
    # Biases are zero at first, which would hide a mistake.
    torch.manual_seed(3)
    problem.network.body.mlp.out.bias.data.normal_()
    return problem


def wrong_by(flow, modes):
    """Changes (k,) of a few percent, and the matrix (modes, modes) that makes them."""
    steps = scalings(flow, modes)
    changes = 0.03 * torch.linspace(1, -0.8, len(steps), dtype=torch.float64)
    return changes, torch.eye(modes).double() + torch.einsum("k,kmn->mn", changes, steps)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_flow_that_is_too_slow_gets_its_amplitudes_back(tmp_path, name):
    flow, network = NETWORKS[name]
    problem = problem_in(tmp_path, flow, **network)
    changes, matrix = wrong_by(flow, problem.network.modes)
    points, right = problem.batches.tracks, problem.network.state_dict()
    right = {key: values.clone() for key, values in right.items()}
    problem.batches.measured = problem.flow.as_measured(points).detach()
    jet = problem.network.jet(points).detach()
    problem.network.scale_in_time(torch.linalg.inv(matrix))
    problem.noise *= 1e-3
    before = problem.flow.as_measured(points).detach()

    found = fit_amplitudes(problem, flow)
    assert found.changes == pytest.approx(changes.tolist(), abs=1e-5)
    torch.testing.assert_close(problem.network.jet(points).detach(), jet, rtol=1e-5, atol=1e-5)
    main = problem.batches.measured[:, problem.main].double()
    before = before[:, problem.main].double()
    assert found.raised == pytest.approx(float(main @ before / before.square().sum()) - 1, abs=1e-5)


def test_the_time_between_rows_is_accounted_for(tmp_path):
    problem = problem_in(tmp_path, time_harmonics=2)
    problem.flow.interval = 0.1
    changes, matrix = wrong_by("periodic", problem.network.modes)
    points = problem.batches.tracks
    problem.batches.measured = problem.flow.as_measured(points).detach()
    problem.network.scale_in_time(torch.linalg.inv(matrix))
    problem.noise *= 1e-3
    assert fit_amplitudes(problem, "periodic").changes == pytest.approx(changes.tolist(), abs=1e-5)


def test_a_factor_and_a_phase_of_a_harmonic():
    """(1 + a) A cos(w t - p - b), to first order in a and b."""
    size, phase, a, b = 0.7, 0.4, 1e-5, 2e-5
    steps = scalings("periodic", 5)
    second = torch.zeros(5).double()
    # The second harmonic's cosine and sine.
    second[2], second[4] = size * math.cos(phase), size * math.sin(phase)
    scaled = second + (a * steps[3] - b * steps[4]) @ second
    expected = [(1 + a) * size * turn(phase + b) for turn in (math.cos, math.sin)]
    assert scaled[[2, 4]].tolist() == pytest.approx(expected, abs=1e-9)
    assert not scaled[[0, 1, 3]].any()


def test_a_harmonic_that_the_tracks_hardly_show_is_left_as_it_is(tmp_path):
    """Against the normal equations of a linear problem, with a prior of 1 / PRIOR^2."""
    problem = problem_in(tmp_path, time_harmonics=2)
    points = problem.batches.tracks
    # A second harmonic that is almost nothing.
    almost = torch.eye(5).double()
    almost[2, 2] = almost[4, 4] = 1e-3
    problem.network.scale_in_time(almost)
    predicted = problem.flow.as_measured(points).detach().double()
    torch.manual_seed(5)
    problem.batches.measured = predicted + 0.1 * torch.randn_like(predicted)
    problem.noise.fill_(0.1)
    steps = scalings("periodic", 5)
    response = problem.flow.scaled_in_time(points, steps).detach().double() / problem.noise[:, None]
    found = fit_amplitudes(problem, "periodic")
    rows = response.flatten(0, 1)
    residual = ((problem.batches.measured - predicted) / problem.noise).flatten()
    known = rows.T @ rows + torch.eye(5) / PRIOR**2
    expected = torch.linalg.solve(known, rows.T @ residual)
    assert found.changes == pytest.approx(expected.tolist(), abs=1e-6)
    assert abs(found.changes[3]) < 1e-3 < abs(found.changes[0])


@pytest.mark.parametrize("factor", [0.5, float("inf")])
def test_a_flow_that_is_wrong_in_more_than_its_amplitudes_stays_as_it_is(tmp_path, factor):
    problem = problem_in(tmp_path, time_harmonics=1)
    measured = problem.flow.as_measured(problem.batches.tracks).detach()
    problem.batches.measured = factor * measured
    problem.noise *= 1e-3
    before = {name: value.clone() for name, value in problem.network.state_dict().items()}
    found = fit_amplitudes(problem, "periodic")
    assert (found.changes, found.raised) == ([0.0, 0.0, 0.0], 0.0)
    for name, values in problem.network.state_dict().items():
        torch.testing.assert_close(values, before[name])


@pytest.mark.parametrize("light_sheet", ["auto", "thin"])
def test_unknown_depths_of_particles_are_no_reason_to_change_the_flow(tmp_path, light_sheet):
    """Every particle is off by its own depth, in a flow that is three percent too slow."""
    problem = problem_in(tmp_path, light_sheet=light_sheet, time_harmonics=1)
    points, track, spread = problem.batches.tracks, problem.batches.track, 0.05
    torch.manual_seed(11)
    moved = points.clone()
    moved[:, 3] += spread * torch.randn(problem.batches.tracks_in_all)[track]
    problem.batches.measured = problem.flow.as_measured(moved).detach()
    changes, matrix = wrong_by("periodic", problem.network.modes)
    problem.network.scale_in_time(torch.linalg.inv(matrix))
    problem.noise.fill_(1e-3)
    if light_sheet == "auto":
        problem.state["depth_spread"].fill_(spread)
    found = fit_amplitudes(problem, "periodic")
    off = max(abs(a - b) for a, b in zip(found.changes, changes.tolist(), strict=True))
    # Of nine tracks; depths that are taken for known make it three times as wrong as it was.
    assert off < 0.02 if light_sheet == "auto" else off > 0.05
