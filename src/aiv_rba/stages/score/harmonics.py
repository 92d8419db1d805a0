"""Harmonics that the tracks have and the network does not."""

from __future__ import annotations

import numpy as np
import torch

from aiv_rba.fields.derived import points_at_once
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.mixture import fit
from aiv_rba.problems.velocimetry.model import Model

# How many of the next harmonics are looked at.
NEXT = 3


def missing_harmonics(
    case: Case, model: Model, inferred: Array, noise: Array
) -> dict[str, float] | None:
    """Size of the next three harmonics in the residuals of the tracks, as a share of the velocity.

    A harmonic of the flow in a vessel has nearly the shape of the others. So the residuals are
    fitted by the largest coefficient in time of the inferred flow, times cosine and sine of each of
    the next harmonics. The root of the sum of squares of these, over that of the velocity, comes
    with its standard error, by the tracks, whose rows may share errors (Liang & Zeger 1986).

    None where the flow is unsteady, the rows have no times, or the network gives no coefficients in
    time.

    Parameters
    ----------
    case, model
        The experiment and the flow that was inferred.
    inferred
        (N, components): velocities of all rows as they would be measured, nondimensional.
    noise
        (N, components): standard deviation of the residuals.
    """
    tracks, network = case.tracks, model.network
    times = tracks.points[:, 0]
    if case.flow == "unsteady" or not np.ptp(times) or not network.has_coefficients:
        return None
    measured = np.stack(list(tracks.velocity.values()), axis=1)
    residual = measured - inferred
    rows = [torch.tensor(values) for values in (residual, measured, np.ones_like(residual))]
    factor = np.sqrt(fit(*rows).probability(*rows).numpy())[:, None] / noise

    columns = ["uvw".index(name) for name in tracks.velocity]
    positions = torch.tensor(tracks.points[:, 1:]).to(network.scales)
    with torch.no_grad():
        parts = [
            network.coefficients(part, order=0)[0][:, columns].cpu()
            for part in torch.split(positions, points_at_once(network))
        ]
    scaled = factor[..., None] * torch.cat(parts).numpy()
    shape = scaled[..., np.square(scaled).sum(axis=(0, 1)).argmax()]
    residual, velocity = factor * residual, factor * inferred
    if not velocity.any():
        return None

    track = np.unique(tracks.track, return_inverse=True)[1]
    size = np.square(shape).sum() / 2 / np.square(velocity).sum()
    turn = 2 * np.pi * times / case.scales.nondimensional_period
    known = (network.modes - 1) // 2
    squares = variances = 0.0
    for harmonic in range(known + 1, known + 1 + NEXT):
        waves = np.stack([np.cos(harmonic * turn), np.sin(harmonic * turn)], axis=-1)
        wave = shape[..., None] * waves[:, None]
        gram = np.einsum("nci,ncj->ij", wave, wave)
        found, *_ = np.linalg.lstsq(gram, np.einsum("nci,nc->i", wave, residual))
        left = np.einsum("nci,nc->ni", wave, residual - wave @ found)
        of_track = np.zeros((track.max() + 1, 2))
        np.add.at(of_track, track, left)
        errors = np.linalg.lstsq(gram, of_track.T)[0]
        squares += size * np.square(found).sum()
        variances += size * np.square(errors).sum() / 2
    return {"value": float(np.sqrt(squares)), "standard_error": float(np.sqrt(variances))}
