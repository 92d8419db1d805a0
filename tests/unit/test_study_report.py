"""Tables, page and figures of a small study whose finished runs are made up."""

import io
import json
import re
import shutil
import sys
from contextlib import redirect_stdout
from itertools import product
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import pyplot as plt
from scipy.stats import ttest_1samp

from aiv_rba.fields.flow import open_flow
from aiv_rba.stages.score.truth import against_truth
from studies.study import figures, markdown, numbers, plan, report, train
from studies.study.benefit import ERRORS
from studies.study.tables import TERMS, tables
from tests.exact import LENGTH, RADIUS, SCALES, pulse, value, write_trained, write_truth

TWIN, SEEDS = "tube", (0, 1, 2)
ADAM = ("adam", "adam-wn", "adam-paper_rba", "adam-paper_rba-wn")
SCHEMES = (*ADAM, "gauss_newton", "gauss_newton-rba")
REMEDY = "adam-paper_rba-quantile-wn"
PLAN = {
    "schemes": {"twins": [TWIN], "seeds": list(SEEDS), "variants": list(SCHEMES)},
    "remedies": {"twins": [TWIN], "seeds": list(SEEDS), "variants": [REMEDY]},
}
FLOOR = {"u": 0.12, "v": 0.21}
STEPS, ROWS, GROUPS = 40, 60, 30
HELD_OUT = ("validation_u", "validation_v")


def made_up():
    """Errors of every run; RBA about halves the pressure of Adam."""
    rng = np.random.default_rng(0)
    runs = {}
    for variant, seed in product((*SCHEMES, REMEDY), SEEDS):
        errors = dict.fromkeys([*HELD_OUT, *numbers.TRUTH])
        runs[variant, seed] = {name: rng.uniform(0.05, 0.4) for name in errors}
    for seed, factor in zip(SEEDS, (0.5, 0.52, 0.49), strict=True):
        runs["adam-paper_rba", seed]["pressure"] = factor * runs["adam", seed]["pressure"]
    return runs


def seconds_of(variant):
    """Attention takes half as long again."""
    return 9.0 if "rba" in variant else 6.0


def history_of(variant, errors):
    """Errors that fall in proportion to the time, from 1.5 times to those at the end."""
    share = np.linspace(0, 1, 9)
    columns = {"step": STEPS * share, "seconds": seconds_of(variant) * share}
    for name, column in ERRORS.items():
        columns[column] = errors[name] * (1.5 - 0.5 * share)
    for block, which in product(figures.BLOCKS, ("min", "mean", "max")):
        columns[f"lambda_{block}_{which}"] = 0.2 + share
    return pd.DataFrame(columns)


def measures_of(variant, seed, errors):
    """What `measure` writes."""
    with_attention = "rba" in variant
    edges = np.linspace(0, 1e-3, 11).tolist()
    place = {"position_m": [1e-3, 2e-3, seed * 1e-3], "time_s": 0.1 * seed}
    return {
        "validation": {name[-1]: errors[name] for name in HELD_OUT},
        "noise_floor": FLOOR,
        "histograms": {"v": {"edges": edges, "measured": list(range(10)), "predicted": [5] * 10}},
        "truth": {
            "errors": {name: errors[name] for name in numbers.TRUTH},
            "largest": {
                "velocity": place | {"value": 3 * errors["velocity"], "radii_from_wall": 0.3}
            },
        },
        "attention": {
            "mean": {"tracks": 0.3, "navier_stokes": 0.2} if with_attention else {},
            **({"navier_stokes": {"mean": {"with_true_error": 0.4}}} if with_attention else {}),
        },
    }


def record_of(variant):
    """What the record of a training says."""
    settings = {
        "global_weights": {key: [1.0, 2.0, 3.0] for key, _, _ in TERMS} | {"mass": 4.0},
        "groups_per_step": None,
        "network": {
            **{"layers": 1, "width": 6, "activation": "sin", "time_harmonics": 1},
            "no_slip": "soft",
        },
        "optimiser": {"learning_rate": 0.01, "final_learning_rate": 0.001},
        "precision": "single",
    }
    training = {"iterations": STEPS, "seconds": seconds_of(variant), "parameters": 100}
    points = {"wall": 200, "interior": 600}
    return {"seconds": 20.0, "training": training | {"settings": settings, "points": points}}


def maps_of(seed=0):
    """Multipliers of rows and groups, and where these are; every tenth row is a mismatch."""
    rng = np.random.default_rng(seed)

    def points(count):
        period = SCALES.nondimensional_period
        return rng.uniform([0, -0.5, 0, -0.5], [period, 0.5, LENGTH, 0.5], (count, 4))

    return {
        "tracks": rng.uniform(0, 1, (ROWS, 2)),
        "track_points": points(ROWS),
        "mismatched": np.arange(ROWS) % 10 == 0,
        "groups": rng.uniform(0, 1, (GROUPS, 4)),
        "group_centres": points(GROUPS),
        "group_distance": rng.uniform(0, 1, GROUPS),
    }


def write_study(errors):
    """Write the files of all runs below the working folder."""
    experiment = plan.experiment_of(TWIN)
    experiment.parent.mkdir(parents=True)
    experiment.write_text(yaml.safe_dump({"score": {"truth": "truth.h5"}}))
    write_truth(experiment.parents[3] / "truth.h5")
    (plan.OVERLAYS / "plans").mkdir(parents=True)
    (plan.OVERLAYS / "plans" / "small.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    for picture in (plan.data(TWIN).tracks_picture, plan.data(TWIN).groups_picture):
        picture.parent.mkdir(parents=True, exist_ok=True)
        figure, axis = plt.subplots()
        axis.plot([0, 1])
        picture.write_bytes(figures.image(figure))
    for (variant, seed), found in errors.items():
        run = plan.Run(TWIN, variant, seed)
        run.results.record("train").parent.mkdir(parents=True)
        run.results.record("train").write_text(json.dumps(record_of(variant)))
        run.measures.write_text(json.dumps(measures_of(variant, seed, found)))
        history_of(variant, found).to_csv(run.results.history, index=False)
        np.savez(run.multipliers, **(maps_of() if "rba" in variant else {}))
        if seed == SEEDS[0]:
            for file in ("case.h5", "model.pt"):
                shutil.copy(file, run.results.folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder, errors = tmp_path_factory.mktemp("study"), made_up()
    write_trained(folder)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.chdir(folder)
        plan.experiment.cache_clear()
        write_study(errors)
        patch.setattr(sys, "argv", ["report", "small"])
        assert report.main() == 0
        assert markdown.main() == 0
        found = tables(plan.load_plan("small"))
    plan.experiment.cache_clear()
    return SimpleNamespace(
        errors=errors,
        tables=found,
        written=folder / plan.FOLDER / "small",
        folder=folder,
        printed=printed.getvalue(),
    )


def test_tables_5_and_6_have_means_and_spreads_beside_the_floors(study):
    five, six = study.tables["table_5"], study.tables["table_6"]
    assert [*five["variant"]] == [plan.label(variant) for variant in SCHEMES]
    assert [*six["variant"]] == [plan.label(variant) for variant in ADAM]
    assert set(six["optimiser"]) == {"adam"}
    for table, variants in ((five, SCHEMES), (six, ADAM)):
        for variant, (_, row) in zip(variants, table.iterrows(), strict=True):
            for name in (*HELD_OUT, *numbers.TRUTH):
                values = 100 * np.array([study.errors[variant, seed][name] for seed in SEEDS])
                assert row[name] == pytest.approx(values.sum() / 3)
                spread = np.sqrt(np.sum((values - values.mean()) ** 2) / 2)
                assert row[f"{name}_std"] == pytest.approx(spread)
            assert [row[f"floor_{name}"] for name in "uv"] == pytest.approx([12, 21])
            assert row["seeds"] == 3
    columns = list(five)
    assert columns[columns.index("validation_u_std") + 1] == "floor_u"
    at = columns.index("validation_v_std")
    assert columns[at + 1 : at + 3] == ["floor_v", "velocity"]
    assert plan.label(REMEDY) in set(study.tables["all"]["variant"])


def test_largest_errors_have_the_place_of_the_worst_seed(study):
    table = study.tables["largest_by_variant"]
    assert len(table) == len(SCHEMES) + 1
    for variant, (_, row) in zip((*SCHEMES, REMEDY), table.iterrows(), strict=True):
        values = [300 * study.errors[variant, seed]["velocity"] for seed in SEEDS]
        worst = int(np.argmax(values))
        assert (row["variant"], row["field"]) == (plan.label(variant), "velocity")
        assert row["error"] == pytest.approx(np.mean(values))
        assert row["worst"] == pytest.approx(max(values))
        assert row["seed"] == row["z_mm"] == worst
        assert row["t_s"] == pytest.approx(0.1 * worst)
        assert row["hydraulic_radii_from_wall"] == 0.3


def test_costs_of_table_a13(study):
    table = study.tables["table_a13"].set_index("variant")
    assert table.loc["RBA", "ms_per_step"].tolist() == pytest.approx([225, 225])
    assert table.loc["WN", "ms_per_step"] == pytest.approx(150)
    assert table.loc["WN", "ms_per_step_std"] == 0


@pytest.mark.parametrize("name", ERRORS)
def test_benefit_at_equal_iterations_and_at_equal_wall_time(study, name):
    """Of the runs with attention, which take 9 s, the plain ones are at their ends after 6 s."""
    table = study.tables["benefit"].set_index(["variant", "equal", "error"])
    for variant in ("adam-paper_rba", "gauss_newton-rba", REMEDY):
        plain = {"adam-paper_rba": "adam", "gauss_newton-rba": "gauss_newton", REMEDY: "adam-wn"}
        pairs = [(study.errors[variant, s], study.errors[plain[variant], s]) for s in SEEDS]
        logs = np.array([np.log(own[name] / other[name]) for own, other in pairs])
        for equal, sooner in (("iterations", 1.0), ("wall time", 1.5 - 0.5 * 6 / 9)):
            row = table.loc[(variant, equal, name)]
            interval = ttest_1samp(logs, 0).confidence_interval(0.95)
            assert row["ratio"] == pytest.approx(sooner * np.exp(logs.mean()))
            assert row["low"] == pytest.approx(sooner * np.exp(interval.low))
            assert row["high"] == pytest.approx(sooner * np.exp(interval.high))


def test_what_is_written_as_csv_is_what_was_found(study):
    written = {path.stem for path in (study.written / "tables").glob("*.csv")}
    assert written == set(study.tables)
    for name, table in study.tables.items():
        read = pd.read_csv(study.written / "tables" / f"{name}.csv")
        pd.testing.assert_frame_equal(
            read, table.reset_index(drop=True), check_dtype=False, rtol=1e-5
        )


def test_page_has_tables_and_figures(study):
    page = (study.written / "report.html").read_text()
    for title in (
        "Table 5",
        "Table 6",
        "Largest errors",
        "Fig. 7",
        "Figs. 6 and A.13",
        "Fig. A.11",
    ):
        assert title in page
    tables_5_and_6 = page[page.index("<h2>Table 5") : page.index("<h2>Largest errors")]
    assert tables_5_and_6.count("<th>floor u</th>") == 3
    mean = 100 * np.mean([study.errors["adam-wn", seed]["vorticity"] for seed in SEEDS])
    assert tables_5_and_6.count(f"{mean:.3g} ± ") >= 2
    pictures = re.findall(r'<img[^>]* src="data:image/png', page)
    assert len(pictures) == len(list((study.written / "figures").iterdir()))


def test_every_figure_is_a_picture_that_is_not_blank(study):
    paths = sorted((study.written / "figures").iterdir())
    names = {path.name for path in paths}
    with_attention = [variant for variant in (*SCHEMES, REMEDY) if "rba" in variant]
    expected = {f"fig_7_convergence_schemes_{TWIN}_{name}.png" for name in plan.STEP}
    expected |= {f"fig_7_convergence_remedies_{TWIN}_adam.png"}
    expected |= {f"fig_a11_multipliers_{TWIN}_{variant}.png" for variant in with_attention}
    expected |= {f"maps_of_multipliers_{TWIN}_{variant}.png" for variant in with_attention}
    expected |= {
        f"{figure}_{TWIN}_{variant}.png"
        for figure in ("fig_6c_fields", "fig_a13_fields", "fig_6d_histograms")
        for variant in ("adam-paper_rba-wn", "gauss_newton-rba")
    }
    expected |= {f"fig_5_tracks_{TWIN}.png", f"fig_a12_groups_{TWIN}.png"}
    assert names == expected
    for path in paths:
        picture = plt.imread(path)[..., :3]
        drawn = np.mean(np.any(picture < 0.99, axis=-1))
        assert drawn > 0.005, path


def test_fields_are_drawn_beside_the_true_ones(study):
    flow = open_flow(study.folder / plan.Run(TWIN, "gauss_newton-rba", 0).results.folder)
    phases = (0.0, 0.3)
    found = figures._inferred_and_true(flow, study.folder / "truth.h5", phases)
    names = [name for name, _, _ in found]
    assert names == ["velocity (mm/s)", "pressure (Pa)", "vorticity (1/s)", "WSS (mPa)"]
    _, points, velocity = found[0]
    x, _, z = ((points - np.array(SCALES.origin)) / SCALES.length).T
    # The middle third of the depth, which is z: cameras see u and v.
    assert 50 < len(points) < 150
    assert np.abs(z).max() < RADIUS / 2 < np.abs(x).max()
    normals = (found[3][1] - np.array(SCALES.origin))[:, 2]
    assert normals.min() > 0
    parabola = SCALES.velocity * (1 - (x**2 + z**2) / RADIUS**2)
    for phase, (inferred, true) in zip(phases, velocity, strict=True):
        factor = value(pulse, np.array([phase * SCALES.nondimensional_period]))
        np.testing.assert_allclose(true, 1e3 * factor * parabola, rtol=1e-5)
        time = phase * SCALES.period
        np.testing.assert_allclose(inferred, 1e3 * flow.velocity(points, time)[:, 1])
    _, _, stress = found[3]
    np.testing.assert_allclose(
        stress[0, 1], 1e3 * 1.5 * 2 / RADIUS * SCALES.viscosity * SCALES.shear_rate, rtol=1e-5
    )


def test_rows_of_the_tracks_are_drawn_where_they_are(study):
    """Across a vessel along y the cameras, which measure u and v, see x."""
    flow = open_flow(study.folder / plan.Run(TWIN, "gauss_newton-rba", 0).results.folder)
    maps = maps_of()
    figure, axes = plt.subplots(1, 2)
    figures._track_maps(axes, flow.case, maps)
    mean = maps["tracks"].mean(axis=1)
    for points, kind in zip(
        axes[1].collections, (~maps["mismatched"], maps["mismatched"]), strict=True
    ):
        seen = maps["track_points"][kind][:, [2, 1]] * SCALES.length
        seen = 1e3 * (seen + np.array(SCALES.origin)[[1, 0]])
        order = np.argsort(mean[kind])
        np.testing.assert_allclose(points.get_offsets(), seen[order])
        np.testing.assert_allclose(points.get_array(), mean[kind][order])
    assert axes[1].get_ylabel() == "x (mm)"
    plt.close(figure)


def test_markdown_has_all_tables(study):
    text = study.printed
    assert "Table 5, errors in percent, Gauss-Newton" in text
    assert "Table 6, errors in percent, Adam" in text
    assert "| validation u | floor u | validation v | floor v | velocity | u | v | w |" in text
    assert "| field | largest error | in the worst seed | worst seed | x (mm) |" in text
    assert "| equal | validation u | validation v | velocity |" in text
    ratios = [line for line in text.splitlines() if line.startswith("| schemes | Adam")]
    assert {line.split(" | ")[4] for line in ratios} == {"iterations", "wall time"}
    # The pressure of the only variant that was made to be sure.
    sure = [line for line in ratios if " | RBA | iterations | " in line]
    assert "**0.50** (" in sure[0]


def test_tables_of_the_page_are_renewed(study, tmp_path, monkeypatch):
    """What stands round them stays."""
    page = tmp_path / "study.md"
    names = re.findall(r"<!-- (?!end)(\w+) -->", markdown.page_blocks(study.tables))
    assert names == re.findall(r"<!-- (?!end)(\w+) -->", markdown.PAGE.read_text())
    page.write_text("".join(f"{name}\n<!-- {name} -->\nold\n<!-- end -->\n" for name in names))
    monkeypatch.chdir(study.folder)
    monkeypatch.setattr(markdown, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["markdown", "small", "--docs"])
    with redirect_stdout(io.StringIO()):
        assert markdown.main() == 0
    text = page.read_text()
    assert "old" not in text
    schemes, gauss_newton, adam, variants = text.split("<!-- end -->")[:4]
    assert schemes.startswith("schemes_ratios\n<!-- schemes_ratios -->\n| optimiser | twin |")
    assert "| Adam | tube | RBA |" in schemes
    assert "**0.50** (" in schemes
    assert len(gauss_newton.split("| tube |")) == 3
    assert len(adam.split("| tube |")) == 5
    assert "RBA by quantile, WN" in variants


def test_errors_along_a_training_are_those_of_the_score(tmp_path, monkeypatch):
    """With all points of the truth; four phases are enough for a flow of one harmonic."""
    network = write_trained(tmp_path)
    write_truth(tmp_path / "truth.h5")
    monkeypatch.setattr(train, "WALL_POINTS", 300)
    monkeypatch.setattr(train, "SECTIONS", 21)
    flow = open_flow(tmp_path)
    with h5py.File(tmp_path / "truth.h5") as file:
        expected = against_truth(file, flow.case, flow.model).errors
    run = SimpleNamespace(
        problem=SimpleNamespace(residuals=SimpleNamespace(network=network)),
        history=SimpleNamespace(rows=[{"step": 1.0}]),
    )
    train.truth_errors(tmp_path / "truth.h5", flow.case)(run)
    (row,) = run.history.rows
    assert set(row) == {"step", *(ERRORS[name] for name in ERRORS if name not in HELD_OUT)}
    for name, column in ERRORS.items():
        if name not in HELD_OUT:
            assert row[column] == pytest.approx(expected[name], rel=1e-6)
