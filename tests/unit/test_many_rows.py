"""What the ingestion does with many rows: the same as with few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aiv_rba.files.case import Tracks
from aiv_rba.stages.ingest import choices
from aiv_rba.stages.ingest.inside import distance_near
from bench import ingest as bench
from tests.training_case import parabola


@pytest.mark.parametrize("cell", [0.03, 0.3])
def test_cells_settle_points_as_exact_distances_do(cell: float) -> None:
    asked = []

    def distance(points: np.ndarray) -> np.ndarray:
        asked.append(len(points))
        return np.linalg.norm(points, axis=1) - 1

    points = np.random.default_rng(0).uniform(-1.5, 1.5, (30_000, 3))
    exact = np.linalg.norm(points, axis=1) - 1
    found = distance_near(distance, points, 0.02, cell)
    near = np.abs(exact) < 0.02
    np.testing.assert_array_equal(found[near], exact[near])
    np.testing.assert_array_equal(np.sign(found), np.sign(exact))
    assert np.abs(found[~near]).min() >= 0.02
    assert sum(asked) < 1.2 * len(points)


def test_harmonics_of_many_rows_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    rows = 6000
    points = np.column_stack([random.uniform(0, 1, rows), random.uniform(-0.3, 0.3, (rows, 3))])
    wall = parabola(0.5)
    wave = 1 + 0.5 * np.cos(2 * np.pi * points[:, 0]) + 0.2 * np.sin(4 * np.pi * points[:, 0])
    v = 4 * wall(points[:, 1:]) * wave + 0.02 * random.normal(size=rows)
    number = np.arange(rows)
    tracks = Tracks(points, {"v": v}, number // 6, 0 * number, number, number < 0)
    monkeypatch.setattr(choices, "ROWS_FOR_HARMONICS", 2000)
    assert choices.choose_harmonics(tracks, {"v": 0.02}, wall, 1.0, 1)[0] == 2
    part, represented = choices.training_part(tracks, 2000)
    assert len(part.row) == pytest.approx(2000, abs=12)
    assert represented == pytest.approx(3, rel=0.01)
    # Whole tracks.
    assert set(np.bincount(part.track)) <= {0, 6}
    few = replace(tracks, validation=number >= 600)
    assert choices.choose_harmonics(few, {"v": 0.02}, wall, 1.0, 1)[0] == 2


def test_bench_writes_rows_that_differ(tmp_path) -> None:
    path = tmp_path / "tracks.csv"
    bench.write_tracks(path, 50_000)
    lines = path.read_text().splitlines()
    assert len(lines) == 50_001
    assert len(set(lines)) == 50_001
