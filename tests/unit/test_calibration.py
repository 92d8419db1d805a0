"""Whether standard deviations are right: what the studies of them compute, and a small flow."""

import json
import sys

import numpy as np
import pytest

import aiv_rba
from aiv_rba.fields.flow import SMALL_FLOW, open_flow
from studies import budget, calibration, refits
from tests.synthetic import tube_of, write_tube_experiment

NOMINAL = [0.5, 0.6827, 0.8, 0.9, 0.9545, 0.99]


def twin(grade, error, share=1.0):
    """A made-up twin of which the truth lies within intervals `share` times as often as wanted."""
    coverage = {name: [share * level for level in NOMINAL] for name in calibration.TITLES}
    sizes = dict.fromkeys(calibration.SIZES, error)
    return {
        "truth": sizes,
        "quality": {"verdict": grade},
        "uncertainty": {
            "relative": {name: 2 * size for name, size in sizes.items()},
            "coverage": {"nominal": NOMINAL, **coverage},
        },
    }


def run(twins, folder, monkeypatch):
    """Exit code of the study of these twins, which draws to calibration.png in the folder."""
    path = folder / "generalise.json"
    path.write_text(json.dumps({"half": "judge", "twins": twins}))
    monkeypatch.setitem(calibration.RESULTS, "judge", path)
    monkeypatch.setattr(sys, "argv", ["calibration", "--out", str(folder / "calibration.png")])
    return calibration.main()


def test_calibration_tells_and_draws(tmp_path, monkeypatch, capsys):
    twins = {
        "one": twin("good", 0.01),
        "two": twin("fair", 0.02, share=0.5),
        "three": {"failed": "no wall"},
    }
    assert run(twins, tmp_path, monkeypatch) == 0
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
    text = capsys.readouterr().out
    assert "| u | 51.2 | 71.6 | 68.3 | 95.5 |" in text
    assert "92 to 98 percent, all twins: none." in text
    assert "92 to 98 percent, verdict good: u, v, w, pressure, wall shear stress, flow" in text
    assert "| one | good | 2 / 1 | 2 / 1 | 2 / 1 | 2 / 1 | 68 / 95 | 68 / 95 | 68 / 95 |" in text
    assert "| two | fair | 4 / 2 | 4 / 2 | 4 / 2 | 4 / 2 | 34 / 48 |" in text
    assert "three is left out" in text
    assert "ranks them rightly" in text


def test_a_field_without_a_size_has_an_empty_cell():
    steady = twin("good", 0.01)
    del steady["uncertainty"]["relative"]["flow_rate"]
    assert calibration.row("steady", steady)[5] == " / 1"


def test_wrong_ranking_ends_with_an_error(tmp_path, monkeypatch, capsys):
    """No twin is good, so that the means over those are left out."""
    twins = {"one": twin("poor", 0.01), "two": twin("fair", 0.02), "three": twin("fair", 0.005)}
    assert run(twins, tmp_path, monkeypatch) == 1
    text = capsys.readouterr().out
    assert "two is fair with an error of velocity of 2 percent, one is poor with 1 percent" in text
    assert "three is fair" not in text
    assert "verdict good" not in text


def test_calibration_without_standard_deviations_says_what_to_run(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="run make generalise"):
        run({"one": {"failed": "no wall"}}, tmp_path, monkeypatch)


def test_noise_alone_is_less_than_the_whole(monkeypatch):
    monkeypatch.setattr(refits, "POINTS", 50)
    monkeypatch.setattr(refits, "PHASES", 2)
    flow = open_flow(SMALL_FLOW)
    whole, noise = refits.sizes(flow), refits.sizes(budget.alone(flow, "noise"))
    assert set(whole) == {"u", "v", "w", "pressure", "wss", "flow_rate"}
    assert all(0 < noise[name] < whole[name] for name in whole)


@pytest.mark.slow
def test_refits_are_compared_with_the_curvature(tmp_path, monkeypatch, capsys):
    """Two short trainings beside the first; too few for more than the order of magnitude."""
    monkeypatch.setattr(refits, "FOLDER", tmp_path / "refits")
    monkeypatch.setattr(refits, "RESULT", tmp_path / "refits.json")
    monkeypatch.setattr(sys, "argv", ["refits", "--members", "2", "--steps", "20"])
    assert refits.main() == 0
    found = json.loads((tmp_path / "refits.json").read_text())
    assert found["members"] == 2
    assert all(0.1 < field["refits_over_noise"] < 10 for field in found["fields"].values())
    assert "| flow_rate |" in capsys.readouterr().out


@pytest.mark.slow
def test_the_truth_lies_within_the_standard_deviations(tmp_path):
    """Of the axial velocity of a small flow that is known exactly.

    With seeds 0 to 4 of tracks and noise the truth lay within one standard deviation at 63 to 83
    percent of points and times, and within two at 90 to 99 percent; 74 and 96 percent in the mean.
    With seed 0 it was 70 and 94 percent, and 41 percent within half a standard deviation, so that
    these bounds find deviations that are wrong by a factor of two either way.
    """
    train = {"network": {"layers": 2, "width": 12}, "optimiser": {"name": "gauss_newton"}}
    path = write_tube_experiment(tmp_path, tracks=90, noise=0.05, train=train)
    flow = aiv_rba.infer(aiv_rba.read_experiment(path), tmp_path / "results")
    assert flow.deviations.method == "curvature"
    tube = tube_of()
    corners = flow.wall_points.min(axis=0), flow.wall_points.max(axis=0)
    points = np.random.default_rng(0).uniform(*corners, (600, 3))
    points = points[flow.inside(points)]
    times = flow.period * np.arange(8) / 8
    wrong = np.array([flow.velocity(points, t) - tube.velocity(t, points) for t in times])
    deviation = np.array([flow.std.velocity(points, t) for t in times])
    axial = np.abs(wrong / deviation)[..., tube.along]
    assert 0.5 < np.mean(axial < 1) < 0.9
    assert np.mean(axial < 2) > 0.85


def test_the_best_factors_of_the_budget_make_the_deviations_right():
    """The deviations are too small by 1.2 in some vessels where one part is all, and others."""
    rng = np.random.default_rng(0)
    twins = []
    for source, factor in {"noise": 1.2, "equations": 2.0, "wall": 0.5, "amplitude": 0.75}.items():
        for _ in range(2):
            wrong = rng.normal(size=40_000)
            variances = {name: np.zeros(1) for name in budget.FACTORS}
            variances[source] = np.full(1, factor**-2)
            twins.append(dict.fromkeys(calibration.TITLES, (wrong, variances)))
    found = budget.fit(twins)
    assert found == {"noise": 1.2, "equations": 2.0, "wall": 0.5, "amplitude": 0.75}
    assert budget.distance(twins, found) < 5


def test_parts_of_the_budget_add_up_to_the_whole():
    """But for the chance by which the samples of different parts are alike."""
    flow = open_flow(SMALL_FLOW)
    points = flow.wall_points[:40] * 0.9 + flow.wall_points.mean(axis=0) * 0.1
    whole = flow.std.velocity(points, 0.1)
    parts = sum(
        budget.alone(flow, source).std.velocity(points, 0.1) ** 2
        for source in flow.deviations.sources
    )
    assert np.sqrt(parts.mean()) == pytest.approx(np.sqrt(np.mean(whole**2)), rel=0.15)
