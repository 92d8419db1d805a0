"""Errors of a run on held-out tracks and against the truth, and what its multipliers single out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from aiv_rba.fields.flow import Flow, open_flow
from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.files.results import Results
from aiv_rba.files.truth import open_truth
from aiv_rba.geometry import Lumen, Region
from aiv_rba.harmonics import fourier
from aiv_rba.stages.score.tracks import noise_floor, on_tracks
from aiv_rba.stages.score.truth import PHASES, Compared, against_truth, pressure_drop
from aiv_rba.statistics import relative_l2
from studies.study.attention import attention
from studies.study.train import FINAL

# Fields of which the largest error and its place are kept.
LARGEST = ("velocity", "pressure", "wss")


def stress_errors(wrong: Array, true: Array) -> dict[str, float]:
    """Relative L2 errors of wall shear stresses (T, M, 3) as vectors and of their magnitudes.

    Parameters
    ----------
    wrong, true
        Inferred minus true stress, and the true one.
    """
    inferred, exact = (np.linalg.norm(values, axis=-1) for values in (true + wrong, true))
    return {
        "wss": relative_l2(true + wrong, true),
        "wss_magnitude": relative_l2(inferred, exact),
    }


def largest_error(wrong: Array, true: Array, places: Array, times: Array) -> dict[str, Any]:
    """The largest error of a field, over the largest true value, and where and when it is.

    Parameters
    ----------
    wrong, true
        Inferred minus true values (T, N) or vectors (T, N, 3), and the true ones.
    places, times
        Positions (N, 3), m, and times (T,), s.
    """
    size, most = (
        np.linalg.norm(values.reshape(*values.shape[:2], -1), axis=-1) for values in (wrong, true)
    )
    time, place = np.unravel_index(np.argmax(size), size.shape)
    return {
        "value": float(size[time, place] / most.max()),
        "position_m": places[place].tolist(),
        "time_s": float(times[time]),
    }


def drop_errors(lumen: Lumen | Region, compared: Compared) -> dict[str, float]:
    """Relative errors of pressure drop (L2 over the cycle) and of hydraulic resistance.

    Both drops are of the fields at the same points. Resistance is the mean drop over the mean flow
    rate. Empty where the vessel is no tube.
    """
    true, rates = compared.differences.pressure_drop, compared.differences.flow_rate
    if not isinstance(lumen, Lumen):
        return {}
    wrong = pressure_drop(lumen, compared.places.inside, compared.differences.pressure)
    phases = np.arange(PHASES) / PHASES
    series = [np.array([fourier(modes, phase) for phase in phases]) for modes in (wrong, true)]
    drop, rate = float(true[0].real), float(rates[0].real)
    inferred = (drop + float(wrong[0].real)) / (rate + float(compared.wrong["flow_rate"].mean()))
    return {
        "pressure_drop": float(np.linalg.norm(series[0]) / np.linalg.norm(series[1])),
        "resistance": abs(inferred / (drop / rate) - 1),
    }


def truth_errors(file: h5py.File, flow: Flow, compared: Compared) -> dict[str, Any]:
    """All errors against the truth, and the largest ones."""
    scales, places = flow.case.scales, compared.differences
    phases = scales.shares(PHASES)
    kept = np.flatnonzero(flow.inside(file["points/position"][:]))
    true = {
        "velocity": file["points/velocity"][:][:, kept],
        "pressure": file["points/pressure"][:][:, kept],
        "wss": file["wall/wall_shear_stress"][:],
    }
    exact = {n: np.array([fourier(m, phase) for phase in phases]) for n, m in true.items()}
    exact["pressure"] -= exact["pressure"].mean(axis=1, keepdims=True)
    at = {"velocity": places.points, "pressure": places.points, "wss": places.wall_points}
    times = scales.seconds(compared.places.times)
    largest = {
        name: largest_error(compared.wrong[name], exact[name], at[name], times) for name in LARGEST
    }
    for name in LARGEST:
        where = np.array([largest[name]["position_m"]])
        largest[name]["radii_from_wall"] = float(flow.wall_distance(where)[0])
    errors = compared.errors | stress_errors(compared.wrong["wss"], exact["wss"])
    return {"errors": errors | drop_errors(flow.lumen, compared), "largest": largest}


def measure(results: Results, truth: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is measured of a run, and its multipliers of single rows where it has any."""
    flow = open_flow(results.folder)
    tracks = on_tracks(flow.case, flow.model)
    kept = ("validation", "train", "amplitude_bias", "histograms")
    with open_truth(truth) as file:
        compared = against_truth(file, flow.case, flow.model)
        found = {name: tracks[name] for name in kept}
        found["noise_floor"] = noise_floor(truth, file, flow.case)
        found["truth"] = truth_errors(file, flow, compared)
        with np.load(results.folder / FINAL) as saved:
            multipliers = dict(saved)
        singled, maps = attention(flow, results.points, truth, file, multipliers, compared)
    return found | {"attention": singled}, maps


def write_measures(results: Results, truth: Path, made_from: dict[str, Any]) -> None:
    """Measure one run, and write measures.json and multipliers.npz into its folder.

    Parameters
    ----------
    results
        Its folder.
    truth
        File of the true fields.
    made_from
        What the run was made from, to be written along.
    """
    found, maps = measure(results, truth)
    with atomic_path(results.folder / "multipliers.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **maps)
    with atomic_path(results.folder / "measures.json") as path:
        path.write_text(json.dumps(found | {"made_from": made_from}, indent=2) + "\n")
