"""Stage score on flows whose errors are known."""

import json

import h5py
import numpy as np
import pytest
import torch

from aiv_rba import config
from aiv_rba.fields.score import against_truth, fourier, noise_floor, on_tracks, relative_l2, score
from tests.exact import (
    SCALES,
    ExactFlow,
    case_of,
    model_of,
    noisy,
    swirling,
    write_trained,
    write_truth,
)


def test_relative_l2():
    """|(3, 4) - (0, 4)| / |(0, 4)| = 3 / 4."""
    assert relative_l2(np.array([3.0, 4.0]), np.array([0.0, 4.0])) == pytest.approx(0.75)


def test_fourier_sums_the_modes(tmp_path):
    """Modes 2, 1 - i are 2 + cos(2 pi s) + sin(2 pi s)."""
    with h5py.File(tmp_path / "modes.h5", "w") as file:
        file["c"] = np.array([[2.0], [1 - 1j]])
        for phase in (0.0, 0.2, 0.7):
            angle = 2 * np.pi * phase
            expected = 2 + np.cos(angle) + np.sin(angle)
            assert fourier(file["c"], phase)[0] == pytest.approx(expected)


def test_exact_flow_scores_nothing(tmp_path):
    """Every error of the exact flow is rounding: the truth is in single precision."""
    write_truth(tmp_path / "truth.h5")
    with h5py.File(tmp_path / "truth.h5") as file:
        errors = against_truth(file, case_of(swirling), model_of(ExactFlow(swirling)))
    assert set(errors) == {
        *("velocity", "u", "v", "w", "pressure", "vorticity", "wss", "flow_rate")
    }
    assert max(errors.values()) < 1e-6


def test_flow_that_is_too_fast_by_a_tenth(tmp_path):
    """Ten percent of the flow is ten percent of error in every field; the gauge costs nothing."""
    write_truth(tmp_path / "truth.h5")
    flow = ExactFlow(lambda q: 1.1 * swirling(q) + torch.tensor([0.0, 0.0, 0.0, 50.0]))
    with h5py.File(tmp_path / "truth.h5") as file:
        errors = against_truth(file, case_of(swirling), model_of(flow))
    np.testing.assert_allclose(list(errors.values()), 0.1, rtol=1e-5)


def test_errors_on_tracks():
    """Measurements twice the flow: the error is |1 - 2| / 2, on each side of the split."""
    case = noisy(case_of(swirling), 2.0)
    result = on_tracks(case, model_of(ExactFlow(swirling)))
    for side in ("validation", "train"):
        assert result[side] == pytest.approx({"u": 0.5, "v": 0.5})
    assert result["rows"]["train"] + result["rows"]["validation"] == 200
    assert result["rows"]["validation"] == case.tracks.validation.sum()


def test_validation_ignores_the_training_rows():
    case = case_of(swirling)
    for values in case.tracks.velocity.values():
        values[~case.tracks.validation] *= 3
    result = on_tracks(case, model_of(ExactFlow(swirling)))
    assert max(result["validation"].values()) < 1e-12
    assert result["train"]["v"] == pytest.approx(2 / 3)


def test_histograms_count_the_validation_rows():
    """The exact flow has the histogram of the measurements, in m/s."""
    case = case_of(swirling, rows=2000)
    histogram = on_tracks(case, model_of(ExactFlow(swirling)))["histograms"]["v"]
    measured = case.tracks.velocity["v"][case.tracks.validation] * SCALES.velocity
    edges = np.array(histogram["edges"])
    within = (measured >= edges[0]) & (measured <= edges[-1])
    assert sum(histogram["measured"]) == within.sum()
    assert np.abs(np.subtract(histogram["measured"], histogram["predicted"])).sum() <= 4


def test_noise_floor_finds_the_rows_of_the_file(tmp_path):
    """True velocities lie in the order of the file; kept rows are scattered over it."""
    case = noisy(case_of(swirling), 1.25)
    path = tmp_path / "truth.h5"
    with h5py.File(path, "w") as file:
        for name, measured in case.tracks.velocity.items():
            true = np.full(220, np.nan)
            true[case.tracks.row] = measured / 1.25 * SCALES.velocity
            file[f"tracks/{name}"] = true
        assert noise_floor(path, file, case) == pytest.approx({"u": 0.2, "v": 0.2})


@pytest.mark.parametrize("known", [False, True])
def test_stage_writes_scores(tmp_path, known):
    write_trained(tmp_path)
    write_truth(tmp_path / "truth.h5")
    settings = config.Score(truth=str(tmp_path / "truth.h5") if known else None)
    files = {name: tmp_path / f"{name}" for name in ("case.h5", "model.pt", "scores.json")}
    score(settings, case=files["case.h5"], model=files["model.pt"], scores=files["scores.json"])
    result = json.loads(files["scores.json"].read_text())
    assert ("truth" in result) == ("noise_floor" in result) == known
    assert result["seconds"] > 0
