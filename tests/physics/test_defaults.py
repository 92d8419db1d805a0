"""Inference with nothing set but data, units, fluid and period, against an exact flow."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import pyvista as pv
import torch
import yaml

from aiv_rba.cli import main
from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.problems.velocimetry.model import load_model
from aiv_rba.settings import TrainSettings
from tests.stages import prepare
from tests.synthetic import Tube, tube_of, write_tube_experiment

NEEDED = ("tracks", "wall", "fluid", "period", "units")


def least(path, **sections):
    """Leave what a user must write in an experiment, and put these sections to it."""
    ingest = yaml.safe_load(path.read_text())["ingest"]
    needed = {key: ingest[key] for key in NEEDED}
    path.write_text(yaml.safe_dump({"name": "tube", "ingest": needed, **sections}))


@dataclass(frozen=True)
class SeenInSpace(Tube):
    """The flow in a tube, of which all components are measured."""

    @property
    def measured(self):
        return list("uvw")


def chosen_for(folder, tube, order):
    """Axis, scales and weights of a tube along y whose axes are put in this order."""
    path = write_tube_experiment(folder, tube=tube, noise=0.05)
    table, wall = pd.read_csv(folder / "tracks.csv"), pv.read(folder / "wall.stl")
    for names in ("xyz", "uvw"):
        before = [names[axis] for axis in order if names[axis] in table]
        after = [names[i] for i, axis in enumerate(order) if names[axis] in table]
        table = table.rename(columns=dict(zip(before, after, strict=True)))
    wall.points = wall.points[:, order]
    table.to_csv(folder / "tracks.csv", index=False)
    wall.save(folder / "wall.stl")
    least(path)
    results = prepare(folder / "results", path)
    assert main(["ingest", str(results.folder)]) == 0
    case = read_case(results.case)
    settings = resolve(TrainSettings(), case)
    return case.axis, settings.network.output_scales, settings.global_weights


# A camera along z sees u and v alone, so that these two can only be exchanged.
@pytest.mark.parametrize(
    ("tube", "order"),
    [(SeenInSpace(), [2, 0, 1]), (SeenInSpace(), [1, 2, 0]), (Tube(), [1, 0, 2])],
)
def test_scales_and_weights_turn_with_the_vessel(tube, order, tmp_path):
    axis, scales, weights = chosen_for(tmp_path / "given", tube, [0, 1, 2])
    turned_axis, turned_scales, turned = chosen_for(tmp_path / "turned", tube, order)
    assert axis == order[turned_axis] == 1
    # The flow is along the axis; what is measured across it is noise.
    assert scales[axis] > 10 * max(scales[0], scales[2])
    assert weights.momentum[axis] < min(weights.momentum[0], weights.momentum[2])
    assert turned_scales == pytest.approx([scales[i] for i in (*order, 3)], rel=1e-4)
    for name in ("tracks", "momentum"):
        expected = [getattr(weights, name)[i] for i in order]
        assert getattr(turned, name) == pytest.approx(expected, rel=1e-4)
    assert turned.no_slip == weights.no_slip
    assert turned.mass == pytest.approx(weights.mass, rel=1e-4)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_tube_along_any_axis_with_every_setting_at_its_default(axis, tmp_path):
    path = write_tube_experiment(tmp_path, axis=axis, tracks=250, noise=0.05)
    # Fewer steps than the default, to be quick; nothing else.
    least(path, train={"optimiser": {"name": "gauss_newton", "iterations": 15}})

    results = prepare(tmp_path / "results", path)
    for stage in ("ingest", "points", "train"):
        assert main([stage, str(results.folder)]) == 0

    tube, trained = tube_of(axis=axis), load_model(results.model)
    assert read_case(results.case).axis == tube.along
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
