"""Suspicious rows and tracks where it is known which rows are false."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

from aiv_rba.errors import UserError
from aiv_rba.files.results import Results
from aiv_rba.settings import ScoreSettings
from aiv_rba.stages.score.false_runs import LONGEST, false_runs
from aiv_rba.stages.score.median_test import NEIGHBOURS, THRESHOLD, median_test
from aiv_rba.stages.score.run import score
from aiv_rba.stages.score.suspicious import (
    against_known,
    known_outliers,
    suspect,
    suspicious_rows,
    suspicious_tracks,
)
from aiv_rba.stages.score.tracks import at_rows
from tests.exact import (
    SCALES,
    ExactFlow,
    case_of,
    model_of,
    swirling,
    value,
    write_trained,
    write_truth,
)

NOISE = 0.01
PER_TRACK = 5


def spoiled(planted, depth=0.0, rows=1000):
    """Tracks of `swirling`, with bounded noise; planted rows are wrong by a hundred times as much.

    The tracer of a track is up to `depth` deeper or less deep than the rows say.
    """
    case = case_of(swirling, rows)
    rng = np.random.default_rng(5)
    there = case.tracks.points.copy()
    offsets = rng.uniform(-depth, depth, rows // PER_TRACK)
    there[:, 3] += offsets[case.tracks.track]
    true = value(swirling, there)
    velocity = {}
    for column, name in enumerate("uv"):
        velocity[name] = true[:, column] + rng.uniform(-NOISE, NOISE, rows)
        velocity[name][planted] += rng.choice([-1.0, 1.0], len(planted))
    return replace(case, tracks=replace(case.tracks, velocity=velocity)), offsets


def flagged(flags):
    return np.flatnonzero(flags).tolist()


def test_planted_mismatches_are_found_and_nothing_else():
    planted = [3, 77, 500, 501, 998]
    case, _ = spoiled(planted)
    found = suspect(case, model_of(ExactFlow(swirling)))
    assert flagged(found.by_flow) == planted
    assert found.probability[planted].min() > 0.99
    right = against_known(found, found.by_flow, "")["by_inferred_flow"]
    assert right == {"precision": 1.0, "recall": 1.0}


def test_exact_tracks_have_no_suspicious_row():
    found = suspect(case_of(swirling), model_of(ExactFlow(swirling)))
    assert not found.by_flow.any()
    assert not found.tracks.any()


def test_a_tracer_beside_the_plane_is_no_mismatch():
    """Near the wall a twentieth of the radius in depth is up to fifteen times the noise."""
    planted = [10, 222, 640]
    case, offsets = spoiled(planted, depth=0.04)
    model = model_of(ExactFlow(swirling))
    assert len(flagged(suspect(case, model).by_flow)) > 2 * len(planted)
    spread = np.sqrt(np.mean(offsets**2))
    found = suspect(case, replace(model, depth_spread=spread))
    assert flagged(found.by_flow) == planted
    assert found.depth_spread == pytest.approx(spread * SCALES.length)


def test_a_false_link_is_found_with_its_run():
    """Rows 1 to 3 of a track of five are false, and single rows of others."""
    run = [101, 102, 103]
    case, _ = spoiled([3, 77, *run])
    found = suspect(case, model_of(ExactFlow(swirling)))
    assert flagged(found.tracks) == [20]
    table = suspicious_tracks(case, found)
    assert table["track"].tolist() == [20]
    assert table["rows_of_run"].tolist() == [3]
    assert table[["first_row", "last_row"]].to_numpy().tolist() == [
        case.tracks.row[[101, 103]].tolist()
    ]
    assert found.runs.row[run].min() > 0.5 > np.delete(found.runs.row, run).max()


def test_the_probability_of_a_run_is_that_of_bayes():
    """One doubtful track of four rows among right and false ones, every run written out."""
    rng = np.random.default_rng(2)
    background = rng.uniform(0.001, 0.02, 400)
    background[:20] = 0.95
    false = np.concatenate([background, [0.3, 0.6, 0.2, 0.01]])
    track = np.concatenate([np.arange(400) // 4, [100] * 4])
    found = false_runs(false, track)
    ratio = false[-4:] / false.mean()
    weights = {(a, b): ratio[a:b].prod() for a in range(4) for b in range(a + 2, 5)}
    evidence = np.mean(list(weights.values()))
    # The share of tracks with a false run is that which the probabilities have on average.
    share = found.probability.mean()
    expected = share * evidence / (share * evidence + 1 - share)
    assert 0.2 < found.probability[100] < 0.8
    assert found.probability[100] == pytest.approx(expected, rel=1e-6)
    best = max(weights, key=weights.get)
    assert (found.first[100], found.last[100]) == (400 + best[0], 400 + best[1] - 1)
    for i in range(4):
        inside = sum(w for (a, b), w in weights.items() if a <= i < b) / sum(weights.values())
        assert found.row[400 + i] == pytest.approx(inside * found.probability[100])


def test_single_gross_mismatches_make_no_run():
    false = np.full(2000, 1e-4)
    false[::40] = 1 - 1e-9
    found = false_runs(false, np.arange(2000) // 20)
    assert found.probability.max() < 0.1


def test_short_and_long_tracks():
    """A track of one row has no run; one that is longer than the longest run is no trouble."""
    size = 3 * LONGEST
    false = np.full(1 + size, 0.01)
    false[50:60] = 0.99
    found = false_runs(false, np.array([0] + [1] * size))
    assert found.first.tolist() == [-1, 50]
    assert found.last.tolist() == [-1, 59]
    assert found.row[0] == 0
    assert found.probability[0] < 1e-6


def linear(planted=(), rows=2000, of_track=1):
    """A velocity that is linear in space and phase in three planes, with wrong rows."""
    case = case_of(swirling, rows)
    rng = np.random.default_rng(1)
    points = case.tracks.points.copy()
    plane = rng.integers(3, size=rows)
    points[:, 3] = 0.3 * (plane - 1)
    t, x, y, z = points.T
    phase = 2 * np.pi * t / SCALES.nondimensional_period
    velocity = {
        "u": 0.02 * x - 0.01 * y + 0.05 * z + 0.02 * np.cos(phase),
        "v": 0.3 + 0.03 * x + 0.01 * y + 0.02 * np.sin(phase),
    }
    for values in velocity.values():
        values[list(planted)] += 0.8
    tracks = replace(
        case.tracks,
        points=points,
        velocity=velocity,
        plane=plane,
        track=np.arange(rows) // of_track,
    )
    return replace(case, tracks=tracks, noise={"u": 0.05, "v": 0.05})


@pytest.mark.parametrize("planted", [[], [5, 900, 1999]])
def test_median_test_of_a_linear_flow_finds_the_planted_rows(planted):
    residual = median_test(linear(planted))
    assert flagged(residual > THRESHOLD) == planted


def test_median_test_is_periodic_in_time():
    """Another beginning of the cycle changes nothing."""
    case = linear([5, 900])
    points = case.tracks.points.copy()
    period = SCALES.nondimensional_period
    points[:, 0] = np.mod(points[:, 0] + 0.37 * period, period)
    later = replace(case, tracks=replace(case.tracks, points=points))
    np.testing.assert_allclose(median_test(later), median_test(case), rtol=1e-6, atol=1e-9)


def test_median_test_asks_other_tracks_only():
    """Forty wrong rows at one place hide each other, unless they are of one track."""
    together = list(range(400, 440))
    case = linear(together, of_track=40)
    case.tracks.points[together] = case.tracks.points[400]
    case.tracks.plane[together] = case.tracks.plane[400]
    assert (median_test(case)[together] > THRESHOLD).all()
    apart = replace(case, tracks=replace(case.tracks, track=np.arange(2000)))
    assert not (median_test(apart)[together] > THRESHOLD).any()


def test_median_test_needs_neighbours():
    assert np.isnan(median_test(linear(rows=3 * NEIGHBOURS // 2))).all()
    assert np.isnan(median_test(linear(of_track=2000))).all()


def truth_with(path, case, **datasets):
    """A truth with datasets in the order of the file."""
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            whole = np.zeros((case.tracks.row.max() + 1, *np.shape(values)[1:]))
            whole[case.tracks.row] = values
            file[name.replace("__", "/")] = whole
    return h5py.File(path)


def test_known_outliers_are_flags_or_gross_deviations(tmp_path):
    case = case_of(swirling)
    case.tracks.velocity["v"][[4, 8]] += [0.06, 0.04]
    flags = np.arange(200) % 50 == 0
    true = value(swirling, case.tracks.points) * SCALES.velocity
    velocities = {"tracers__u": true[:, 0], "tracers__v": true[:, 1]}
    path = tmp_path / "truth.h5"
    with truth_with(path, case, **velocities) as file:
        known, how = known_outliers(path, file, case)
        assert flagged(known) == [4]
        assert "more than 5 standard deviations" in how
    with truth_with(path, case, **velocities, tracks__mismatched=flags) as file:
        known, how = known_outliers(path, file, case)
        assert flagged(known) == flagged(flags)
        assert how == "the truth has flags"
    with truth_with(path, case, tracks__u=true[:, 0]) as file:
        assert known_outliers(path, file, case) is None
        with pytest.raises(UserError, match=r"tracks/u has 2\d\d rows, expected at least 1000"):
            at_rows(path, file, "tracks/u", np.array([999]))


def test_precision_and_recall_by_hand():
    case, _ = spoiled([3, 77, 101, 102, 103])
    found = suspect(case, model_of(ExactFlow(swirling)))
    known = np.zeros(1000, dtype=bool)
    # Two of the five are not known, and one that is known is not found; two known false links.
    known[[3, 101, 102, 103, 205, 206, 207]] = True
    known[[4, 5]] = True
    result = against_known(found, known, "by hand")
    assert result["rows"] == 9
    assert result["by_inferred_flow"] == {"precision": 4 / 5, "recall": 4 / 9}
    # Rows 3, 4 and 5 lie together, but 5 is in the next track.
    assert result["tracks"] == 2
    assert result["tracks_by_inferred_flow"] == {"precision": 1.0, "recall": 0.5}


def test_table_of_rows_holds_what_was_measured_and_inferred():
    case, _ = spoiled([3, 77])
    found = suspect(case, model_of(ExactFlow(swirling)))
    table = suspicious_rows(case, found)
    assert table["probability_false"].is_monotonic_decreasing
    assert set(table[table["suspicious"] == 1].index) == {3, 77}
    assert (table.loc[table["suspicious"] == 0, "median_test"] > THRESHOLD).all()
    row = table.loc[77]
    assert row["row"] == case.tracks.row[77] == row["line"] - 2
    assert row["x_m"] == pytest.approx(
        case.tracks.points[77, 1] * SCALES.length + SCALES.origin[0], rel=1e-12
    )
    apart = row["v_measured_m_s"] - row["v_inferred_m_s"]
    assert abs(apart) / SCALES.velocity == pytest.approx(1, abs=NOISE)


def test_stage_writes_both_tables_and_the_counts(tmp_path):
    write_trained(tmp_path)
    write_truth(tmp_path / "truth.h5")
    with h5py.File(tmp_path / "truth.h5", "a") as file:
        file["tracks/mismatched"] = np.arange(220) % 7 == 0
    results = Results(tmp_path)
    score(ScoreSettings(truth=str(tmp_path / "truth.h5")), results)
    counted = json.loads(results.scores.read_text())["suspicious"]
    rows = pd.read_csv(results.suspicious_rows)
    assert rows["suspicious"].sum() == counted["rows"]["by_inferred_flow"]
    assert len(pd.read_csv(results.suspicious_tracks)) == counted["tracks"]["by_inferred_flow"]
    assert counted["rows"]["of"] == 200
    assert set(counted["known"]) >= {"by_inferred_flow", "by_median_test", "by_either"}
