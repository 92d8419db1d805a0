"""The study of residual-based attention: its plans, comparisons and measures."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from aiv_rba.errors import UserError
from aiv_rba.geometry import Lumen
from aiv_rba.settings import check_experiment
from studies.study import attention, benefit, measure, numbers, plan
from studies.study import run as program

FULL = plan.load_plan("full")


def test_every_variant_of_every_plan_has_valid_settings():
    for path in (plan.OVERLAYS / "plans").glob("*.yaml"):
        for run in {(r.variant): r for r in plan.runs_of(plan.load_plan(path.stem))}.values():
            document = plan.experiment("bundled") | {"train": run.settings()}
            assert check_experiment(document).train.seed == run.seed
            assert plan.label(run.variant)


def test_overlays_change_what_their_names_say():
    variant = "adam-paper_rba-quantile-wn"
    settings = plan.Run("bundled", variant, 3).settings()
    assert settings["multipliers"]["quantile"] == 0.9
    assert settings["multipliers"]["eta_by_block"] == {"no_slip": 0.02}
    assert settings["network"]["weight_normalisation"]
    assert settings["seed"] == 3
    assert plan.label(variant) == "RBA by quantile, WN"
    assert plan.label("adam") == "global weights only"


def test_the_full_plan_has_five_seeds_on_three_twins_and_takes_90_minutes_at_most():
    schemes = FULL[0]
    assert len(schemes.seeds) == 5
    assert schemes.twins == ("bundled", "lobe_e", "bend_e")
    assert plan.minutes(FULL, 2) <= 90


@pytest.mark.parametrize("name", ["full", "two_seeds"])
def test_twins_beside_the_bundled_one_are_judged_and_made_by_the_target(name):
    family = yaml.safe_load(Path("workflow/config/twins.yaml").read_text())
    target = re.search(r"^study:(.*?)##", Path("Makefile").read_text(), re.MULTILINE)[1].split()
    twins = {run.twin.removesuffix(plan.SPOILED) for run in plan.runs_of(plan.load_plan(name))}
    for twin in twins - {"bundled"}:
        assert family[twin]["half"] == "judge"
        assert str(plan.experiment_of(twin)) in target


def test_sections_of_a_twin():
    assert plan.section("bundled", "ingest")["ingest"]["period"] == 0.303
    assert plan.section("bundled", "points") == {"points": {}}
    spoiled = plan.experiment("bundled_outliers")
    assert spoiled["ingest"]["tracks"] == "results/study/data/bundled_outliers/tracks.csv"
    assert spoiled["ingest"]["period"] == 0.303


def test_seeds_of_a_variant_are_those_of_all_comparisons():
    both = [
        plan.Comparison(name, ("adam", "adam-wn"), ("bundled",), seeds)
        for name, seeds in (("first", (3, 0)), ("second", (0, 1)))
    ]
    seeds = [3, 0, 1]
    assert plan.seeds_of(both) == {("bundled", "adam"): seeds, ("bundled", "adam-wn"): seeds}


def test_a_run_is_made_again_only_if_what_it_is_made_from_has_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "FOLDER", tmp_path)
    truth = tmp_path / "truth.h5"
    monkeypatch.setattr(program, "experiment", lambda twin: {"score": {"truth": str(truth)}})
    files = [plan.data("bundled").case, plan.data("bundled").points, truth]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    trained = []
    monkeypatch.setattr(program, "train_run", lambda results, _: trained.append(results.folder))

    def measure_run(results, _, made_from):
        (results.folder / "measures.json").write_text(json.dumps({"made_from": made_from}))

    monkeypatch.setattr(program, "write_measures", measure_run)
    run = plan.Run("bundled", "adam-wn", 2)

    def finished(versions=("1",)):
        trained.clear()
        program.finish(run, [*versions])
        return trained == []

    assert not finished()
    assert yaml.safe_load(run.results.settings("train").read_text()) == {"train": run.settings()}
    assert run.results.case.samefile(plan.data("bundled").case)
    assert finished()
    assert not finished(versions=("2",))
    for path in files:
        assert finished(versions=("2",))
        path.unlink()
        path.write_bytes(b"new " + path.name.encode())
        assert not finished(versions=("2",))
    monkeypatch.setattr(plan.Run, "settings", lambda self: {"seed": self.seed})
    assert not finished(versions=("2",))


def test_an_unknown_plan_is_refused():
    with pytest.raises(UserError, match="found no plan fool, expected one of full, quick"):
        plan.load_plan("fool")


def test_every_scheme_is_compared_with_equal_multipliers():
    """Each variant with a scheme has a partner that differs in nothing else."""
    for comparison in FULL:
        pairs = benefit.pairs_of(comparison, FULL)
        found = {variant for _, variant, _ in pairs}
        schemes = {v for v in comparison.variants if set(v.split("-")) & set(benefit.SCHEMES)}
        assert found == schemes
        for _, _, runs in pairs:
            assert len(runs) == len(comparison.seeds)
            for with_scheme, without in runs:
                given, plain = with_scheme.settings(), without.settings()
                assert given.pop("multipliers")["name"] != "none"
                assert plain.pop("multipliers") == {"name": "none"}
                assert given == plain


def test_ratios_of_errors_and_their_interval():
    found = benefit.ratio([2.0, 4.0, 8.0], [4.0, 4.0, 4.0])
    assert found.mean == pytest.approx(1.0)
    # Student's t for two degrees of freedom, times ln 2 / sqrt(3).
    assert found.high == pytest.approx(np.exp(4.302653 * np.log(2) / 3**0.5), rel=1e-5)
    assert found.low == pytest.approx(1 / found.high)
    assert found.verdict == "no difference beyond chance"
    assert benefit.ratio([0.5, 0.51, 0.49], [1.0, 1.0, 1.0]).verdict == "helps"
    assert benefit.ratio([2, 2.1, 1.9], [1.0, 1.0, 1.0]).verdict == "hurts"
    assert benefit.ratio([0.5], [1.0]).verdict == "no difference beyond chance"


def test_errors_between_rows_of_a_history():
    history = pd.DataFrame({"step": [10, 20], "error": [0.4, 0.2]})
    assert numbers.error_at(history, "step", 15, "error") == pytest.approx(0.3)
    assert numbers.error_at(history, "step", 30, "error") == pytest.approx(0.2)


def test_means_and_spreads_over_seeds():
    runs = pd.DataFrame(
        {
            "optimiser": "adam",
            "twin": "bundled",
            "variant": ["adam", "adam", "adam-wn"],
            "error": [1.0, 3.0, 5.0],
        }
    )
    found = numbers.over_seeds(runs, ["error"])
    assert found["error"].tolist() == [2, 5]
    assert found["error_std"].iloc[0] == pytest.approx(2**0.5)
    assert found["seeds"].tolist() == [2, 1]


def test_precedence_counts_pairs():
    rng = np.random.default_rng(0)
    values, flags = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in values[flags] for b in values[~flags]]
    assert attention.precedence(values, flags) == pytest.approx(np.mean(pairs))
    assert np.isnan(attention.precedence(values, np.zeros(40, dtype=bool)))


def test_correlation_of_ranks():
    values, flags = np.array([1.0, 2.0, 30.0, 31.0]), np.array([False, False, True, True])
    # Ranks 1 to 4 against 1.5, 1.5, 3.5, 3.5.
    assert attention.rank_correlation(values, flags) == pytest.approx(2 / 5**0.5)
    assert np.isnan(attention.rank_correlation(np.ones(4), flags))
    assert np.isnan(attention.rank_correlation(values, np.ones(4, dtype=bool)))


def test_the_largest_error_and_its_place():
    true, wrong = np.zeros((3, 4, 3)), np.zeros((3, 4, 3))
    true[0, 0] = [0, 3, 4]
    wrong[1, 2] = [0, 0, -2]
    places = np.arange(12.0).reshape(4, 3)
    found = measure.largest_error(wrong, true, places, np.array([0.0, 0.1, 0.2]))
    assert found == {"value": pytest.approx(0.4), "position_m": [6, 7, 8], "time_s": 0.1}


def test_stress_of_the_right_size_in_a_wrong_direction():
    true = np.zeros((1, 5, 3))
    true[..., 0] = 2
    turned = true[..., [1, 0, 2]]
    found = measure.stress_errors(turned - true, true)
    assert found["wss"] == pytest.approx(2**0.5)
    assert found["wss_magnitude"] == pytest.approx(0, abs=1e-15)


def test_errors_of_pressure_drop_and_resistance(monkeypatch):
    """A mean drop 10 percent too large, and a mean flow rate 10 percent too small."""
    true = np.array([2.0, 1.0 + 1.0j])
    monkeypatch.setattr(measure, "pressure_drop", lambda *_: np.array([0.2, 0.0]))
    compared = SimpleNamespace(
        differences=SimpleNamespace(
            pressure=None, pressure_drop=true, flow_rate=np.array([5.0, 1.0])
        ),
        places=SimpleNamespace(inside=None),
        wrong={"flow_rate": np.full(measure.PHASES, -0.5)},
    )
    found = measure.drop_errors(object.__new__(Lumen), compared)
    # Mean square of the true drop: 2^2 + |1 + i|^2 / 2 = 5.
    assert found["pressure_drop"] == pytest.approx(0.2 / 5**0.5)
    assert found["resistance"] == pytest.approx(1.1 / 0.9 - 1)


def test_a_row_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "FOLDER", tmp_path)
    run = plan.Run("bundled", "adam-wn", 2)
    run.results.record("train").parent.mkdir(parents=True)
    place = {"value": 0.3, "position_m": [0, 0, 1e-3], "time_s": 0.1, "radii_from_wall": 0.0}
    measures = {
        "validation": {"u": 0.2, "v": 0.3},
        "noise_floor": {"u": 0.1, "v": 0.2},
        "truth": {"errors": {"velocity": 0.05}, "largest": {"velocity": place}},
        "attention": {"mean": {}},
    }
    run.measures.write_text(json.dumps(measures))
    training = {"iterations": 100, "seconds": 2.0, "parameters": 7}
    run.results.record("train").write_text(json.dumps({"seconds": 3, "training": training}))
    row = numbers.row_of(run)
    assert row["validation_v"] == 0.3
    assert row["ms_per_step"] == 20
    assert row["largest_velocity"] == 0.3
    comparison = plan.Comparison("one", ("adam-wn",), ("bundled",), (2,))
    assert numbers.places_of([comparison])["z_mm"].tolist() == [1.0]
    assert numbers.singled_out([comparison]).empty
