"""The thickness of the light sheet, found from the tracks and accounted for."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from aiv_rba import api, read_experiment
from aiv_rba.fields.flow import open_flow
from aiv_rba.files.case import Tracks
from aiv_rba.problems.velocimetry.light_sheet import depth_of, depth_variance, groups_of
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.residuals import FlowResiduals
from aiv_rba.settings import FlowNetworkSettings
from tests.synthetic import tube_of, write_tube_experiment

SPREAD = 0.04
TRAIN = {
    "network": {"layers": 2, "width": 10},
    "optimiser": {"name": "gauss_newton", "iterations": 40},
    "uncertainty": {"method": "none"},
}


def tracks_with(*names):
    zeros = np.zeros(2, dtype=np.int64)
    return Tracks(
        points=np.zeros((2, 4)),
        velocity={name: np.zeros(2) for name in names},
        track=zeros,
        plane=zeros,
        row=zeros,
        validation=zeros.astype(bool),
    )


def test_the_depth_is_across_the_components_that_are_measured():
    assert depth_of(tracks_with("u", "v")) == 2
    assert depth_of(tracks_with("v", "w")) == 0
    assert depth_of(tracks_with("u", "v", "w")) is None
    assert depth_of(tracks_with("u")) is None


def test_rows_of_a_group_are_of_one_track_and_three_rows_apart():
    track = np.random.default_rng(0).integers(0, 6, 200)
    groups = groups_of(track)
    assert len(np.unique(groups)) == 18
    place = np.empty(200, dtype=int)
    for number in range(6):
        place[track == number] = np.arange((track == number).sum())
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        assert len(np.unique(track[rows])) == 1
        assert (np.diff(place[rows]) == 3).all()


def recorded(seed, correlated, tracks=3000, rows=20):
    """Residuals and slopes over the noise of tracks whose particles keep their depths."""
    rng = np.random.default_rng(seed)
    track = np.repeat(np.arange(tracks), rows)
    slope = rng.uniform(-10, 10, (len(track), 2))
    depth = SPREAD * np.sqrt(12) * rng.uniform(-0.5, 0.5, tracks)
    # Central differences of positions share every second error.
    position = rng.normal(size=(tracks, rows + 2, 2))
    difference = ((position[:, 2:] - position[:, :-2]) / np.sqrt(2)).reshape(-1, 2)
    noise = difference if correlated else rng.normal(size=slope.shape)
    return depth[track, None] * slope + noise, slope, track


@pytest.mark.parametrize("correlated", [False, True])
def test_the_spread_of_the_depths_shows_in_the_tracks(correlated):
    found = []
    for seed in range(4):
        residual, slope, track = recorded(seed, correlated)
        group = groups_of(track)
        arguments = [torch.tensor(values) for values in (residual, slope)]
        weight = torch.ones(len(track)).double()
        found.append(depth_variance(*arguments, weight, torch.tensor(group)))
    assert np.sqrt(np.mean(found)) == pytest.approx(SPREAD, rel=0.03)


def test_no_spread_is_found_where_there_is_none():
    rng = np.random.default_rng(1)
    track = np.repeat(np.arange(300), 20)
    residual, slope = rng.normal(size=(2, len(track), 2))
    group = groups_of(track)
    arguments = [torch.tensor(values) for values in (residual, slope, np.ones(len(track)))]
    found = depth_variance(*arguments, torch.tensor(group))
    assert found < 0.02


class Cubic(nn.Module):
    """A velocity that is a cubic of z, with one parameter."""

    has_coefficients = False
    value_and_mean = FlowNetwork.value_and_mean

    def __init__(self):
        super().__init__()
        self.scales = torch.ones(4)
        self.factor = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def value(self, points):
        t, x, y, z = points.T
        u = 1 + x - 3 * z + 2 * z**2 - z**3
        return self.factor * torch.stack([u, t**2 * z**2, 0 * z, y], dim=1)


def test_rows_are_means_over_the_depths_of_the_sheet():
    network = Cubic()
    residuals = FlowResiduals(network, 1.0, 1.0, [0, 1], soft_wall=False, depth=3)
    points = torch.rand(7, 4, generator=torch.Generator().manual_seed(0)).double()
    spread = torch.full((7,), SPREAD, dtype=torch.float64)
    # A uniform distribution, by Gauss-Legendre quadrature.
    nodes, weights = np.polynomial.legendre.leggauss(5)
    mean = 0
    for node, weight in zip(nodes, weights, strict=True):
        moved = points.clone()
        moved[:, 3] += SPREAD * np.sqrt(3) * node
        mean = mean + weight / 2 * network.value(moved)[:, :2]
    found = residuals.as_measured(points, spread)
    torch.testing.assert_close(found, mean, rtol=1e-12, atol=1e-14)
    # The gradient is that of the velocity in the middle.
    (gradient,) = torch.autograd.grad(found.sum(), network.factor)
    middle = network.value(points)[:, :2].sum() / network.factor
    torch.testing.assert_close(gradient, middle)
    measured = torch.rand(7, 2).double()
    alone = residuals.tracks(points, measured)
    torch.testing.assert_close(alone, network.value(points)[:, :2] - measured)


def test_rows_are_means_over_the_time_between_positions():
    """Beside the mean over depths, where both are known."""
    network = Cubic()
    interval = 0.1 * np.sqrt(12)
    residuals = FlowResiduals(network, 1.0, 1.0, [0, 1], soft_wall=True, interval=interval, depth=3)
    points = torch.rand(7, 4, generator=torch.Generator().manual_seed(0)).double()
    t, x, _, z = points.T
    variance = SPREAD**2
    # The means of the polynomials, by their moments.
    u = 1 + x - 3 * z + 2 * (z**2 + variance) - (z**3 + 3 * z * variance)
    v = t**2 * (z**2 + variance) + 0.1**2 * z**2
    expected = 1.5 * torch.stack([u, v], dim=1)
    spread = torch.full((7,), SPREAD, dtype=torch.float64)
    torch.testing.assert_close(residuals.as_measured(points, spread), expected)
    measured = torch.rand(7, 2).double()
    alone = residuals.tracks(points, measured)
    torch.testing.assert_close(alone, residuals.as_measured(points) - measured)
    together = residuals({"no_slip": (points[:3],), "tracks": (points, measured)})
    torch.testing.assert_close(together["tracks"], alone)


@pytest.mark.parametrize("time", ["coefficients", "input"])
def test_means_over_time_are_those_of_values_at_shifted_times(time):
    """Of the points that are asked for, without a gradient."""
    torch.manual_seed(0)
    settings = FlowNetworkSettings(
        time=time, time_harmonics=2, no_slip="soft", width=8, output_scales=(1.0, 2.0, 3.0, 4.0)
    )
    network = FlowNetwork(settings, torch.zeros(4).double(), torch.ones(4).double())
    points, own = torch.rand(9, 4).double(), slice(4, None)
    value, mean = network.value_and_mean(points, 0.1, own)
    torch.testing.assert_close(value, network.value(points))
    assert value.requires_grad
    before, after = points[own].clone(), points[own].clone()
    before[:, 0] -= 0.1
    after[:, 0] += 0.1
    torch.testing.assert_close(mean, (network.value(before) + network.value(after)) / 2)
    assert not mean.requires_grad


@pytest.mark.parametrize("interval", ["auto", 0.0])
def test_few_frames_make_the_waves_too_small_unless_they_are_accounted_for(tmp_path, interval):
    """Ten frames in a cycle; velocities are differences of positions over two of them."""
    tube = tube_of(pulsation=1.0)
    ingest = {"velocity_interval": interval}
    path = write_tube_experiment(tmp_path, tube=tube, tracks=300, ingest=ingest, train=dict(TRAIN))
    document = yaml.safe_load(path.read_text())
    table = pd.read_csv(document["ingest"]["tracks"])
    at, step = table[["x", "y", "z"]].to_numpy() * 1e-6, tube.period / 10
    # Rows of a track are a frame apart in the file; only the velocities stay where they are.
    phase = np.random.default_rng(3).uniform(0, tube.period, table.track.nunique())
    frame = table.groupby("track").cumcount().to_numpy()
    time = phase[table.track.factorize()[0]] + step * frame
    r = tube.radius_of(at)
    path_length = tube.displacement(time + step, r) - tube.displacement(time - step, r)
    table["t"], table["u"] = np.mod(time, tube.period), 0.0
    table["v"] = path_length / (2 * step) / 1e-6
    table.to_csv(document["ingest"]["tracks"], index=False)
    document["ingest"]["accept"] = ["velocity_displacement", "zero_velocities"]
    path.write_text(yaml.safe_dump(document))
    api.infer(read_experiment(path), tmp_path / "results")
    flow = open_flow(tmp_path / "results")
    points = np.zeros((9, 3)) + tube.centre
    points[:, 0] += np.linspace(-0.6, 0.6, 9) * tube.radius
    times = np.linspace(0, tube.period, 8, endpoint=False)
    waves = []
    for velocity in (
        [flow.velocity(points, t)[:, 1] for t in times],
        [tube.velocity(np.full(9, t), points)[:, 1] for t in times],
    ):
        waves.append(np.abs(np.exp(-1j * tube.omega * times) @ np.mean(velocity, axis=1)))
    ratio = waves[0] / waves[1]
    if interval == "auto":
        assert ratio == pytest.approx(1, abs=0.01)
    else:
        # sin(x) / x over two of ten frames.
        assert ratio == pytest.approx(np.sinc(0.2), abs=0.01)


def seen_in_a_sheet(tube, table, thickness, noise):
    """Rows in um and um/s whose particles are anywhere in a sheet round the depth they state."""
    rng = np.random.default_rng(7)
    number = table["track"].factorize()[0]
    at = table[["x", "y", "z"]].to_numpy() * 1e-6
    at[:, 2] += thickness * rng.uniform(-0.5, 0.5, number.max() + 1)[number]
    velocity = tube.velocity(table["t"].to_numpy(), at)[:, :2]
    errors = noise * np.sqrt(np.mean(velocity[:, 1] ** 2)) * rng.normal(size=velocity.shape)
    table[["u", "v"]] = (velocity + errors) / 1e-6
    return table[tube.radius_of(at) < tube.radius]


@pytest.mark.parametrize("light_sheet", ["auto", "thin"])
def test_a_thick_sheet_makes_the_flow_too_slow_unless_it_is_accounted_for(tmp_path, light_sheet):
    tube = tube_of(pulsation=0.5)
    train = TRAIN | {"light_sheet": light_sheet}
    path = write_tube_experiment(tmp_path, tube=tube, tracks=800, train=train)
    document = yaml.safe_load(path.read_text())
    thickness = 0.5 * tube.radius
    table = seen_in_a_sheet(tube, pd.read_csv(document["ingest"]["tracks"]), thickness, noise=0.1)
    table.to_csv(document["ingest"]["tracks"], index=False)
    api.infer(read_experiment(path), tmp_path / "results")
    flow = open_flow(tmp_path / "results")
    points = np.zeros((9, 3)) + tube.centre
    points[:, 0] += np.linspace(-0.6, 0.6, 9) * tube.radius
    times = np.linspace(0, tube.period, 8, endpoint=False)
    ratio = np.mean([flow.velocity(points, t)[:, 1] for t in times]) / np.mean(
        [tube.velocity(np.full(9, t), points)[:, 1] for t in times]
    )
    spread = flow.model.depth_spread * flow.case.scales.length
    if light_sheet == "auto":
        assert spread == pytest.approx(thickness / np.sqrt(12), rel=0.1)
        # With as many tracks the depths of particles leave a standard error of half a percent.
        assert ratio == pytest.approx(1, abs=0.012)
    else:
        assert spread == 0
        assert ratio < 0.98
