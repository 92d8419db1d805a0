"""Where in the light sheet particles are."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp
from scipy.linalg import sqrtm

from aiv_rba.optimisers.posterior import Posterior
from aiv_rba.problems.velocimetry.depths import (
    SharedErrors,
    depths_of_tracks,
    drifts,
    information,
)
from aiv_rba.ranks.ddp import Ranks

SPREAD = 0.04


def recorded(seed, tracks, rows, bend=0.0):
    """Residuals, slopes and bends over the noise of tracks whose particles keep their depths."""
    rng = np.random.default_rng(seed)
    track = np.repeat(np.arange(tracks), rows)
    slope = rng.uniform(-10, 10, (len(track), 2))
    bends = bend * rng.uniform(-1, 1, (len(track), 2))
    depth = SPREAD * np.sqrt(12) * rng.uniform(-0.5, 0.5, tracks)[track, None]
    residual = depth * slope + bends * depth**2 / 2 + rng.normal(size=slope.shape)
    return residual, slope, bends, track


def found_in(shares, residual, slope, bend, track, before):
    """Depths and variances from rows that are spread over ranks."""
    partial_sums = []

    def run(rows, total):
        values = (torch.tensor(each[rows]) for each in (residual, slope, bend))
        weight = torch.ones(len(rows)).double()
        number = torch.tensor(track[rows])
        return depths_of_tracks(*values, weight, number, torch.tensor(before), SPREAD**2, total)

    for rows in shares:
        run(rows, lambda values: partial_sums.append(values) or values)
    return run(shares[0], lambda _: torch.stack(partial_sums).sum(0))


@pytest.mark.parametrize("ranks", [1, 2])
def test_depths_are_those_of_the_gaussian_posterior_where_the_velocity_is_linear(ranks):
    """Against the conditional mean and variance of the joint distribution of depths and rows."""
    residual, slope, bend, track = recorded(2, tracks=40, rows=7)
    before = 0.02 * np.random.default_rng(4).normal(size=40)
    # The flow is taken at these depths.
    shares = np.array_split(np.arange(len(track)), ranks)
    taken = residual - before[track, None] * slope
    depth, covariance = found_in(shares, taken, slope, bend, track, before)
    for number in range(40):
        s, y = slope[track == number].ravel(), residual[track == number].ravel()
        gain = SPREAD**2 * np.linalg.solve(SPREAD**2 * np.outer(s, s) + np.eye(len(s)), s)
        assert float(depth[number]) == pytest.approx(gain @ y, rel=1e-4, abs=1e-7)
        variance = SPREAD**2 * (1 - gain @ s)
        # Of a Gaussian d, d^2 / 2 has half the square of its variance, and is not correlated.
        expected = np.diag([variance, variance**2 / 2])
        np.testing.assert_allclose(covariance[number], expected, rtol=1e-3, atol=1e-12)


def test_depths_are_those_of_the_posterior_where_the_velocity_is_curved():
    """Against adaptive quadrature of the posterior density over the depths."""
    residual, slope, bend, track = recorded(3, tracks=30, rows=5, bend=200.0)
    before = 0.01 * np.random.default_rng(4).normal(size=30)
    # The residuals and slopes at these depths, of the same velocity.
    b = before[track, None]
    taken = residual - b * slope - bend * b**2 / 2
    rows = [np.arange(len(track))]
    depth, covariance = found_in(rows, taken, slope + bend * b, bend, track, before)
    for number in range(30):
        r, s, c = (values[track == number] for values in (residual, slope, bend))

        def moment(power, r=r, s=s, c=c):
            def integrand(d):
                misfit = np.sum((r - s * d - c * d**2 / 2) ** 2) - np.sum(r**2)
                return d**power * np.exp(-misfit / 2 - d**2 / (2 * SPREAD**2))

            return quad(integrand, -6 * SPREAD, 6 * SPREAD, epsabs=0, epsrel=1e-8, limit=200)[0]

        raw = np.array([moment(power) for power in range(5)])
        _, mean, *rest = raw / raw[0]
        second = rest[0] - mean**2
        third = rest[1] - 3 * mean * rest[0] + 2 * mean**3
        fourth = rest[2] - 4 * mean * rest[1] + 6 * mean**2 * rest[0] - 3 * mean**4
        expected = np.array([[second, third / 2], [third / 2, (fourth - second**2) / 4]])
        units = np.outer([SPREAD, SPREAD**2], [SPREAD, SPREAD**2])
        found = covariance[number].numpy() / units
        assert float(depth[number]) == pytest.approx(mean, rel=2e-3, abs=2e-3 * SPREAD)
        np.testing.assert_allclose(found, expected / units, rtol=0.02, atol=2e-3)


def test_mismatched_rows_and_thin_sheets_say_nothing_of_depths():
    values = recorded(2, tracks=300, rows=20, bend=100.0)
    residual, slope, bend, track = (torch.tensor(each) for each in values)
    before = torch.zeros(300).double()
    for weight, variance in ((0 * slope[:, 0], SPREAD**2), (slope[:, 0], 0.0)):
        depth, left = depths_of_tracks(
            residual, slope, bend, weight, track, before, variance, lambda sums: sums
        )
        torch.testing.assert_close(depth, torch.zeros_like(depth), atol=1e-12, rtol=0)
        variances = torch.full_like(depth, variance)
        torch.testing.assert_close(left[:, 0, 0], variances, rtol=1e-4, atol=0)


def swirling(_, at):
    """Velocity of a flow along y that turns about its axis and becomes faster."""
    x, y, z = at
    return np.array([-0.5 * z, 1 + 0.2 * y, 0.5 * x])


def paths(rows):
    """Positions (rows, 3) of two particles by an accurate integration, and their tracks."""
    found = []
    for start in ([0.4, -1.0, 0.0], [-0.2, 0.0, 0.1]):
        times = np.linspace(0, 0.8, rows)
        solution = solve_ivp(swirling, (0, 0.8), start, t_eval=times, rtol=1e-10, atol=1e-12)
        found.append(solution.y.T)
    return np.concatenate(found), np.repeat([0, 3], rows)


def drift_error(rows, shuffled):
    at, track = paths(rows)
    order = np.arange(2 * rows)
    if shuffled:
        order = np.random.default_rng(0).permutation(order)
    velocity = np.array([swirling(0, each) for each in at])
    points = np.column_stack([np.random.default_rng(1).uniform(size=len(at)), at])
    found = drifts(
        torch.tensor(points[order]),
        torch.tensor(velocity[order]),
        torch.tensor(track[order]),
        3,
        torch.tensor(10.0),
    )
    exact = np.concatenate([z - z.mean() for z in np.split(at[:, 2], 2)])[order]
    return np.abs(found.numpy() - exact).max() / np.abs(exact).max()


def test_drifts_are_those_of_exact_paths(monkeypatch):
    """Of second order in the distance of rows; times are not needed."""
    monkeypatch.setattr("aiv_rba.problems.velocimetry.depths.SLOW", 0.0)
    errors = [drift_error(rows, shuffled=False) for rows in (5, 9, 17)]
    assert errors[-1] < 2e-3
    for coarse, fine in pairwise(errors):
        assert 3.3 < coarse / fine < 4.7


def test_rows_of_a_track_may_have_any_order():
    # The way is then longer, and the trapezoidal rule less accurate.
    assert drift_error(17, shuffled=True) < 0.06


def test_no_particle_is_seen_outside_the_sheet():
    at, track = paths(9)
    velocity = torch.tensor(np.array([swirling(0, each) for each in at]))
    points = torch.tensor(np.column_stack([0 * at[:, 0], at]))
    found = drifts(points, velocity, torch.tensor(track), 3, torch.tensor(0.01))
    assert float(found.abs().max()) == pytest.approx(0.01)


def changes_and_covariances(slope, track):
    """Of velocities that are linear in depth, whose posterior densities are Gaussian."""
    squares = np.bincount(track, (slope**2).sum(1))
    variance = torch.tensor(1 / (squares + SPREAD**-2))
    covariance = torch.diag_embed(torch.stack([variance, variance**2 / 2], dim=1))
    return torch.tensor(np.stack([slope, 0 * slope], axis=-1)), covariance


def test_what_depths_leave_of_values_is_that_of_generalised_least_squares():
    """The precision of factors of three values, with and without errors that a track shares."""
    _, slope, _, track = recorded(5, tracks=30, rows=6)
    values = np.random.default_rng(1).normal(size=(*slope.shape, 3)) + 0.1 * slope[..., None]
    changes, covariance = changes_and_covariances(slope, track)
    weight = torch.ones(len(track)).double()
    number = torch.tensor(track)
    found = information(
        torch.tensor(values), changes, weight, number, covariance, lambda sums: sums
    )
    shared = np.zeros((3, 3))
    for number in range(30):
        s, p = slope[track == number].ravel(), values[track == number].reshape(12, 3)
        shared += p.T @ np.linalg.solve(np.eye(12) + SPREAD**2 * np.outer(s, s), p)
    np.testing.assert_allclose(found, shared, rtol=1e-10)
    left = found.diagonal().numpy() / np.sum(values**2, axis=(0, 1))
    assert left.min() > 0.1
    assert left.max() < 0.95


def test_missing_information_is_that_of_the_likelihood_where_the_velocity_is_curved():
    """Against second differences of the logarithm of the likelihood, integrated over the depths.

    In the middle of a vessel slopes vanish, and a track still tells less than its rows.
    """
    residual, slope, bend, track = recorded(8, tracks=25, rows=6, bend=300.0)
    middle = np.arange(25)[track] % 5 == 0
    residual[middle] -= np.outer(np.ones(middle.sum()), [0.2, 0.1])
    slope[middle] *= 1e-3
    values = np.random.default_rng(1).normal(size=slope.shape) + 5e-3 * bend
    start = np.zeros(25)
    for _ in range(30):
        d = start[track, None]
        taken, there = residual - slope * d - bend * d**2 / 2, slope + bend * d
        rows = [np.arange(len(track))]
        depth, covariance = found_in(rows, taken, there, bend, track, start)
        start = depth.numpy()
    there = slope + bend * start[track, None]
    changes = torch.tensor(np.stack([there, bend], axis=-1))
    shared = SharedErrors(changes, torch.tensor(track), covariance)
    white = shared.whiten(torch.tensor(values)[..., None])[..., 0].square().sum(1)
    whole = 0.0
    for number in range(25):
        r, s, c, v = (each[track == number] for each in (residual, slope, bend, values))

        def likelihood(factor, r=r, s=s, c=c, v=v):
            def integrand(d):
                misfit = np.sum((r - factor * v - s * d - c * d**2 / 2) ** 2) - np.sum(r**2)
                return np.exp(-misfit / 2 - d**2 / (2 * SPREAD**2))

            far = 8 * SPREAD
            return np.log(quad(integrand, -far, far, epsabs=0, epsrel=1e-12, limit=400)[0])

        step = 0.02
        expected = -(likelihood(step) - 2 * likelihood(0) + likelihood(-step)) / step**2
        whole += expected
        found = float(white[track == number].sum())
        assert found == pytest.approx(expected, rel=0.02, abs=0.02 * np.sum(v**2))
    found = information(
        torch.tensor(values)[..., None],
        changes,
        torch.ones(len(track)).double(),
        torch.tensor(track),
        covariance,
        lambda sums: sums,
    )
    assert float(found) == pytest.approx(whole, rel=0.01)
    of_middle = torch.tensor(middle)
    assert float(white[of_middle].sum()) < 0.9 * np.sum(values[middle] ** 2)


def test_shared_errors_are_whitened_and_coloured_by_roots_of_their_covariance():
    _, slope, _, track = recorded(6, tracks=3, rows=4)
    values = np.random.default_rng(1).normal(size=(12, 2, 5))
    changes, covariance = changes_and_covariances(slope, track)
    shared = SharedErrors(changes, torch.tensor(track), covariance)
    for rows in (slice(0, 12), slice(4, 12)):
        part = shared.part(rows)
        white, coloured = (
            change(torch.tensor(values[rows])) for change in (part.whiten, part.colour)
        )
        for number in np.unique(track[rows]):
            of_track = track[rows] == number
            s = slope[rows][of_track].ravel()
            root = sqrtm(np.eye(8) + SPREAD**2 * np.outer(s, s))
            v = values[rows][of_track].reshape(8, 5)
            np.testing.assert_allclose(coloured[of_track].reshape(8, 5), root @ v)
            np.testing.assert_allclose(white[of_track].reshape(8, 5), np.linalg.solve(root, v))


def test_samples_have_the_covariance_of_generalised_least_squares():
    """Rows that share errors of depth: a linear problem of known covariance, to 2 percent."""
    _, slope, _, track = recorded(7, tracks=50, rows=8)
    rng = np.random.default_rng(3)
    jacobian = rng.normal(size=(400, 2, 3)) + 0.3 * slope[..., None]
    changes, covariance = changes_and_covariances(slope, track)
    shared = SharedErrors(changes, torch.tensor(track), covariance)
    samples = 20_000
    depth, noise = rng.normal(size=(50, samples)), rng.normal(size=(400, 2, samples))
    errors = SPREAD * slope[..., None] * depth[track][:, None] + noise
    ranks = Ranks(0, 1, torch.device("cpu"))
    posterior = Posterior(torch.zeros(3).double(), ("noise", "rest"), samples, ranks)
    white, off = (
        shared.whiten(torch.tensor(values)).flatten(0, 1) for values in (jacobian, errors)
    )
    posterior.add(white, {"noise": off})
    generator = torch.Generator().manual_seed(0)
    found = np.cov(posterior.deviations(1e6, "rest", generator)["noise"].numpy().T)
    information = np.zeros((3, 3))
    for number in range(50):
        s = slope[track == number].ravel()
        j = jacobian[track == number].reshape(16, 3)
        information += j.T @ np.linalg.solve(np.eye(16) + SPREAD**2 * np.outer(s, s), j)
    expected = np.linalg.inv(information)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs(found - expected).max() < 0.03 * scale.min()


def amplitude_found(rng, curved):
    """Relative error of the amplitude of Poiseuille's flow, found with the depths of particles."""
    tracks, rows, noise = 400, 12, 0.1
    track = torch.tensor(np.repeat(np.arange(tracks), rows))
    # Planes off the middle; the flow changes along a track, as in a vessel of changing width.
    across, plane = rng.uniform(-0.8, 0.8, tracks), rng.choice([-0.4, 0.0, 0.4], tracks)
    radius = 1 + 0.1 * rng.uniform(size=tracks)[:, None] * np.linspace(-1, 1, rows)

    def flow(depth):
        z = (plane + depth)[:, None]
        u = (1 - (across[:, None] ** 2 + z**2) / radius**2).reshape(-1, 1)
        slope, bend = -2 * z / radius**2, -2 / radius**2
        return [torch.tensor(value.reshape(-1, 1)) for value in (u, slope, bend)]

    true, _, _ = flow(SPREAD * 2 * np.sqrt(12) * rng.uniform(-0.5, 0.5, tracks))
    measured = true + noise * torch.tensor(rng.normal(size=true.shape))
    one, depth, amplitude = torch.ones(len(track)).double(), torch.zeros(tracks).double(), 1.0
    for _ in range(40):
        u, slope, bend = (amplitude * value / noise for value in flow(depth.numpy()))
        depth, left = depths_of_tracks(
            measured / noise - u,
            slope,
            bend if curved else 0 * bend,
            one,
            track,
            depth,
            (2 * SPREAD) ** 2,
            lambda sums: sums,
        )
        aside = left[:, 0, 0].sqrt().numpy() if curved else np.zeros(tracks)
        sides = [flow(depth.numpy() + sign * aside)[0] for sign in (1, -1)]
        amplitude = float(
            sum((measured * u).sum() for u in sides) / sum((u * u).sum() for u in sides)
        )
    return amplitude - 1


def test_flows_that_are_found_with_the_depths_of_particles_are_neither_fast_nor_slow():
    """With a Gaussian density from the slopes alone, and rows at its mean, they would be."""
    for curved in (True, False):
        rng = np.random.default_rng(11)
        errors = np.array([amplitude_found(rng, curved) for _ in range(40)])
        doubt = errors.std() / np.sqrt(len(errors))
        assert doubt < 7e-4
        if curved:
            assert abs(errors.mean()) < 3 * doubt
        else:
            assert abs(errors.mean()) > 3 * doubt
