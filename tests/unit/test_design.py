"""The experiments of the design curves have what was asked for; their tables and figure."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from aiv_rba.twin.options import Truth
from studies.design import experiments, tables
from studies.design.curves import Point, curves, equally_spaced
from studies.design.experiments import BASE, FIELDS, Job, jobs
from studies.design.figure import draw
from tests.twins import one_cycle

ROWS = 3000
COARSE = one_cycle(axial=6, steps=10, modes=2, lookup=(25, 12, 5))


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """The experiments of a coarse flow, by curve and place, made when asked for."""
    folder = tmp_path_factory.mktemp("design")
    twin = experiments.base_twin()
    small = replace(
        twin,
        discretisation=COARSE,
        camera=replace(twin.camera, rows=ROWS),
        truth=Truth(points=50, wall_points=100),
    )
    points = {(c.name, p.at): (c.folder(p), p) for c in curves(small.camera) for p in c.points}
    points[BASE, BASE] = BASE, Point(BASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "base_twin", lambda: small)
        patch.setattr(experiments, "FOLDER", folder)
        experiments.flow.cache_clear()

        def make(curve, at):
            job = Job(curve, *points[curve, at], small.seed)
            path = job.results.folder / "experiment.yaml"
            if not path.is_file():
                experiments.write_data(job, path)
            return small, yaml.safe_load(path.read_text())

        yield make
    experiments.flow.cache_clear()


def read(document):
    """Tracks, their true velocities (R, 3) in the unit of the tracks, and mismatched rows."""
    tracks = pd.read_csv(document["ingest"]["tracks"])
    with h5py.File(document["score"]["truth"]) as file:
        true = np.stack([file[f"tracers/{name}"][:] for name in "uvw"], axis=1) * 1e6
        return tracks, true, file["tracks/mismatched"][:].astype(bool)


def test_experiments_say_what_every_user_must_say_and_no_more(sampled):
    _, document = sampled(BASE, BASE)
    assert document.keys() == {"name", "ingest", "score"}
    assert document["ingest"].keys() == {"tracks", "wall", "fluid", "period", "units"}
    assert document["score"].keys() == {"truth"}
    _, wrong = sampled("wall", 5)
    assert wrong["ingest"].keys() == document["ingest"].keys()


def test_the_base_experiment_is_that_of_the_twin(sampled):
    small, document = sampled(BASE, BASE)
    tracks, true, mismatched = read(document)
    assert len(tracks) == ROWS
    assert mismatched.mean() == pytest.approx(0.02, abs=0.008)
    error = (tracks[["u", "v"]].to_numpy() - true[:, :2])[~mismatched]
    assert error.std(axis=0) / np.sqrt(np.mean(true[:, :2] ** 2, axis=0)) == pytest.approx(
        [small.camera.noise_u, small.camera.noise_v], rel=0.1
    )


def test_noise_is_as_asked_for_and_nothing_else_changes(sampled):
    base, true, _ = read(sampled(BASE, BASE)[1])
    for percent in (0, 30):
        tracks, also, mismatched = read(sampled("noise", percent)[1])
        np.testing.assert_array_equal(also, true)
        same = ["t", "x", "y", "z_plane", "track", "frame"]
        pd.testing.assert_frame_equal(tracks[same], base[same])
        error = (tracks["u"] - true[:, 0])[~mismatched]
        found = 100 * error.std() / np.sqrt(np.mean(true[:, 0] ** 2))
        # Central differences have an error of their own.
        assert found == pytest.approx(percent, abs=1.5)


def test_outliers_are_as_many_as_asked_for(sampled):
    for percent in (0, 10):
        tracks, true, mismatched = read(sampled("outliers", percent)[1])
        assert 100 * mismatched.mean() == pytest.approx(percent, abs=1.7)
        # Far from the true velocity: most of those that are flagged, and none of the others.
        far = np.abs(tracks["u"] - true[:, 0]) > 5 * 0.15 * np.sqrt(np.mean(true[:, 0] ** 2))
        assert not far[~mismatched].any()
        if percent:
            assert far[mismatched].mean() > 0.2


def test_planes_are_as_many_and_where_asked_for(sampled):
    assert equally_spaced(3) == pytest.approx((0.3, 0.5, 0.7))
    for curve, at, shares in (
        ("planes", 1, [0.5]),
        ("planes", 5, [0.3, 0.4, 0.5, 0.6, 0.7]),
        ("places", "wide", [0.15, 0.5, 0.85]),
    ):
        small, document = sampled(curve, at)
        tracks, _, _ = read(document)
        low, high = (end[1] * small.scales.length * 1e6 for end in small.duct.extent)
        found = (np.unique(tracks["z_plane"]) - low) / (high - low)
        np.testing.assert_allclose(found, shares, atol=1e-4)
        assert len(tracks) == ROWS


def test_frames_are_as_far_apart_as_asked_for(sampled):
    """Velocities that change over the cycle are averages over two intervals between frames."""
    for curve, frames, noise in (("frames", 10.7, 0.15), ("positions", 10.7, 0.15 * 10.7 / 75.7)):
        small, document = sampled(curve, frames)
        tracks, true, mismatched = read(document)
        steps = tracks.groupby("track")[["t", "frame"]].diff().dropna()
        interval = steps["t"].to_numpy() % small.period / steps["frame"]
        np.testing.assert_allclose(interval, small.period / frames, atol=3e-6)
        # The error of the differences comes on top of the noise.
        error = (tracks["u"] - true[:, 0])[~mismatched].std()
        assert error / np.sqrt(np.mean(true[:, 0] ** 2)) > 0.9 * noise


def test_the_wall_is_as_wrong_as_asked_for(sampled):
    with h5py.File(sampled(BASE, BASE)[1]["score"]["truth"]) as file:
        chords = np.linalg.norm(file["given/position"][:] - file["wall/position"][:], axis=1)
    for percent in (1, 5):
        small, document = sampled("wall", percent)
        radius = small.radius * small.scales.length
        with h5py.File(document["score"]["truth"]) as file:
            off = file["given/position"][:] - file["wall/position"][:]
        found = 100 * np.sqrt(np.mean(np.linalg.norm(off, axis=1) ** 2)) / radius
        assert found == pytest.approx(percent, rel=0.35)
        assert chords.max() / radius < 0.01


def test_only_the_stated_viscosity_is_wrong(sampled):
    small, document = sampled("viscosity", 10)
    assert document["ingest"]["fluid"]["viscosity"] == pytest.approx(1.1 * small.fluid.viscosity)
    base, true, _ = read(sampled(BASE, BASE)[1])
    tracks, also, _ = read(document)
    pd.testing.assert_frame_equal(tracks, base)
    np.testing.assert_array_equal(also, true)


def test_the_quick_set_is_part_of_the_whole_and_comes_first():
    quick, whole = jobs(quick=True, seeds=1), jobs(quick=False, seeds=2)
    assert whole[: len(quick)] == quick
    assert len({job.results.folder for job in whole}) == len(whole)
    counted = pd.Series([job.curve for job in quick]).value_counts()
    assert counted.pop(BASE) == 1
    assert (counted == 2).all()
    assert len(counted) == len(curves(experiments.base_twin().camera))


def test_a_finished_experiment_is_not_run_again_and_a_failed_one_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "FOLDER", tmp_path)
    monkeypatch.setattr(experiments, "write_data", lambda job, path: path.touch())
    runs = []

    def stages(experiment, results):
        runs.append(experiment)
        (results.folder / "log.txt").write_text("begin\naiv-rba: error: no\n")
        raise experiments.subprocess.CalledProcessError(2, "aiv-rba")

    monkeypatch.setattr(experiments, "run_stages", stages)
    job = Job("wall", "wall_5", Point(5), 0)
    job.results.folder.mkdir(parents=True)
    assert experiments.work(job)["failed"] == "aiv-rba: error: no"
    truth = dict.fromkeys(FIELDS, 0.01)
    job.results.scores.write_text(json.dumps({"truth": truth, "quality": {"verdict": "good"}}))
    record = {"revision": "abc", "training": {"iterations": 5, "seconds": 2.0}}
    job.results.record("train").parent.mkdir()
    job.results.record("train").write_text(json.dumps(record))
    (job.results.folder / "data").mkdir()
    pd.DataFrame({"track": [1, 1, 2]}).to_csv(job.results.folder / "data" / "tracks.csv")
    row = experiments.work(job)
    assert len(runs) == 1
    assert (row["rows"], row["tracks"], row["wss"]) == (3, 2, 0.01)
    assert (row["steps"], row["seconds"], row["revision"]) == (5, 2.0, "abc")


def rows(curve, at, *errors):
    """Rows of seeds with such errors of all fields."""
    return [
        {"curve": curve, "at": at, "seed": seed, "verdict": "good", "rows": 10, "tracks": 2}
        | dict.fromkeys(FIELDS, error)
        for seed, error in enumerate(errors)
    ]


def test_tables_have_means_and_the_worst_first(tmp_path):
    every = curves(experiments.base_twin().camera)
    table = pd.DataFrame(
        [
            *rows(BASE, BASE, 0.01, 0.03),
            *rows("noise", 30, 0.04, 0.06),
            *rows("wall", 5, 0.2),
            {"curve": "rows", "at": 1000, "seed": 0, "failed": "too few"},
        ]
    )
    errors = tables.errors_table(table, every).splitlines()
    assert errors[2].startswith("| nothing |  | 2 (1 to 3) |")
    assert "| 5 (4 to 6) |" in errors[3]
    assert "failed: too few" in errors[5]
    assert len({line.count("|") for line in errors}) == 1
    dominating = tables.dominating_table(table, every).splitlines()
    assert dominating[2].startswith("| error of the wall")
    assert "| 10 at 5 |" in dominating[2]
    assert "| 2.5 at 30 |" in dominating[3]
    draw(table, every, tmp_path / "design.png")
    assert (tmp_path / "design.png").stat().st_size > 10_000
