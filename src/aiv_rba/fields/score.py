"""Stage score: errors on held-out tracks and, where it is known, against the truth."""

from __future__ import annotations

import json
import time as clock
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from aiv_rba import config
from aiv_rba.errors import UserError
from aiv_rba.fields.derived import at_time, sample
from aiv_rba.fields.hydraulics import hydraulics
from aiv_rba.geometry import Lumen
from aiv_rba.nn.model_file import Model, load_model
from aiv_rba.store import Array, Case, atomic_path, check_same_case, open_h5, read_case

PHASES = 20
SECTIONS = 21
BINS = 60


def relative_l2(predicted: Array, exact: Array) -> float:
    """Relative L2 error; Eq. 27."""
    return float(np.linalg.norm(predicted - exact) / np.linalg.norm(exact))


def score(settings: config.Score, *, case: Path, model: Path, scores: Path) -> None:
    """Write scores.json.

    Raises
    ------
    UserError
        If a file is damaged, or model or truth belong to another experiment.
    """
    started = clock.perf_counter()
    experiment, trained = read_case(case), load_model(model)
    check_same_case(model, trained.identity, experiment.identity)
    result = on_tracks(experiment, trained)
    if settings.truth:
        with open_h5(Path(settings.truth), "truth") as file:
            result["noise_floor"] = noise_floor(Path(settings.truth), file, experiment)
            result["truth"] = against_truth(file, experiment, trained)
    result["case"] = experiment.identity
    result["seconds"] = clock.perf_counter() - started
    with atomic_path(scores) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")


def on_tracks(case: Case, model: Model) -> dict[str, Any]:
    """Relative L2 on training and validation rows, and histograms of the validation rows."""
    velocity = sample(model.network, model.scales, case.tracks.points).velocity
    unit = model.scales.velocity
    held_out = case.tracks.validation
    result: dict[str, Any] = {"validation": {}, "train": {}, "histograms": {}}
    for name, measured in case.tracks.velocity.items():
        predicted = velocity[:, "uvw".index(name)] / unit
        # Where nothing moves there is no relative error.
        if not measured[held_out].any():
            continue
        result["validation"][name] = relative_l2(predicted[held_out], measured[held_out])
        result["train"][name] = relative_l2(predicted[~held_out], measured[~held_out])
        low, high = np.quantile(measured[held_out], [0.005, 0.995])
        edges = np.linspace(low, high, BINS + 1)
        result["histograms"][name] = {
            "edges": (edges * unit).tolist(),
            "measured": np.histogram(measured[held_out], edges)[0].tolist(),
            "predicted": np.histogram(predicted[held_out], edges)[0].tolist(),
        }
    result["rows"] = {"train": int((~held_out).sum()), "validation": int(held_out.sum())}
    return result


def noise_floor(path: Path, file: h5py.File, case: Case) -> dict[str, float]:
    """Relative L2 of the true velocity on the validation rows: what a perfect field would score."""
    held_out = case.tracks.validation
    rows = case.tracks.row[held_out]
    floor = {}
    for name, measured in case.tracks.velocity.items():
        true = file[f"tracks/{name}"][:]
        if not measured[held_out].any():
            continue
        if rows.max() >= len(true):
            raise UserError(
                f"{path}: tracks/{name} has {len(true)} rows, expected at least {rows.max() + 1}, "
                "as the tracks have"
            )
        floor[name] = relative_l2(true[rows] / case.scales.velocity, measured[held_out])
    return floor


def against_truth(file: h5py.File, case: Case, model: Model) -> dict[str, float]:
    """Relative L2 over space and time of every field that the truth holds."""
    scales = model.scales
    inside, on_wall = (
        (file[f"{group}/position"][:] - np.array(scales.origin)) / scales.length
        for group in ("points", "wall")
    )
    normals = file["wall/normal"][:]
    names = ("velocity", "pressure", "vorticity", "wss")
    predicted: dict[str, list[Array]] = {name: [] for name in names}
    exact: dict[str, list[Array]] = {name: [] for name in names}
    phases = np.arange(PHASES) / PHASES
    for phase in phases:
        time = phase * scales.nondimensional_period
        flow = sample(model.network, scales, at_time(inside, time))
        wall = sample(model.network, scales, at_time(on_wall, time))
        predicted["velocity"].append(flow.velocity)
        predicted["pressure"].append(flow.pressure - flow.pressure.mean())
        predicted["vorticity"].append(flow.vorticity)
        predicted["wss"].append(wall.wall_shear_stress(normals, scales.viscosity))
        pressure = fourier(file["points/pressure"], phase)
        exact["velocity"].append(fourier(file["points/velocity"], phase))
        exact["pressure"].append(pressure - pressure.mean())
        exact["vorticity"].append(fourier(file["points/vorticity"], phase))
        exact["wss"].append(fourier(file["wall/wall_shear_stress"], phase))

    errors = {n: relative_l2(np.array(predicted[n]), np.array(exact[n])) for n in names}
    for i, name in enumerate("uvw"):
        component = np.array(exact["velocity"])[..., i]
        if component.any():
            errors[name] = relative_l2(np.array(predicted["velocity"])[..., i], component)
    lumen = Lumen.from_wall(case.wall, case.axis)
    times = phases * scales.nondimensional_period
    flow_rate = hydraulics(model.network, scales, lumen, times, SECTIONS).flow_rate_m3_s
    true_rate = np.array([fourier(file["flow_rate"], phase) for phase in phases])
    errors["flow_rate"] = relative_l2(flow_rate.to_numpy(), true_rate)
    return errors


def fourier(modes: h5py.Dataset, phase: float) -> NDArray[np.float64]:
    """Re sum_k c_k exp(2 pi i k phase) of modes (K, ...)."""
    waves = np.exp(2j * np.pi * np.arange(modes.shape[0]) * phase)
    return np.asarray(np.tensordot(waves, modes[:], axes=1).real)
