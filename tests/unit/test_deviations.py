"""Samples of what an inferred flow may be off by, and the standard deviations of a flow."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aiv_rba.errors import UserError
from aiv_rba.fields.flow import Flow, example_flow
from aiv_rba.fields.spread import STRESS_FACTOR
from aiv_rba.files.case import read_case
from aiv_rba.networks.layers import Linear
from aiv_rba.problems.fixed_points import ONE_RANK
from aiv_rba.problems.velocimetry import curvature
from aiv_rba.problems.velocimetry.deviations import (
    STRENGTHS,
    CurvatureSamples,
    EnsembleMembers,
    load_deviations,
    save_deviations,
)
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.settings import (
    AdamSettings,
    FlowNetworkSettings,
    GlobalWeights,
    TrainSettings,
    UncertaintySettings,
)
from aiv_rba.stages.train.uncertainty import MOST_PARAMETERS, drawn_anew, method_of
from tests.exact import ExactFlow, case_of, model_of, swirling
from tests.training_case import write_training_case

TIMES = torch.tensor([0.1, 0.7]).double()


@pytest.fixture(scope="module")
def example():
    return example_flow()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small problem, untrained, and its case."""
    folder = tmp_path_factory.mktemp("case")
    write_training_case(folder)
    case = read_case(folder / "case.h5")
    settings = TrainSettings(network=FlowNetworkSettings(layers=2, width=6))
    return Velocimetry(settings, case, folder / "points.h5", ONE_RANK), case


def parameters_of(network):
    return [p for m in network.modules() if isinstance(m, Linear) for p in (m.weight, m.bias)]


def random_samples(network, strengths=None, samples=3):
    generator = torch.Generator().manual_seed(1)
    count = sum(p.numel() for p in parameters_of(network))
    parameters = {
        name: 0.1 * torch.randn(samples, count, generator=generator, dtype=torch.float64)
        for name in ("noise", "wall")
    }
    amplitude = torch.randn(samples, network.modes, generator=generator, dtype=torch.float64)
    return CurvatureSamples(parameters, strengths, amplitude)


def differences(network, positions, samples, number):
    """Central differences of the jets along one sample of parameters and wall."""
    total = sum(samples.parameters.values())[number]
    start = torch.nn.utils.parameters_to_vector(parameters_of(network)).detach()
    strengths = dict(network.named_buffers()).get(STRENGTHS)
    wall = None if samples.strengths is None else strengths.clone()
    jets = []
    for sign in (1e-4, -1e-4):
        torch.nn.utils.vector_to_parameters(start + sign * total, parameters_of(network))
        if wall is not None:
            strengths.copy_(wall + sign * samples.strengths[number])
        with torch.no_grad():
            jets.append(torch.stack(list(network.jets(positions, TIMES.tolist()))))
    torch.nn.utils.vector_to_parameters(start, parameters_of(network))
    if wall is not None:
        strengths.copy_(wall)
    with torch.no_grad():
        if network.has_coefficients:
            larger = network.coefficients(positions) * samples.amplitude[number]
            larger = torch.stack(list(network.series(larger, TIMES.tolist())))
        else:
            flow = torch.stack(list(network.jets(positions, TIMES.tolist())))
            larger = samples.amplitude[number] * flow
    return (jets[0] - jets[1]) / 2e-4 + larger


def assert_close(found, expected):
    size = expected.abs().amax(dim=(0, 2), keepdim=True).clamp_min(1e-12)
    assert float(((found - expected) / size).abs().max()) < 1e-4


def test_deviations_are_derivatives_along_parameters_and_wall(example):
    network = example.model.network
    positions = torch.as_tensor(example.mesh_positions[::2000])
    strengths = 0.01 * torch.randn(3, len(example.case.wall_function.strengths)).double()
    samples = random_samples(network, strengths)
    found = samples.jets(network, positions, TIMES)
    assert found.shape == (3, 2, 6, len(positions), 4)
    for number in range(3):
        assert_close(found[number].double(), differences(network, positions, samples, number))
    parts = sum(samples.jets(network, positions, TIMES, source=s) for s in samples.sources)
    assert_close(parts[0].double(), found[0].double())
    for order, slices in ((0, 1), (1, 5)):
        lower = samples.jets(network, positions, TIMES, order=order)
        torch.testing.assert_close(lower, found[:, :, :slices], rtol=1e-3, atol=1e-5)


def test_deviations_of_a_network_of_time_and_position():
    settings = FlowNetworkSettings(
        time="input",
        no_slip="soft",
        time_harmonics=1,
        layers=2,
        width=5,
        output_scales=(0.1, 1.0, 0.1, 10.0),
    )
    torch.manual_seed(3)
    network = FlowNetwork(settings, -torch.ones(4).double(), torch.ones(4).double())
    samples = random_samples(network)
    positions = torch.rand(5, 3).double() - 0.5
    found = samples.jets(network, positions, TIMES)
    assert_close(found[1].double(), differences(network, positions, samples, 1))


def test_an_ensemble_is_what_its_members_are_off_by(example):
    network = example.model.network
    positions = torch.as_tensor(example.mesh_positions[::4000])
    state = {name: values.clone() for name, values in network.state_dict().items()}
    other = dict(state)
    last = max(name for name in state if name.endswith("out.bias"))
    other[last] = state[last] + 0.01
    found = EnsembleMembers([state, other]).jets(network, positions, TIMES)
    assert not found[0].any()
    assert found[1].abs().max() > 0


def test_the_file_gives_back_what_was_written(tmp_path, example):
    samples = example.deviations
    save_deviations(tmp_path / "d.pt", samples, "case")
    loaded, identity = load_deviations(tmp_path / "d.pt")
    assert identity == "case"
    assert loaded.method == "curvature"
    assert loaded.sources == ("noise", "equations", "wall", "amplitude")
    for name, values in samples.parameters.items():
        torch.testing.assert_close(loaded.parameters[name], values)
    save_deviations(tmp_path / "none.pt", None, "case")
    assert load_deviations(tmp_path / "none.pt") == (None, "case")
    members = EnsembleMembers([{"a": torch.ones(2)}])
    save_deviations(tmp_path / "e.pt", members, "case")
    assert load_deviations(tmp_path / "e.pt")[0].method == "ensemble"


@pytest.mark.parametrize(("batches", "points"), [(1, 1000), (4, 1000), (2, 7)])
def test_the_equations_count_as_an_integral_and_not_by_their_points(
    trained, monkeypatch, batches, points
):
    problem, _ = trained
    monkeypatch.setattr(curvature, "BATCHES", batches)
    monkeypatch.setattr(curvature, "POINTS", points)
    rows = curvature._rows_of_points(problem, "navier_stokes", 8, torch.Generator().manual_seed(0))
    groups = problem.batches.points.groups
    assert sum(len(part.factors) for part in rows) == batches * -(-groups // -(-groups // points))
    squares = sum(part.factors.square().sum(0) for part in rows)
    weights = torch.tensor(problem.weights["navier_stokes"]).double()
    torch.testing.assert_close(squares, weights * problem.batches.track_count)


def test_a_soft_no_slip_condition_holds_the_flow_at_the_wall(tmp_path):
    write_training_case(tmp_path)
    case = read_case(tmp_path / "case.h5")
    network = FlowNetworkSettings(layers=1, width=6, no_slip="soft")
    speeds = []
    for tolerance in (1e-4, 1.0):
        weights = GlobalWeights(no_slip_tolerance=tolerance)
        settings = TrainSettings(network=network, global_weights=weights)
        problem = Velocimetry(settings, case, tmp_path / "points.h5", ONE_RANK)
        samples = curvature.sample_deviations(problem, case, UncertaintySettings(samples=100))
        assert samples.sources == ("noise", "equations", "amplitude")
        wall = torch.as_tensor(case.wall.points)
        found = samples.jets(problem.network, wall, TIMES, source="equations", order=0)
        speeds.append(float(found[..., 1].square().mean().sqrt()))
    # Eleven points of the wall hold the places between them only in part.
    assert speeds[0] < 0.5 * speeds[1]


@pytest.mark.parametrize(("raised", "seen"), [(0.009, 0.0), (0.11, 0.1), (-0.06, 0.05)])
def test_a_flow_that_had_to_be_raised_by_more_than_a_percent_may_be_off_by_it(
    trained, monkeypatch, raised, seen
):
    problem, _ = trained
    monkeypatch.setattr(problem, "amplitude_bias", lambda: (0.001, 0.002))
    generator = torch.Generator().manual_seed(0)
    factors = curvature._amplitude_factors(problem, 20_000, generator, raised)
    together = factors.mean(dim=1).std() if factors.shape[1] > 1 else factors.std()
    alone = curvature.AMPLITUDE / factors.shape[1] ** 0.5
    assert float(together) == pytest.approx((seen**2 + alone**2) ** 0.5, rel=0.03)


def test_rows_of_one_track_are_off_together(trained):
    problem, _ = trained
    generator = torch.Generator().manual_seed(0)
    rows = curvature._track_rows(problem, problem.residuals, 8, generator)
    with torch.no_grad():
        own = rows.factors * problem.residuals.tracks(*rows.inputs)
    draws = rows.errors / own.unsqueeze(-1)
    for track in problem.batches.track.unique():
        of_track = draws[problem.batches.track == track].flatten(0, 1)
        torch.testing.assert_close(of_track, of_track[:1].expand_as(of_track))
    first = draws[:, 0, 0].round(decimals=9)
    assert len(first.unique()) == len(problem.batches.track.unique())


def test_where_tracks_are_too_many_some_stand_for_all(trained, monkeypatch):
    problem, _ = trained
    monkeypatch.setattr(curvature, "ROWS", 20)
    every = -(-problem.batches.track_count // 20)
    generator = torch.Generator().manual_seed(0)
    few = curvature._track_rows(problem, problem.residuals, 8, generator)
    assert len(few.factors) == int((problem.batches.track % every == 0).sum())
    # Each counts as often as there are tracks that it stands for.
    monkeypatch.undo()
    every_row = curvature._track_rows(problem, problem.residuals, 8, generator)
    chosen = problem.batches.track % every == 0
    torch.testing.assert_close(few.factors, every**0.5 * every_row.factors[chosen])


def test_a_displaced_wall_lets_the_flow_vanish_elsewhere(example):
    case = replace(example.case, wall_error=0.02)
    residuals = type("Residuals", (torch.nn.Module,), {})()
    residuals.network = example.model.network
    generator = torch.Generator().manual_seed(0)
    strengths = curvature._wall_displacements(case, residuals, 200, generator).numpy()
    function, points = case.wall_function, case.wall.points[::7]
    rise = np.stack(
        [
            replace(function, strengths=function.strengths + change)(points) - function(points)
            for change in strengths
        ]
    )
    displacement = rise / np.linalg.norm(function.gradient(points), axis=1)
    np.testing.assert_allclose(np.sqrt(np.mean(displacement**2)), 0.02, rtol=0.1)
    # Smooth over a hydraulic radius: nearly the same a fifth of it away.
    near = case.wall.points[1::7][: len(points)]
    assert np.linalg.norm(near - points[: len(near)], axis=1).min() < 0.5 * case.radius


class Scaled:
    """Deviations that are factors of the whole flow."""

    sources = ()

    def __init__(self, factors, fields=(1, 1, 1, 1), method="curvature"):
        self.method = method
        self.factors = torch.tensor(factors).double()
        self.fields = torch.tensor(fields).double()

    def jets(self, network, positions, times, *, source=None, order=2):
        points = [
            torch.cat([torch.full_like(positions[:, :1], float(t)), positions], 1) for t in times
        ]
        flow = torch.stack([network.jet(at, order) for at in points]) * self.fields
        return torch.einsum("s,...->s...", self.factors, flow)


@pytest.mark.parametrize(("method", "of_stress"), [("curvature", STRESS_FACTOR), ("ensemble", 1)])
def test_standard_deviations_of_a_flow_that_is_off_by_a_factor(method, of_stress):
    """Only those of the wall shear stress from the curvature are calibrated."""
    samples = Scaled([0.03, -0.04], method=method)
    flow = Flow(case_of(swirling), model_of(ExactFlow(swirling)), samples, layers=4)
    share = np.sqrt((0.03**2 + 0.04**2) / 2)
    points, time = flow._to_si(flow.mesh_positions[40:60]), 0.3 * flow.period
    for name in ("velocity", "pressure", "vorticity"):
        expected = share * np.abs(getattr(flow, name)(points, time))
        found = getattr(flow.std, name)(points, time)
        # The mean of the pressure is taken over other points.
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3 * expected.max())
    stress = np.abs(flow.wall_shear_stress(flow.wall_points, time))
    found = flow.std.wall_shear_stress(flow.wall_points, time)
    np.testing.assert_allclose(found, of_stress * share * stress, atol=1e-9 * stress.max())
    assert flow.std.flow_rate(time) == pytest.approx(share * flow.flow_rate(time), rel=0.01)
    assert flow.std.pressure_drop(time) == pytest.approx(share * flow.pressure_drop(time), rel=0.01)
    table = flow.hydraulics(flow.period * np.arange(4) / 4)
    np.testing.assert_allclose(table.flow_rate_std_m3_s, share * table.flow_rate_m3_s, rtol=0.01)
    means = table.mean()
    assert means.mean_flow_rate_std_m3_s == pytest.approx(share * means.flow_rate_m3_s, rel=0.01)
    assert means.mean_pressure_drop_std_pa == pytest.approx(
        share * means.pressure_drop_pa, rel=0.01
    )
    # A factor changes drop and flow rate alike.
    assert table.hydraulic_resistance_std_pa_s_m3[0] < 1e-6 * table.hydraulic_resistance_pa_s_m3[0]


def test_a_wrong_pressure_makes_a_wrong_resistance():
    samples = Scaled([0.03, -0.04], fields=(0, 0, 0, 1))
    flow = Flow(case_of(swirling), model_of(ExactFlow(swirling)), samples, layers=4)
    table = flow.hydraulics(flow.period * np.arange(4) / 4)
    share = np.sqrt((0.03**2 + 0.04**2) / 2)
    found = table.hydraulic_resistance_std_pa_s_m3 / table.hydraulic_resistance_pa_s_m3
    np.testing.assert_allclose(found, share, rtol=1e-6)
    assert not table.flow_rate_std_m3_s.any()


def test_meshes_carry_standard_deviations(example):
    time = 0.2 * example.period
    volume, wall = example.volume(time), example.wall(time)
    chosen = np.arange(0, volume.n_points, 701)
    exact = example.std.velocity(volume.points[chosen], time)
    found = volume["velocity_std"][chosen]
    # Between lines they are interpolated.
    assert np.linalg.norm(found - exact) < 0.15 * np.linalg.norm(exact)
    assert (wall["wall_shear_stress_std"] > 0).all()
    assert volume["pressure_std"].shape == (volume.n_points,)


def test_a_flow_without_deviations_says_how_to_have_them():
    flow = Flow(case_of(swirling), model_of(ExactFlow(swirling)))
    with pytest.raises(UserError, match=r"train\.uncertainty\.method: ensemble"):
        _ = flow.std
    assert "flow_rate_std_m3_s" not in flow.hydraulics([0.0])


def test_which_method_is_taken():
    settings = TrainSettings()
    assert method_of(settings, MOST_PARAMETERS) == "curvature"
    assert method_of(settings, MOST_PARAMETERS + 1) == "none"
    assert method_of(replace(settings, optimiser=AdamSettings(iterations=5)), 10) == "none"
    ensemble = replace(settings, uncertainty=UncertaintySettings(method="ensemble"))
    assert method_of(ensemble, 10) == "ensemble"
    network = FlowNetworkSettings(weight_normalisation=True)
    asked = UncertaintySettings(method="curvature")
    with pytest.raises(UserError, match="weight_normalisation"):
        method_of(replace(settings, network=network, uncertainty=asked), 10)


def test_tracks_are_drawn_anew_as_wholes():
    case = case_of(swirling)
    drawn = drawn_anew(case, seed=3)
    before, after = case.tracks, drawn.tracks
    np.testing.assert_array_equal(after.row[after.validation], before.row[before.validation])
    training = before.track[~before.validation]
    of_track = {track: int(np.sum(training == track)) for track in np.unique(training)}
    found = after.track[~after.validation]
    for track in np.unique(found):
        assert np.sum(found == track) % of_track[track] == 0
    assert 0.4 < len(np.unique(found)) / len(of_track) < 0.85
    assert len(after.velocity["u"]) == len(after.points)
