"""Tracks: reading, velocities from differences, noise, split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiv_rba.errors import UserError
from aiv_rba.settings import Fluid, IngestSettings, Split, Units
from aiv_rba.stages.ingest.tracks import TrackTable, read_tracks, validation_rows
from aiv_rba.stages.ingest.velocities import choose_interval, differences, noise

PERIOD = 0.3


def made(time: np.ndarray, position: np.ndarray, track: np.ndarray | None = None) -> TrackTable:
    """Rows at unwrapped times, phase-merged."""
    count = len(time)
    return TrackTable(
        row=np.arange(count),
        time=np.mod(time, PERIOD),
        position=position,
        velocity={},
        track=np.zeros(count, dtype=np.int64) if track is None else track,
        plane=np.zeros(count, dtype=np.int64),
        nominal_depth=False,
    )


def spiral(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth path and its exact velocity."""
    k = 2 * np.pi / PERIOD
    path = np.stack([np.sin(k * time), time + np.cos(2 * k * time), np.exp(-time)], axis=1)
    slope = [k * np.cos(k * time), 1 - 2 * k * np.sin(2 * k * time), -np.exp(-time)]
    return path, np.stack(slope, axis=1)


def uneven(count: int, seed: int = 0) -> np.ndarray:
    """Times over 1.4 periods whose steps vary smoothly by a fifth: refinable."""
    s = np.linspace(0, 1, count)
    return 1.4 * PERIOD * (s + 0.2 / (4 * np.pi) * np.sin(4 * np.pi * s)) + 0.1 * PERIOD


def worst(count: int) -> float:
    time = uneven(count)
    path, exact = spiral(time)
    table = differences(made(time, path), PERIOD, "tracks.csv")
    found = np.stack([table.velocity[name] for name in "uvw"], axis=1)
    return float(np.abs(found - exact[table.row]).max())


def test_differences_are_of_second_order_through_the_end_of_the_cycle() -> None:
    errors = np.array([worst(count) for count in (81, 161, 321, 641)])
    orders = np.log2(errors[:-1] / errors[1:])
    assert np.all(np.abs(orders - 2) < 0.1), orders


def test_differences_are_exact_for_constant_acceleration_at_uneven_times() -> None:
    time = np.cumsum(np.random.default_rng(3).uniform(0.004, 0.0055, 60))
    path = np.stack([3 - 2 * time + 5 * time**2, 7 * time**2, -time], axis=1)
    table = differences(made(time, path), PERIOD, "tracks.csv")
    at = time[table.row]
    np.testing.assert_allclose(table.velocity["u"], -2 + 10 * at, rtol=1e-9)
    np.testing.assert_allclose(table.velocity["v"], 14 * at, rtol=1e-9)
    np.testing.assert_allclose(table.velocity["w"], -1, rtol=1e-9)


def test_gaps_and_other_tracks_give_no_velocity() -> None:
    time = 0.005 * np.arange(40)
    keep = np.delete(np.arange(40), 10)
    track = np.where(keep < 20, 4, 1)
    table = differences(made(time[keep], spiral(time[keep])[0], track), PERIOD, "tracks.csv")
    ends = {0, 9, 11, 19, 20, 39}
    assert set(keep[table.row]) == set(range(40)) - ends - {10}


def test_a_planar_file_gives_no_depth_velocity() -> None:
    time = 0.005 * np.arange(40)
    path = spiral(time)[0]
    path[:, 2] = 0.5
    assert set(differences(made(time, path), PERIOD, "tracks.csv").velocity) == {"u", "v"}


def test_rows_far_apart_are_no_central_differences() -> None:
    """A quarter of a period is the longest step, and tracks of one row have none."""
    config = settings_of(Path("tracks.csv"))
    for step, expected in ((0.24, 0.48), (0.26, 0.0)):
        time = step * PERIOD * np.arange(12)
        found, reason = choose_interval(made(time, spiral(time)[0]), config)
        assert found == pytest.approx(expected * PERIOD)
        assert ("too far" in reason) == (expected == 0)
    time = 0.01 * np.arange(12)
    alone = made(time, spiral(time)[0], track=np.arange(12))
    assert choose_interval(alone, config)[0] == 0


def test_noise_is_found_below_motion_and_outliers() -> None:
    random = np.random.default_rng(5)
    track = np.repeat(np.arange(300), 12)
    time = np.tile(0.004 * np.arange(12), 300)
    clean = spiral(time + 0.01 * track)[1][:, 0]
    sigma = 0.1 * clean.std()
    u = clean + random.normal(0, sigma, len(clean))
    u[random.random(len(u)) < 0.02] *= -3
    table = made(time, np.zeros((len(time), 3)), track)
    table.velocity["u"] = u
    assert noise(table)["u"] == pytest.approx(sigma, rel=0.15)


def test_noise_needs_three_rows_in_a_row() -> None:
    table = made(0.01 * np.arange(12), np.zeros((12, 3)), np.arange(12) // 2)
    table.velocity["u"] = np.ones(12)
    assert noise(table) == {}


def settings_of(path: Path, **more: Any) -> IngestSettings:
    water = Fluid(density=1000.0, viscosity=1e-3)
    return IngestSettings(tracks=str(path), wall="wall.stl", fluid=water, period=PERIOD, **more)


def write(path: Path, **columns: object) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "frame": np.arange(27),
            "t": 0.01 * np.arange(27),
            "x": 1.5,
            "y": np.arange(27.0),
            "z_plane": np.tile([30.0, 10.0, 20.0], 9),
            "u": -2.0,
            "v": 4.0,
            "track": 7,
        }
    ).assign(**columns)
    table.to_csv(path, index=False)
    return table


def test_units_planes_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    write(path)
    lines = path.read_text().splitlines()
    path.write_text("\ufeff" + "\n".join([*lines[:4], "", *lines[4:], "", ""]), encoding="utf-8")
    units = Units(length="mm", time="ms", velocity="cm/s")
    table = read_tracks(settings_of(path, units=units))
    assert table.row.tolist() == [0, 1, 2, *range(4, 28)]
    assert table.where(4) == f"{path}: line 6"
    np.testing.assert_allclose(table.time, 1e-5 * np.arange(27))
    np.testing.assert_allclose(table.position[:3, 2], [0.03, 0.01, 0.02])
    np.testing.assert_allclose(table.velocity["v"], 0.04)
    assert table.plane[:3].tolist() == [2, 0, 1]
    assert table.nominal_depth
    assert set(table.velocity) == {"u", "v"}


def test_velocity_columns_need_not_exist_for_differences(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    write(path).drop(columns=["u", "v"]).to_csv(path, index=False)
    table = read_tracks(settings_of(path, velocities="differences"))
    found = differences(table, PERIOD, str(path))
    np.testing.assert_allclose(found.velocity["v"], 1e-6 / 0.01)
    assert set(found.velocity) == {"u", "v"}


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=60),
    train=st.floats(0.2, 0.8),
    seed=st.integers(0, 1000),
)
def test_split_by_track_keeps_tracks_whole(sizes: list[int], train: float, seed: int) -> None:
    track = np.repeat(np.arange(len(sizes)) * 3, sizes)
    try:
        validation = validation_rows(track, Split(train=train, seed=seed))
    except UserError:
        assert max(sizes) > min(train, 1 - train) * len(track)
        return
    for name in np.unique(track):
        assert len(np.unique(validation[track == name])) == 1
    assert abs(np.sum(~validation) - train * len(track)) <= max(sizes) / 2 + 1e-9


@pytest.mark.parametrize("by", ["track", "point"])
def test_split_follows_the_seed_alone(by: str) -> None:
    track = np.repeat(np.arange(50), 8)
    first, again = (validation_rows(track, Split(by=by, seed=1)) for _ in range(2))
    other = validation_rows(track, Split(by=by, seed=2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.sum(~first) == np.sum(~other) == 240
