"""Collocation: the same on any number of MPI ranks; groups and lumen as they should be."""

import json
import os
import shutil
import subprocess
from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml

from aiv_rba.cli import main
from aiv_rba.files.case import read_case, write_case
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen
from aiv_rba.settings import load_stage
from aiv_rba.stages.points.groups import patches, time_bins, uniform
from tests.stages import prepare
from tests.synthetic import write_tube_experiment
from tests.walls import bifurcation

POINTS = {
    "n_theta": 5,
    "n_y": 4,
    "n_r": 3,
    "n_t": 3,
    "wall_n_t": 2,
    "per_group": 11,
    "layers": 14,
    "time_levels": 20,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    path = write_tube_experiment(folder)
    experiment = yaml.safe_load(path.read_text()) | {"points": POINTS}
    path.write_text(yaml.safe_dump(experiment))
    assert main(["ingest", str(prepare(folder / "1", path).folder)]) == 0
    return folder


def run(folder, ranks):
    assert shutil.which("mpiexec"), "mpiexec not found: install the extra 'mpi'"
    results = prepare(folder / str(ranks), folder / "experiment.yaml")
    if ranks > 1:
        shutil.copy(Results(folder / "1").case, results.case)
    return launch(results, ranks)


def launch(results, ranks):
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return subprocess.run(
        [
            *("mpiexec", "-n", str(ranks), "--oversubscribe", "aiv-rba", "points"),
            str(results.folder),
        ],
        env=os.environ | root | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def read(folder, ranks):
    finished = run(folder, ranks)
    assert finished.returncode == 0, finished.stderr
    with h5py.File(Results(folder / str(ranks)).points) as file:
        return {name: file[f"{name}/points"][:] for name in ("interior", "wall")}


def test_content_does_not_depend_on_the_number_of_ranks(folder):
    one = read(folder, 1)
    for ranks in (2, 3):
        for name, values in read(folder, ranks).items():
            np.testing.assert_array_equal(values, one[name])


def test_a_vessel_of_any_shape_is_the_same_on_any_number_of_ranks(folder, tmp_path):
    """Its points and their coverage, which the record holds."""
    shape = bifurcation()
    case = replace(
        read_case(folder / "1" / "case.h5"),
        wall=shape.wall,
        openings=shape.openings,
        lumen="general",
    )
    found, coverage = {}, {}
    for ranks in (1, 2, 3):
        results = prepare(tmp_path / str(ranks), folder / "experiment.yaml")
        write_case(results.case, case)
        finished = launch(results, ranks)
        assert finished.returncode == 0, finished.stderr
        assert "20 patches of the wall, 3 sections by the distance to it" in finished.stdout
        with h5py.File(results.points) as file:
            found[ranks] = {name: file[f"{name}/points"][:] for name in ("interior", "wall")}
            assert file["interior/points"].attrs["shape"].tolist() == [3, 3, 20]
        coverage[ranks] = json.loads(results.record("points").read_text())["coverage"]
    assert 0 < coverage[1]["radius"] < coverage[1]["limit"]
    for ranks in (2, 3):
        assert coverage[ranks] == coverage[1]
        for name, values in found[ranks].items():
            np.testing.assert_array_equal(values, found[1][name])


def test_points_lie_in_their_groups(folder):
    points = read(folder, 1)
    case = read_case(folder / "1" / "case.h5")
    lumen = Lumen.from_wall(case.wall, case.axis)
    period = case.scales.nondimensional_period
    shape = (POINTS["n_t"], POINTS["n_r"], POINTS["n_theta"], POINTS["n_y"])
    interior = points["interior"]
    assert interior.shape == (POINTS["per_group"], np.prod(shape), 4)
    assert points["wall"].shape[1] == POINTS["wall_n_t"] * POINTS["n_theta"] * POINTS["n_y"]
    assert lumen.inside(interior[..., 1:].reshape(-1, 3)).all()

    grouped = interior.reshape(-1, *shape, 4)
    levels = np.rint(grouped[..., 0] / period * POINTS["time_levels"]).astype(int)
    first, count = time_bins(POINTS["time_levels"], POINTS["n_t"])
    for i_t in range(POINTS["n_t"]):
        assert levels[:, i_t].min() >= first[i_t]
        assert levels[:, i_t].max() < first[i_t] + count[i_t]
    # Radial sections and patches of different groups do not overlap.
    radius = lumen.polar(interior[..., 1:].reshape(-1, 3))[2].reshape(-1, *shape)
    for i_r in range(POINTS["n_r"] - 1):
        assert radius[:, :, i_r].max() < radius[:, :, i_r + 1].max()
    height = grouped[..., 1 + case.axis]
    for i_y in range(POINTS["n_y"] - 1):
        assert height[..., i_y].max() < height[..., i_y + 1].min() + 1e-9
    wall = points["wall"].reshape(-1, 4)[:, 1:]
    on_wall = lumen.polar(wall)[2]
    polygon = np.cos(np.pi / 24)
    assert on_wall.min() > 1 * polygon - 1e-6
    assert on_wall.max() < 1 + 1e-6


@pytest.mark.parametrize("bins", ["quantile", "uniform"])
def test_every_wall_point_belongs_to_one_patch(folder, bins):
    case = read_case(folder / "1" / "case.h5")
    lumen = Lumen.from_wall(case.wall, case.axis)
    members = patches(lumen, case.wall.points, 4, 5, bins)
    everyone = np.sort(np.concatenate(members))
    np.testing.assert_array_equal(everyone, np.arange(len(case.wall.points)))
    if bins == "quantile":
        sizes = [len(m) for m in members]
        assert max(sizes) - min(sizes) <= 1


def test_random_numbers_are_uniform_and_depend_on_the_counters_alone():
    rows, columns = np.arange(400)[:, None], np.arange(300)[None]
    numbers = uniform(3, 1, rows, columns)
    np.testing.assert_array_equal(numbers[100:200], uniform(3, 1, rows[100:200], columns))
    assert not np.array_equal(numbers, uniform(4, 1, rows, columns))
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    expected = numbers.size / 20
    assert np.sum((counts - expected) ** 2 / expected) < 45  # chi-square, 19 degrees of freedom


def test_an_empty_patch_is_named_by_every_rank_count(folder):
    path = folder / "experiment.yaml"
    text = path.read_text()
    experiment = yaml.safe_load(text)
    experiment["points"] |= {"n_theta": 400, "n_y": 300, "bins": "uniform", "per_group": 1}
    path.write_text(yaml.safe_dump(experiment))
    try:
        for ranks in (1, 2):
            finished = run(folder, ranks)
            assert finished.returncode != 0
            assert "holds no wall point" in finished.stderr
    finally:
        path.write_text(text)


def test_paper_counts():
    """A.3.1: 52,500 interior and 5,625 wall groups; 4.98e6 and 5.34e5 points."""
    paper = load_stage("workflow/config/paper.yaml", "points")
    interior = paper.n_t * paper.n_r * paper.n_theta * paper.n_y
    wall = paper.wall_n_t * paper.n_theta * paper.n_y
    assert (interior, wall) == (52_500, 5_625)
    assert interior * paper.per_group == pytest.approx(4.98e6, rel=2e-3)
    assert wall * paper.per_group == pytest.approx(5.34e5, rel=2e-3)
