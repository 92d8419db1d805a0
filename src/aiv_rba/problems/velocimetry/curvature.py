"""Samples of what the inferred flow may be off by, from the curvature of the loss."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.func import functional_call, jvp, vmap

from aiv_rba.files.case import Case
from aiv_rba.networks.layers import Linear
from aiv_rba.optimisers.jacobian import Linearised
from aiv_rba.optimisers.posterior import Posterior
from aiv_rba.problem import Residuals
from aiv_rba.problems.velocimetry.depths import SharedErrors
from aiv_rba.problems.velocimetry.deviations import SAMPLES_AT_ONCE, STRENGTHS, CurvatureSamples
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.problems.velocimetry.residuals import FlowResiduals
from aiv_rba.settings import UncertaintySettings

# Standard deviation of parameters that no row settles; the network's weights are of order one.
PRIOR = 1.0
# Three constants of the error budget, which the choosing half of the twins fixed
# (docs/uncertainty.md).
# Errors of the tracks over their residuals. Trainings that start from other weights and draw other
# rows differ too, which the curvature does not know.
NOISE = 1.25
# Size of the equations' errors over their tolerances, which training keeps well below.
EQUATIONS = 0.2
# Standard deviation of errors of the amplitude that all tracks share and that no residual shows,
# such as a light sheet or an interval between frames that is not quite what it is taken for. The
# faster harmonics have other errors than the mean, so that each coefficient in time has its own.
AMPLITUDE = 0.001
# What the fit of the amplitudes may raise the flow by without a sign that more is wrong: equations
# that the network does not resolve cost up to half a percent, a wrong wall several.
RAISED = 0.01
# The curvature is that of at most so many rows of the tracks, and of so many batches of at most so
# many collocation points.
ROWS, BATCHES, POINTS = 40_000, 2, 2_400
# Rows whose Jacobian is held at a time.
ROWS_AT_ONCE = 1_000
# Points of the wall through which its displacements are fitted, and the ridge of this fit over the
# largest element of the diagonal.
WALL_POINTS, RIDGE = 3_000, 1e-10
# Waves of a random displacement.
WAVES = 256


@dataclass(frozen=True)
class _Rows:
    """Rows of one block on this rank.

    Attributes
    ----------
    block, inputs
        The residuals' method and its arguments, each (n, ...).
    factors
        (n, terms), which make the residuals those of the sum of squares.
    source, errors
        What kind of errors they have, and samples of them (n, terms, S), of the rows with their
        factors.
    shared
        The errors that rows of a track share; None where all are independent.
    """

    block: str
    inputs: tuple[Tensor, ...]
    factors: Tensor
    source: str
    errors: Tensor
    shared: SharedErrors | None = None

    def parts(self) -> Iterator[_Rows]:
        """All of them, about `ROWS_AT_ONCE` at a time; rows of a track stay together."""
        first = torch.arange(len(self.factors))
        if self.shared is not None:
            track = self.shared.track.cpu()
            first = torch.searchsorted(track, track)
        _, counts = torch.unique_consecutive(first // ROWS_AT_ONCE, return_counts=True)
        stop = 0
        for count in counts.tolist():
            start, stop = stop, stop + count
            rows = slice(start, stop)
            yield replace(
                self,
                inputs=tuple(values[rows] for values in self.inputs),
                factors=self.factors[rows],
                errors=self.errors[rows],
                shared=self.shared and self.shared.part(rows),
            )

    def whitened(self, values: Tensor) -> Tensor:
        """Values (n, terms, k) of the rows, so that the errors of all rows are independent."""
        return values if self.shared is None else self.shared.whiten(values)


def sample_deviations(
    problem: Velocimetry, case: Case, settings: UncertaintySettings, raised: float = 0.0
) -> CurvatureSamples:
    """Linearise all rows about the trained network, and see where random errors move it.

    The rows are those of the loss without multipliers, times the number of track rows: residuals
    of the tracks over their noise, and the equations as a mean over the volume of (residual /
    tolerance)^2, however many points there are. Their errors are

    noise
        1.25 times the residuals of all rows of a track, times one random number, so that errors
        which its rows share count once and not for every row (the wild bootstrap of clustered data;
        Cameron, Gelbach & Miller 2008). The depths of particles are not known, so that the
        curvature is that of rows that share their errors too.
    equations
        Independent residuals of 0.2 of their tolerances, of a soft no-slip condition too, and what
        no row settles.
    wall
        Displacements of the wall by `case.wall_error`, smooth over a hydraulic radius, where
        no-slip is exact.
    amplitude
        What the amplitude bias on the tracks exceeds its standard error by, and by how much more
        than a percent the fit of the amplitudes `raised` the flow, as a factor of the whole flow;
        and a tenth of a percent, as a factor of each of its coefficients in time.

    Every rank calls this; the samples are the same for any number of ranks but for rounding.
    """
    residuals = copy.deepcopy(problem.residuals).double()
    assert isinstance(residuals, FlowResiduals)
    generator = torch.Generator().manual_seed(settings.seed)
    strengths = _wall_displacements(case, residuals, settings.samples, generator)
    amplitude = _amplitude_factors(problem, settings.samples, generator, raised)
    tracks = _track_rows(problem, residuals, settings.samples, generator)
    equations = [
        rows
        for block in problem.sizes
        if block != "tracks"
        for rows in _rows_of_points(problem, block, settings.samples, generator)
    ]

    # Of the wall, single precision is enough.
    single = copy.deepcopy(residuals).float()
    layers = [module for module in residuals.modules() if isinstance(module, Linear)]
    position = torch.cat([p.detach().flatten() for p in residuals.parameters()])
    sources = ("noise", "equations", *([] if strengths is None else ["wall"]))
    posterior = Posterior(position, sources, settings.samples, problem.ranks)
    for rows in (tracks, *equations):
        for part in rows.parts():
            evaluate = partial(getattr(residuals, part.block), *part.inputs)
            j = Linearised(evaluate, layers).jacobian(part.factors).dense()
            j = part.whitened(j.reshape(*part.factors.shape, -1)).flatten(0, 1)
            errors = {part.source: part.errors.flatten(0, 1)}
            if strengths is not None:
                moved = _change(single, part.block, part.inputs, strengths).to(part.factors)
                moved = part.whitened(part.factors.unsqueeze(-1) * moved)
                errors["wall"] = moved.flatten(0, 1)
            posterior.add(j, errors)
    found = posterior.deviations(PRIOR, "equations", generator)
    return CurvatureSamples(found, strengths, amplitude)


@torch.no_grad()
def _amplitude_factors(
    problem: Velocimetry, samples: int, generator: torch.Generator, raised: float
) -> Tensor:
    """Samples (S, modes) of the factors by which the coefficients in time are off."""
    bias, error = problem.amplitude_bias()
    # The rest is noise, which has its own part.
    seen = max(abs(bias) - error, 0.0) + max(abs(raised) - RAISED, 0.0)
    modes = problem.network.modes

    def draw(count: int) -> Tensor:
        return torch.randn(samples, count, generator=generator, dtype=torch.float64)

    return seen * draw(1) + AMPLITUDE * draw(modes)


@torch.no_grad()
def _track_rows(
    problem: Velocimetry, residuals: FlowResiduals, samples: int, generator: torch.Generator
) -> _Rows:
    """Rows of the tracks, with the errors that rows of a track share."""
    ranks, batches = problem.ranks, problem.batches
    placed, deviation = problem.placed_tracks()
    deviation = None if deviation is None else deviation.double()
    placed, measured = placed.double(), batches.measured.double()
    e = residuals.as_measured(placed, deviation) - measured
    changes, covariance = e.new_zeros(*e.shape, 2), e.new_zeros(batches.tracks_in_all, 2, 2)
    if problem.sheet is not None:
        changes = problem.sheet.derivatives(residuals, placed)
        covariance = problem.state["depth_covariances"]
    own = problem.factors(problem.batch(0), {"tracks": e})["tracks"]
    factors = own * e.new_tensor(problem.weights["tracks"]).sqrt()
    errors = (factors * e).unsqueeze(-1)

    # Where there are too many rows every second, third, ... track stands for all. Ranks take whole
    # tracks by turns, since the rows of a track share errors.
    every = -(-batches.track_count // ROWS)
    track = batches.track_of_all
    mine = (track % every == 0) & (track // every % ranks.size == ranks.rank)
    chosen = mine.nonzero().squeeze(1)
    chosen = chosen[torch.argsort(track[chosen], stable=True)]
    track = track[chosen]
    placed, measured, factors, errors, changes = (
        ranks.gather(values)[chosen] for values in (placed, measured, factors, errors, changes)
    )
    shape = (batches.tracks_in_all, samples)
    draws = torch.randn(shape, generator=generator, dtype=torch.float64)
    left, number = torch.unique_consecutive(track, return_inverse=True)
    shared = SharedErrors(factors.unsqueeze(-1) * changes, number, covariance[left])
    errors = NOISE * shared.colour(errors * draws.to(errors)[track].unsqueeze(1))
    return _Rows("tracks", (placed, measured), every**0.5 * factors, "noise", errors, shared)


def _rows_of_points(
    problem: Velocimetry, block: str, samples: int, generator: torch.Generator
) -> list[_Rows]:
    """Rows of the equations or of the no-slip condition, of a few batches."""
    ranks, batches = problem.ranks, problem.batches
    first, parts = batches.points.first_wall_group, 1
    if block == "navier_stokes":
        first, parts = batches.points.first_group, batches.parts
    weights = torch.tensor(problem.weights[block], dtype=torch.float64)
    chosen = []
    for step in range(BATCHES):
        batch = problem.batch(step)
        count = batch.counts[block]
        every = -(-count // POINTS)
        # Place of this rank's points among those of the batch.
        place = (batch.rows[block] + first) // parts
        kept = place % every == 0
        points = batch.inputs[block][0][kept].double()
        shape = (-(-count // every), len(weights), samples)
        draws = EQUATIONS * torch.randn(shape, generator=generator, dtype=torch.float64)
        chosen.append((points, draws[(place[kept] // every).cpu()].to(points)))
    total = ranks.sum(torch.tensor(sum(len(points) for points, _ in chosen), device=ranks.device))
    factor = (weights * batches.track_count / int(total)).sqrt().to(ranks.device)
    return [
        _Rows(block, (points,), factor.expand(len(points), -1), "equations", errors)
        for points, errors in chosen
    ]


def _wall_displacements(
    case: Case, residuals: Residuals, samples: int, generator: torch.Generator
) -> Tensor | None:
    """Changes (S, sources) of the wall function's strengths that displace the wall at random.

    The displacement is a Gaussian field of standard deviation `case.wall_error` and correlation
    length R, the hydraulic radius, from random waves (Rahimi & Recht 2007). Where the wall moves
    outwards by d the wall function phi rises by d |grad phi|. None where no wall function is used.
    """
    function = case.wall_function
    network = residuals.network
    if STRENGTHS not in dict(network.named_buffers()) or not len(function.strengths):
        return None
    vertices = case.wall.points
    if len(vertices) > WALL_POINTS:
        order = torch.randperm(len(vertices), generator=generator)[:WALL_POINTS]
        vertices = vertices[order.numpy()]
    wave, size = (
        torch.randn(shape, generator=generator, dtype=torch.float64).numpy()
        for shape in ((WAVES, 3), (samples, WAVES, 2))
    )
    turn = vertices @ wave.T / case.radius
    field = np.einsum("vwc,swc->vs", np.stack([np.cos(turn), np.sin(turn)], axis=-1), size)
    displacement = case.wall_error * field / np.sqrt(WAVES)
    steepness = np.linalg.norm(function.gradient(vertices), axis=1, keepdims=True)

    matrix = 1 / cdist(vertices, function.sources)
    gram = matrix.T @ matrix
    gram[np.diag_indices(len(gram))] += RIDGE * gram.diagonal().max()
    strengths = cho_solve(cho_factor(gram), matrix.T @ (steepness * displacement))
    return torch.from_numpy(strengths.T.copy()).to(next(residuals.parameters()))


def _change(
    residuals: Residuals, block: str, inputs: tuple[Tensor, ...], strengths: Tensor
) -> Tensor:
    """Change (n, terms, S) of residuals with changes (S, sources) of the wall's strengths."""
    name = f"network.{STRENGTHS}"
    here = dict(residuals.named_buffers())[name]
    inputs = tuple(values.to(here) for values in inputs)

    def of_strengths(values: Tensor) -> Tensor:
        found: Tensor = functional_call(residuals, {name: values}, ({block: inputs},))[block]
        return found

    def along(change: Tensor) -> Tensor:
        derivative: Tensor = jvp(of_strengths, (here,), (change,))[1]
        return derivative

    changes = vmap(along, out_dims=-1, chunk_size=SAMPLES_AT_ONCE)(strengths.to(here))
    return changes.detach()
