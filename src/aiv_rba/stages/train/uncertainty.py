"""What the trained flow may be off by: from the curvature, or from an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.problems.velocimetry.curvature import sample_deviations
from aiv_rba.problems.velocimetry.deviations import Deviations, EnsembleMembers
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.settings import TrainSettings

Method = Literal["curvature", "ensemble", "none"]
# A curvature of more parameters takes more than a tenth of the time of the training.
MOST_PARAMETERS = 10_000


def method_of(settings: TrainSettings, parameters: int) -> Method:
    """How the standard deviations of a network with so many parameters are found.

    Raises
    ------
    UserError
        If the curvature is asked for and the network is weight-normalised.
    """
    asked = settings.uncertainty.method
    if asked == "curvature" and settings.network.weight_normalisation:
        raise UserError(
            "train.uncertainty.method: found curvature with network.weight_normalisation: true, "
            "expected ensemble or none"
        )
    if asked != "auto":
        return asked
    small = settings.few_large_steps and parameters <= MOST_PARAMETERS
    return "curvature" if small else "none"


def find_deviations(
    method: Method,
    problem: Velocimetry,
    case: Case,
    train_member: Callable[[TrainSettings, Case, str], Velocimetry],
    raised: float,
) -> Deviations | None:
    """Samples of what the flow may be off by; every rank calls this.

    Parameters
    ----------
    method
        How they are found.
    problem, case
        The problem with its trained network.
    train_member
        Trains a network anew, from settings and a case, under a name of its own.
    raised
        By how much the fit of the amplitudes raised the flow on the tracks.
    """
    settings = problem.settings
    if method == "none":
        return None
    if method == "curvature":
        return sample_deviations(problem, case, settings.uncertainty, raised)
    members = []
    for number in range(1, settings.uncertainty.members + 1):
        seed = settings.uncertainty.seed + number
        other = replace(settings, seed=settings.seed + seed)
        member = train_member(other, drawn_anew(case, seed), f"member_{number}")
        state = member.network.cpu().double().state_dict()
        members.append({name: values.clone() for name, values in state.items()})
    return EnsembleMembers(members)


def drawn_anew(case: Case, seed: int) -> Case:
    """The case with its training tracks drawn anew with replacement (Efron 1979).

    Whole tracks are drawn, since the errors of the rows of one track are not independent. A track
    that is drawn twice counts twice. Held-out rows stay.
    """
    tracks = case.tracks
    held_out = np.flatnonzero(tracks.validation)
    training = np.flatnonzero(~tracks.validation)
    numbers, of_row = np.unique(tracks.track[training], return_inverse=True)
    drawn = np.random.default_rng(seed).integers(len(numbers), size=len(numbers))
    rows = np.concatenate([training[of_row == number] for number in drawn] + [held_out])
    return replace(case, tracks=tracks.rows(rows))
