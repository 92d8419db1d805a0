"""Inference with nothing set but data, units, fluid and period, against an exact flow."""

import numpy as np
import pytest
import torch
import yaml

from aiv_rba.cli import main
from aiv_rba.problems.velocimetry.model import load_model
from tests.stages import prepare
from tests.synthetic import tube_of, write_tube_experiment

NEEDED = ("tracks", "wall", "fluid", "period", "axis", "units")


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_tube_along_any_axis_with_every_setting_at_its_default(axis, tmp_path):
    path = write_tube_experiment(tmp_path, axis=axis, tracks=250, noise=0.05)
    whole = yaml.safe_load(path.read_text())
    # Fewer steps than the default, to be quick; nothing else.
    least = {
        "name": "tube",
        "ingest": {key: whole["ingest"][key] for key in NEEDED},
        "train": {"optimiser": {"name": "gauss_newton", "iterations": 15}},
    }
    path.write_text(yaml.safe_dump(least))

    results = prepare(tmp_path / "results", path)
    for stage in ("ingest", "points", "train"):
        assert main([stage, str(results.folder)]) == 0

    tube, trained = tube_of(axis=axis), load_model(results.model)
    scales = trained.scales
    rng = np.random.default_rng(3)
    r, angle = np.sqrt(rng.uniform(0, 1, 500)) * tube.radius, rng.uniform(0, 2 * np.pi, 500)
    positions = np.empty((500, 3))
    across = [i for i in range(3) if i != tube.along]
    positions[:, across] = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    positions[:, tube.along] = rng.uniform(0, tube.length, 500)
    positions += tube.centre
    time = rng.uniform(0, tube.period, 500)
    exact = tube.velocity(time, positions)
    inputs = np.column_stack(
        [time / scales.time, (positions - np.array(scales.origin)) / scales.length]
    )
    with torch.no_grad():
        inferred = trained.network.value(torch.tensor(inputs)).numpy()[:, :3] * scales.velocity
    # The triangles of a 24-sided tube leave out a percent of the section.
    assert np.linalg.norm(inferred - exact) < 0.03 * np.linalg.norm(exact)
