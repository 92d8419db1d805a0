"""Errors on the rows of the tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.fields.derived import sample
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.mixture import amplitude_bias, chi_squared
from aiv_rba.problems.velocimetry.light_sheet import depth_of
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.stages.score.harmonics import missing_harmonics
from aiv_rba.statistics import relative_l2

BINS = 60


def on_tracks(case: Case, model: Model) -> dict[str, Any]:
    """What measured and inferred velocities say about each other, by component.

    Relative L2 on training and validation rows, amplitude bias and missing harmonics on all of
    them, chi-squared and histograms on validation rows. The variance that chi-squared compares with
    is that of the noise and of the depths of the particles.
    """
    velocity, aside = as_measured(case, model)
    unit = model.scales.velocity
    held_out = case.tracks.validation
    kinds = ("validation", "train", "amplitude_bias", "chi_squared", "histograms")
    result: dict[str, Any] = {kind: {} for kind in kinds}
    columns = ["uvw".index(name) for name in case.tracks.velocity]
    everything = np.stack(list(case.tracks.velocity.values()), axis=1)
    inferred = torch.tensor(velocity[:, columns] / unit)
    track = torch.tensor(np.unique(case.tracks.track, return_inverse=True)[1])
    bias = amplitude_bias(inferred, torch.tensor(everything), track=track)
    biases = torch.stack(bias, dim=1).tolist()
    noise = np.array([case.noise[name] for name in case.tracks.velocity])
    noise = np.hypot(noise * case.relative_noise, aside[:, columns] / unit)
    result["missing_harmonics"] = missing_harmonics(case, model, inferred.numpy(), noise)
    chis = chi_squared(inferred.numpy()[held_out], everything[held_out], noise[held_out])
    for (name, measured), column, found, chi in zip(
        case.tracks.velocity.items(), columns, biases, chis, strict=True
    ):
        result["chi_squared"][name] = dict(zip(("value", "standard_error"), chi, strict=True))
        predicted = velocity[:, column] / unit
        # Where nothing moves there is no relative error.
        if not measured[held_out].any():
            continue
        result["validation"][name] = relative_l2(predicted[held_out], measured[held_out])
        result["train"][name] = relative_l2(predicted[~held_out], measured[~held_out])
        if predicted.any():
            result["amplitude_bias"][name] = dict(
                zip(("bias", "standard_error"), found, strict=True)
            )
        low, high = np.quantile(measured[held_out], [0.005, 0.995])
        edges = np.linspace(low, high, BINS + 1)
        result["histograms"][name] = {
            "edges": (edges * unit).tolist(),
            "measured": np.histogram(measured[held_out], edges)[0].tolist(),
            "predicted": np.histogram(predicted[held_out], edges)[0].tolist(),
        }
    result["rows"] = {"train": int((~held_out).sum()), "validation": int(held_out.sum())}
    return result


def as_measured(case: Case, model: Model) -> tuple[Array, Array]:
    """Inferred velocity as rows of the tracks would measure it, and its change in the light sheet.

    Both (N, 3), m/s. The first is the mean over the time between the positions that a velocity is
    computed from and over the depths in the light sheet. The change is that over one standard
    deviation of the depths of particles; it is zero where the depth is measured, or the light sheet
    is thin.
    """
    points, depth = case.tracks.points, depth_of(case.tracks)

    def at(shift: Array) -> Array:
        return sample(model.network, model.scales, points + shift, order=0).velocity

    velocity = at(np.zeros(4))
    mean, change = velocity, np.zeros_like(velocity)
    if case.interval:
        aside = case.interval / np.sqrt(12) * np.eye(4)[0]
        mean = mean + (at(aside) + at(-aside)) / 2 - velocity
    if depth is not None and model.depth_spread:
        aside = model.depth_spread * np.eye(4)[1 + depth]
        above, below = at(aside), at(-aside)
        mean = mean + (above + below) / 2 - velocity
        change = (above - below) / 2
    return mean, change


def noise_floor(path: Path, file: h5py.File, case: Case) -> dict[str, float]:
    """Relative L2 of the true velocity on the validation rows: what a perfect field would score."""
    held_out = case.tracks.validation
    rows = case.tracks.row[held_out]
    floor = {}
    for name, measured in case.tracks.velocity.items():
        true = at_rows(path, file, f"tracks/{name}", rows)
        if measured[held_out].any():
            floor[name] = relative_l2(true / case.scales.velocity, measured[held_out])
    return floor


def at_rows(path: Path, file: h5py.File, name: str, rows: IntArray) -> NDArray[Any]:
    """Values of a dataset of the truth at rows of the tracks file.

    Raises
    ------
    UserError
        If the dataset has fewer rows.
    """
    values = file[name][:]
    if rows.max() >= len(values):
        raise UserError(
            f"{path}: {name} has {len(values)} rows, expected at least {rows.max() + 1}, as the "
            "tracks have"
        )
    return np.asarray(values[rows])
