"""Standard deviations of rows: from the files or the settings into the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aiv_rba.files.case import Case, read_case, write_case
from aiv_rba.files.results import Results
from aiv_rba.mixture import inlier_probability
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import FlowNetworkSettings, TrainSettings, load_stage
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.train.uncertainty import drawn_anew
from tests.synthetic import write_tube_experiment
from tests.training_case import PLAIN, write_training_case

ONE = Ranks(0, 1, torch.device("cpu"))


def ingested(folder: Path, settings: dict[str, object] | None = None, **columns: object) -> Case:
    experiment = write_tube_experiment(folder, noise=0.1, ingest=settings)
    table = pd.read_csv(folder / "tracks.csv").assign(**columns)
    table.to_csv(folder / "tracks.csv", index=False)
    ingest(load_stage(experiment, "ingest"), Results(folder))
    return read_case(Results(folder).case)


def test_a_given_deviation_is_the_noise(tmp_path: Path) -> None:
    plain = ingested(tmp_path / "plain")
    case = ingested(tmp_path / "given", {"velocity_std": {"u": 30.0}})
    assert case.noise == {"u": pytest.approx(30e-6 / case.scales.velocity), "v": plain.noise["v"]}
    assert not case.tracks.deviation
    assert np.all(case.relative_noise == 1)


def test_deviations_of_rows_are_kept_with_their_rows(tmp_path: Path) -> None:
    sizes = np.where(np.arange(600) % 3 == 0, 100.0, 20.0)
    case = ingested(tmp_path, v_std=sizes)
    unit = case.scales.velocity
    np.testing.assert_allclose(case.tracks.deviation["v"] * unit, 1e-6 * sizes[case.tracks.row])
    # Weights are inverse squares of the noise; their mean is that of the component's noise.
    assert case.noise["v"] * unit == pytest.approx(np.mean((1e-6 * sizes) ** -2) ** -0.5)
    np.testing.assert_allclose(np.mean(case.relative_noise**-2, axis=0), 1)
    drawn = drawn_anew(case, seed=1).tracks
    np.testing.assert_allclose(drawn.deviation["v"] * unit, 1e-6 * sizes[drawn.row])


@pytest.mark.parametrize("robust", [True, False])
def test_weights_of_rows_are_inverse_squares_of_their_noise(robust: bool, tmp_path: Path) -> None:
    write_training_case(tmp_path)
    case = read_case(tmp_path / "case.h5")
    sigma = np.where(case.tracks.row % 2, 0.04, 0.005)
    noise = {"u": 0.01, "v": float(np.mean(sigma**-2) ** -0.5)}
    case = replace(case, noise=noise, tracks=replace(case.tracks, deviation={"v": sigma}))
    write_case(tmp_path / "case.h5", case)
    case = read_case(tmp_path / "case.h5")
    network = FlowNetworkSettings(width=4, layers=1, **PLAIN)
    settings = TrainSettings(network=network, robust_weights=robust, precision="double")
    problem = Velocimetry(settings, case, tmp_path / "points.h5", ONE)
    # Residuals as large as their noise: nothing looks like a mismatch.
    training = ~case.tracks.validation
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (training.sum(), 2))
    errors = signs * np.stack([np.full(training.sum(), 0.01), sigma[training]], axis=1)
    batch = problem.batch(0)
    factors = problem.factors(batch, {"tracks": torch.from_numpy(errors)})["tracks"].numpy()
    weights = np.array(problem.weights["tracks"]) * factors**2
    assert weights[:, 0] == pytest.approx(0.01**-2, rel=0.1 if robust else 1e-12)
    np.testing.assert_allclose(weights[:, 1], sigma[training] ** -2, rtol=0.1 if robust else 1e-12)
    # A step may take some of the rows only, in any order.
    some = torch.tensor([7, 2, 11, 5, 3, 20])
    part = batch.select({"tracks": some}, {"tracks": len(some)})
    errors = torch.from_numpy(errors)[some]
    factors = problem.factors(part, {"tracks": errors})["tracks"].numpy()
    ratios = factors[:, 1] / factors[0, 1]
    np.testing.assert_allclose(ratios, sigma[training][7] / sigma[training][some], rtol=0.1)


def test_noisy_rows_are_no_mismatches_where_their_noise_is_known() -> None:
    random = np.random.default_rng(1)
    sigma = np.where(np.arange(4000) < 400, 0.3, 0.01)[:, None]
    residual = sigma * random.normal(size=(4000, 1))
    measured = random.normal(size=(4000, 1))
    known = inlier_probability(residual, measured, relative=sigma / 0.01)
    unknown = inlier_probability(residual, measured)
    assert known[:400].mean() > 0.9
    assert unknown[:400].mean() < 0.2
    plain = inlier_probability(residual[400:], measured[400:])
    np.testing.assert_allclose(known[400:], plain, atol=0.05)
