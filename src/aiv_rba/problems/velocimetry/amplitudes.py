"""One last fit of the amplitudes: a factor of the mean flow, and one and a phase per harmonic.

Where the flow is linear its mean and its harmonics can be scaled without violating an equation, so
that whatever the equations' tolerances, multipliers and a finite number of steps take from them is
not settled by the equations: the tracks say by how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.settings.types import FlowKind

# Standard deviation of the factors about one. A harmonic that is hardly there would otherwise
# follow the noise.
PRIOR = 0.05
# Depths of particles follow from the flow, and the factors from the depths.
ROUNDS = 2
# A flow that needs a larger change is wrong in more than its amplitudes.
LARGEST = 0.2


@dataclass(frozen=True)
class FittedAmplitudes:
    """What the fit changed.

    Attributes
    ----------
    changes
        Of the factor of the mean flow, and of factor and phase (radians) of each harmonic; of
        the factor of the whole flow if it is unsteady or its network gives no coefficients. Zero
        where the tracks ask for more than a fifth, which is no matter of amplitudes.
    raised
        By how much the main component at the training tracks became larger.
    """

    changes: list[float]
    raised: float


def scalings(flow: FlowKind, modes: int) -> Tensor:
    """Derivatives (k, modes, modes) of a flow's coefficients in time, in their factors.

    For a mean, cosines and sines of a periodic flow, k is the number of coefficients. With any
    other the flow has one factor, since polynomials in time follow from each other.
    """
    if flow != "periodic" or modes == 1:
        return torch.eye(modes, dtype=torch.float64)[None]
    harmonics = (modes - 1) // 2
    found = torch.zeros(modes, modes, modes, dtype=torch.float64)
    found[0, 0, 0] = 1
    for k in range(1, harmonics + 1):
        cosine, sine = k, harmonics + k
        factor, phase = found[2 * k - 1], found[2 * k]
        factor[cosine, cosine] = factor[sine, sine] = 1
        phase[cosine, sine], phase[sine, cosine] = 1, -1
    return found


@torch.no_grad()
def fit_amplitudes(problem: Velocimetry, flow: FlowKind) -> FittedAmplitudes:
    """Scale mean and harmonics of the trained flow so that the training tracks are met best.

    By generalised least squares, in which the rows of a track share the error of the depth of their
    particle, and with a prior of five percent for each factor. Pressure is scaled as velocity is.
    A flow for which that is too little stays as it is. Every rank calls this; all find the same.
    """
    derivatives = scalings(flow, problem.network.modes).to(problem.ranks.device)
    one = torch.eye(problem.network.modes).to(derivatives)
    changes, scaling = derivatives.new_zeros(len(derivatives)), one
    for _ in range(ROUNDS):
        problem.find_each_depth()
        back = torch.linalg.inv(scaling)
        score, known = _normal_equations(problem, derivatives @ back)
        known.diagonal().add_(1 / PRIOR**2)
        changes += torch.linalg.solve(known, score - changes / PRIOR**2)
        # Also where a number is not finite.
        if not changes.abs().max() <= LARGEST:
            problem.network.scale_in_time(back)
            return FittedAmplitudes([0.0] * len(changes), 0.0)
        scaling = one + torch.einsum("k,kmn->mn", changes, derivatives)
        problem.network.scale_in_time(scaling @ back)
    raised = _raised(problem, torch.linalg.inv(scaling))
    return FittedAmplitudes(changes.tolist(), raised)


def _normal_equations(problem: Velocimetry, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Score (k,) of the tracks in factors of the flow, and what they tell of these, (k, k).

    By each factor the coefficients in time change by one of the matrices (k, modes, modes) times
    these coefficients.
    """
    points, deviation = problem.placed_tracks()
    weight, noise = problem.matched(problem.flow.as_measured(points, deviation).double())
    measured = problem.batches.measured.double()
    sides = [points]
    if problem.sheet is not None and deviation is not None:
        # A mean over the depths that a particle may have, as in the steps of the training.
        aside = torch.zeros_like(points)
        aside[:, problem.sheet.depth] = deviation
        sides = [points + aside, points - aside]
    one = torch.eye(matrices.shape[-1]).to(matrices)
    scores, responses = [], []
    for side in sides:
        found = problem.flow.scaled_in_time(side, torch.cat([one[None], matrices])).double()
        residual = (measured - found[..., 0]) / noise
        response = found[..., 1:] / noise.unsqueeze(-1)
        scores.append(torch.einsum("n,nck,nc->k", weight, response, residual))
        responses.append(response)
    score = problem.ranks.sum(torch.stack(scores).mean(0))
    response = torch.stack(responses).mean(0)
    return score, problem.information(response, problem.changes_in_depth(), weight, noise)


def _raised(problem: Velocimetry, back: Tensor) -> float:
    """By how much the main component at the tracks exceeds that of the flow scaled `back`."""
    points, deviation = problem.placed_tracks()
    weight, _ = problem.matched(problem.flow.as_measured(points, deviation).double())
    pair = torch.stack([torch.eye(len(back)).to(back), back])
    after, before = problem.flow.scaled_in_time(points, pair)[:, problem.main].double().unbind(-1)
    sums = torch.stack([weight @ (before * after), weight @ before.square()])
    product, square = problem.ranks.sum(sums).tolist()
    return product / square - 1 if square else 0.0
