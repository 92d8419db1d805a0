"""Harmonics that the tracks have and the network does not, without a truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aiv_rba.problems.velocimetry.model import Model, load_model
from aiv_rba.stages.score.harmonics import missing_harmonics
from aiv_rba.stages.score.quality import quality
from aiv_rba.stages.score.tracks import on_tracks
from tests.exact import SCALES, case_of, swirling, write_trained

NOISE = 0.05


@pytest.fixture
def model(tmp_path) -> Model:
    """A network of a mean and one harmonic."""
    write_trained(tmp_path)
    return load_model(tmp_path / "model.pt")


def measured(model, harmonic, size, seed=0, rows=4000, shared=0.0):
    """Tracks of the network's flow plus `size` of it in a higher harmonic; size as it is seen."""
    case = case_of(swirling, rows)
    rng = np.random.default_rng(seed)
    points = torch.tensor(case.tracks.points)
    with torch.no_grad():
        flow = model.network.value(points)[:, :2].numpy()
        # The shape of the second coefficient, a cosine.
        shape = model.network.coefficients(points[:, 1:], 0)[0, :, :2, 1].numpy()
    turn = 2 * np.pi * harmonic * case.tracks.points[:, 0] / SCALES.nondimensional_period
    wave = shape * np.cos(turn - 0.7)[:, None]
    wave *= size * np.sqrt(np.sum(flow**2) / np.sum(wave**2))
    scale = np.sqrt(np.mean(flow**2))
    errors = NOISE * scale * rng.normal(size=flow.shape)
    errors += shared * rng.normal(size=case.tracks.track.max() + 1)[case.tracks.track, None] * flow
    velocity = dict(zip("uv", (flow + wave + errors).T, strict=True))
    noise = dict.fromkeys("uv", NOISE * scale)
    return replace(case, tracks=replace(case.tracks, velocity=velocity), noise=noise), flow


def found_in(model, *how, **options):
    case, flow = measured(model, *how, **options)
    noise = np.array([list(case.noise.values())]) * np.ones_like(flow)
    return missing_harmonics(case, model, flow, noise)


@pytest.mark.parametrize("harmonic", [2, 3, 4])
def test_the_size_of_a_missing_harmonic(model, harmonic):
    found = found_in(model, harmonic, 0.04)
    assert found["value"] == pytest.approx(0.04, abs=3 * found["standard_error"])
    assert found["standard_error"] < 0.002


@pytest.mark.parametrize("shared", [0.0, 0.1])
def test_nothing_is_found_where_nothing_is_missing(model, shared):
    """Six amplitudes that chance gives have a mean square of six variances of one of them.

    The standard error is that of the root of the sum of three pairs, whose variance is half of
    each pair's; rows of a track may share an error.
    """
    runs = [found_in(model, 2, 0.0, seed=seed, rows=500, shared=shared) for seed in range(60)]
    values, errors = (np.array([run[name] for run in runs]) for name in ("value", "standard_error"))
    assert np.mean(values**2) / np.mean(2 * errors**2) == pytest.approx(1, abs=0.25)
    assert np.mean(values - 2 * errors > 0.005) < 0.1


def test_the_verdict_sees_it(model):
    def verdict(size):
        case, _ = measured(model, 2, size)
        return quality(case, model, on_tracks(case, model), {})

    assert "missing_harmonics" not in verdict(0.0)["because"]
    found = verdict(0.05)
    assert found["quantities"]["missing_harmonics"]["grade"] == "poor"
    assert "missing_harmonics" in found["because"]


def test_an_unsteady_flow_has_no_harmonics_and_rows_without_times_show_none(model):
    case, flow = measured(model, 2, 0.05)
    unsteady = replace(case, scales=replace(case.scales, flow="unsteady"))
    timeless = replace(case, tracks=replace(case.tracks, points=case.tracks.points * [0, 1, 1, 1]))
    for other in (unsteady, timeless):
        assert missing_harmonics(other, model, flow, np.ones_like(flow)) is None
