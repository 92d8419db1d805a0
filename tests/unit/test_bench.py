"""What the benches compute: rounds, losses that are compared, tables, and a run in turns."""

import json
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

import aiv_rba
from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.share import Share
from aiv_rba.settings import load_stage
from bench import __main__ as command
from bench import (
    change,
    cost,
    gpu_check,
    gpu_parts,
    inputs,
    matrix,
    measure,
    paper,
    points,
    scaling,
    step,
    turns,
)
from tests.training_case import write_tiny_training


def test_all_take_turns_and_the_first_rounds_do_not_count():
    order = []
    variants = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert measure.in_turns(variants, rounds=2, warm_up=1) == {"a": [3, 5], "b": [4, 6]}
    assert order == list("ababab")


def test_statistics_of_rounds():
    assert measure.ratios([1.0, 4.0], [2.0, 2.0], factor=2) == [1, 4]
    assert measure.spread([3.0, 1.0, 8.0]) == {"median": 3, "min": 1, "max": 8}
    assert measure.timed(lambda: None)() < 1


def test_results_are_written_and_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    measure.write("bench", {"a": 1})
    text = (tmp_path / "results" / "bench.json").read_text()
    assert json.loads(text) == json.loads(capsys.readouterr().out) == {"a": 1}


def test_the_matrix_is_timed_on_ranks_that_share_memory_and_that_send(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = matrix.on(2, order=40, rounds=2)
    names = {f"{memory}_{part}" for memory in ("shared", "sent") for part in matrix.PARTS}
    assert set(found) == names
    assert all(len(values) == 2 and min(values) > 0 for values in found.values())


def test_every_bench_has_options_of_its_own(monkeypatch, capsys):
    called = {}
    monkeypatch.setattr(
        points, "run", lambda points=0.0, times=3: called.update(points=points, times=times)
    )
    command.main(["points", "--points", "1e8"])
    assert called == {"points": 1e8, "times": 3}
    for name in command.NAMES:
        with pytest.raises(SystemExit, match="0"):
            command.main([name, "--help"])
    assert "--largest" in capsys.readouterr().out


def test_jets_and_nested_autograd_take_the_same_steps():
    here = torch.device("cpu")
    jets, nested = (
        step.Training(step.SMALL_SIZE, here, kind) for kind in (FlowNetwork, step.NestedNetwork)
    )
    for _ in range(3):
        assert jets.step().item() == pytest.approx(nested.step().item(), rel=1e-4)


def test_the_bench_of_a_step_compares_all_variants(monkeypatch):
    # Compilation is tested elsewhere, and takes its time.
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    found = step.measure(step.SMALL_SIZE, rounds=1)
    assert found["nested_autograd_over_jets"]["median"] > 0 < found["share_of_multipliers"]
    assert set(found["seconds"]) >= {"jets", "nested_autograd", "matmul", "multipliers"}


def test_operations_of_a_step():
    """One layer of two neurons: 4 x 2 + 2 x 4 weights; 5 values and 3 jets of six slices."""
    size = step.Size({"no_slip": 2, "tracks": 3, "navier_stokes": 3}, layers=1, width=2)
    assert size.operations == 3 * 2 * (5 + 6 * 3) * (4 * 2 + 2 * 4)


def test_no_part_of_the_gpu_check_ends_the_others(tmp_path, monkeypatch):
    """Tests that never end, a part that fails at once, and one for which no time is left."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu_check, "PYTEST", (sys.executable, "-c", "while True: pass"))
    parts = (("tests", 0, 0.5), ("none", 0, 400), ("training", 900, 900))
    monkeypatch.setattr(gpu_check, "PARTS", [gpu_check.Part(*part) for part in parts])
    with pytest.raises(SystemExit) as ended:
        gpu_check.run(device="cpu", seconds=500)
    assert ended.value.code == 1
    found = json.loads((tmp_path / "gpu_check.json").read_text())["parts"]
    assert found["tests"]["error"] == "not done in 0.5 s"
    assert found["none"]["error"] == "exit code 1: KeyError: 'none'"
    assert re.fullmatch(r"\d+ s left, needs 900 s", found["training"]["error"])


def test_tests_of_a_gpu_are_found_wherever_they_are():
    assert gpu_check.marked() == [
        "tests/gpu/test_gpu.py",
        "tests/unit/test_adam_step.py",
        "tests/unit/test_point_source.py",
    ]


def test_products_of_a_slow_precision_take_no_longer(monkeypatch):
    """As on GPUs whose largest product in double precision takes a second."""
    now, sides, noted = 0.0, {}, []
    slow = {torch.float64: 1e12, torch.float32: 6e13, torch.bfloat16: 8e14}

    def square(side, dtype, device):
        def product():
            nonlocal now
            now += 2 * side**3 / slow[dtype]

        sides[dtype] = side
        return product

    monkeypatch.setattr(gpu_parts, "square", square)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now)
    peaks = gpu_parts.peaks(
        torch.device("cpu"), gpu_parts.SIDE, 5, lambda key, value: noted.append(dict(value))
    )
    assert peaks == pytest.approx({"double": 1, "single": 60, "tf32": 60, "bfloat16": 800})
    assert sides == {torch.float64: 2048, torch.float32: 8192, torch.bfloat16: 8192}
    assert now < 4
    # What was measured is noted before the next one begins.
    assert [len(found) for found in noted] == [1, 2, 3, 4]


def test_the_step_and_trainings_need_no_vtk():
    """Which does not fit on every machine with a GPU."""
    program = (
        "import sys, bench.gpu_check, bench.gpu_parts, tests.gpu.test_gpu, aiv_rba.cli\n"
        "print({'pyvista', 'vtkmodules'} & set(sys.modules))"
    )
    command = (sys.executable, "-c", program)
    found = subprocess.run(command, cwd=gpu_check.ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_without_a_gpu_the_check_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"found no GPU that torch .* can use"):
        gpu_check.run()


def test_outcomes_are_read_from_what_pytest_prints():
    printed = "tests/a.py::one[x y] PASSED [ 50%]\ntests/a.py::two FAILED [100%]\n== 1 failed ==\n"
    assert gpu_check.outcomes(printed) == {
        "passed": ["tests/a.py::one[x y]"],
        "failed": ["tests/a.py::two"],
    }


def test_every_method_of_the_paper_is_compared():
    methods = cost.methods("helmholtz", points=9)
    few = dict(list(methods.items())[:2])
    result = cost.compare(few, rounds=2)
    first, second = result.values()
    assert first["relative_to_vanilla"] == 1 != second["relative_to_vanilla"]
    assert all(0 < row["share_of_weighting"] < 1 for row in result.values())


def test_a_finer_partition_has_the_points_asked_for():
    paper = load_stage(points.PAPER, "points")
    assert points.scaled(paper, 0.0) == paper
    finer = points.scaled(paper, 1e8)
    assert points.collocation_points(finer)[0] == pytest.approx(1e8, rel=0.01)


def test_twice_the_rows(tmp_path):
    write_tiny_training(tmp_path, iterations=1, groups_per_step=5)
    settings = load_stage(tmp_path / "train.yaml", "train")
    double = inputs.twice_the_rows(settings)
    assert (double.groups_per_step, double.optimiser.rows) == (10, (10, 18, 18))
    case = read_case(tmp_path / "case.h5")
    tracks = inputs.twice_the_tracks(case).tracks
    np.testing.assert_array_equal(tracks.velocity["v"], np.tile(case.tracks.velocity["v"], 2))
    assert len(tracks.points) == 2 * len(case.tracks.points)


def test_jobs_take_turns(tmp_path):
    """One rank, and two that share the same training, through the real loop."""
    write_tiny_training(tmp_path, iterations=1, checkpoint_every=3)
    settings = load_stage(tmp_path / "train.yaml", "train")
    files = turns.Inputs(settings, tmp_path / "case.h5", tmp_path / "points.h5")
    jobs = [turns.Job("one", 1, files, 2), turns.Job("two", 2, files, 2)]
    taken, told = turns.take_turns(jobs, tmp_path, rounds=2)
    assert [len(turns) for turns in taken.values()] == [2, 2]
    assert all(0 < turn.work < 10 for turns in taken.values() for turn in turns)
    assert [len(ranks) for ranks in told.values()] == [1, 2]
    # Six steps and the one that ends the last turn, after which there is a checkpoint too.
    assert len(told["one"][0]["save_seconds"]) == 3
    found = told["two"][0]["collectives"]
    assert found["maxima"]["numbers"] == 9 < found["sums"]["numbers"]


def test_a_job_that_fails_says_why(tmp_path):
    write_tiny_training(tmp_path, iterations=1)
    settings = load_stage(tmp_path / "train.yaml", "train")
    files = turns.Inputs(settings, tmp_path / "none.h5", tmp_path / "points.h5")
    with pytest.raises(SystemExit, match=r"none\.h5"):
        turns.take_turns([turns.Job("one", 1, files, 2)], tmp_path, rounds=1)


def test_spawned_processes_import_other_sources(tmp_path):
    package = tmp_path / "aiv_rba"
    package.mkdir()
    (package / "__init__.py").touch()
    found = []
    for source in (tmp_path, None):
        with ProcessPoolExecutor(1, get_context("spawn")) as one, turns.importing_from(source):
            found.append(one.submit(eval, "__import__('aiv_rba').__file__").result())
    assert found == [str(package / "__init__.py"), aiv_rba.__file__]


def test_sources_of_a_commit(tmp_path):
    source = change.unpacked("HEAD", tmp_path)
    assert (source / "aiv_rba" / "cli.py").is_file()


def test_a_change_is_compared_within_each_round():
    seconds = {"before_1": 4.0, "now_1": 2.0, "before_2": 3.0, "now_2": 1.0}
    taken = {job: [turn(s), turn(9.0, others=1.0)] for job, s in seconds.items()}
    found = change.summary(taken, {job: [{"errors": {"u": 0.1}}] for job in taken})
    assert found["rounds_counted"] == [0]
    ratios = {n: r["median"] for n, r in found["throughput_now_over_before"].items()}
    assert ratios == {"1": 2, "2": 3}
    ratios = {name: r["median"] for name, r in found["work_two_ranks_over_one"].items()}
    assert ratios == {"before": pytest.approx(4 / 3), "now": 2}


def turn(seconds, others=0.0):
    return turns.Turn(seconds, seconds / 2, others)


@pytest.fixture
def result():
    """Of two rounds, the second of which others disturbed; all times are exact."""
    taken = {
        "one": [turn(4.0), turn(9.0)],
        "two": [turn(2.0), turn(9.0, others=1.0)],
        "two_twice": [turn(5.0), turn(9.0)],
        "apart": [turn(8.0), turn(9.0)],
    }
    both = {
        "maxima": {"numbers": 9, "seconds_per_step": 2e-3, "alone": 1e-3},
        "sums": {"numbers": 1000, "seconds_per_step": 5e-3, "alone": 4e-3},
    }
    rank = {"peak": 1000 * 2**20, "multipliers": 2**20, "points": 2**21, "parameters": 1000}
    told = {job: [rank | {"collectives": both}] * 2 for job in taken}
    found = scaling.summary(taken, told)
    # 0.01 s and 1 ms a row.
    shares = [
        Share(1e6 * world, 100 * world, world, rows, 0.01 + 1e-3 * rows, 2**20, 2**20, 2**20)
        for world, rows in ((1, 10), (2, 100), (4, 1000))
    ]
    ranks = {"paper": found, "default": found}
    plan = scaling.plan(shares, ranks)
    return {"ranks": ranks, "shares": [asdict(share) for share in shares], "plan": plan}


def test_only_quiet_rounds_count(result):
    found = result["ranks"]["paper"]
    assert found["rounds_counted"] == [0]
    ratios = {kind: found[f"{kind}_throughput_ratio"]["median"] for kind in ("strong", "weak")}
    assert ratios == {"strong": 2, "weak": 1.6}
    assert found["apart_work_ratio"]["max"] == 1
    noisy = {"one": [turn(1.0, others=1.0), turn(2.0, others=1.0)]}
    assert scaling.quiet_rounds(noisy) == [0, 1]


def test_the_plan_finds_the_cost_of_a_row(result):
    core = result["plan"]
    assert core["seconds_per_row"] == pytest.approx(1e-3)
    assert core["seconds_fixed"] == pytest.approx(0.01)
    # The least that was measured is two hops.
    assert core["cluster"]["tree"][1] == pytest.approx(0.5e-3)
    assert core["cluster"]["between"] == pytest.approx(4 * 1000 / 4e-3)


def test_tables_take_their_places_on_the_pages(result, tmp_path):
    text = scaling.tables(json.loads(json.dumps(result)))
    assert "| paper | strong | 4.00 (4.00 to 4.00) | 2.00 (2.00 to 2.00) | 2.00 (" in text
    assert "| paper | sums | 1,000 | 4 | 0.2 % | 5 |" in text
    assert "| default | 1 | 1,000, 1,000 | 1, 1 | 2, 2 |" in text
    assert "| 4e+06 | 4 | 1,000 | 1.01 | 1 | 1 | 1 |" in text
    pages = {page.name: page.read_text() for page in Path("docs").glob("*.md")}
    for name, page in pages.items():
        (tmp_path / name).write_text(page)
    measure.renew(tmp_path.glob("*.md"), text)
    renewed = {name: (tmp_path / name).read_text() for name in pages}
    blocks = text.split("<!-- end -->")[:-1]
    for block in blocks:
        table = block[block.index("|") :].splitlines()
        assert len({line.count("|") for line in table}) == 1
        (place,) = (name for name in pages if "\n".join(table) in renewed[name])
        # The page has the same columns.
        assert table[0] in pages[place]
    changed = {name for name in pages if pages[name] != renewed[name]}
    assert changed == {"scaling.md", "large-data.md"}
    # The hours of the paper's training come from a bench of their own, and stay.
    hours = pages["large-data.md"].partition("<!-- paper_hours -->")[2]
    assert hours
    assert hours in renewed["large-data.md"]
    assert "## What a rank does" in renewed["scaling.md"]
    measure.renew(tmp_path.glob("*.md"), text)
    assert renewed == {name: (tmp_path / name).read_text() for name in pages}


def test_the_hours_of_the_paper_are_those_of_its_steps(tmp_path):
    assert paper.hours(250_000, {"median": 1.8, "min": 1.44, "max": 3.6}) == pytest.approx(
        {"median": 125, "min": 100, "max": 250}
    )
    assert "make gpu-check" in paper.planned(tmp_path / "none.json", 5250, (4.0, 36.0), 250_000)
    check = tmp_path / "gpu_check.json"
    plan = {"fixed": 1e-3, "per_row": 1e-6}
    check.write_text(json.dumps({"parts": {"step": {"result": {"plan": plan}}}}))
    planned = paper.planned(check, 5000, (4.0, 36.0), 3600)
    # One GPU communicates nothing; eight have an eighth of the rows.
    assert planned[1] == pytest.approx(6e-3)
    assert 1.625e-3 < planned[8] < 2e-3


def test_the_table_of_the_paper_says_what_is_extrapolated(tmp_path):
    spread = {"median": 1.7, "min": 1.5, "max": 2.0}
    result = {
        "seconds_per_step": {"one": spread, "two": spread},
        "hours": {"one": paper.hours(250_000, spread), "two": paper.hours(250_000, spread)},
        "gpu_hours_planned": "not known",
        "gpu_hours_at_least": {"A100": 0.25},
    }
    lines = paper.table(result).splitlines()
    assert "| one rank | 1.70 (1.50 to 2.00) | 118 (104 to 139) | steps timed |" in lines
    assert any("at least 0.25" in line and "not measured" in line for line in lines)
    page = tmp_path / "page.md"
    page.write_text("<!-- plan -->\nkept\n<!-- end -->\n<!-- paper_hours -->\nold\n<!-- end -->\n")
    measure.renew([page], paper.table(result))
    renewed = page.read_text()
    assert "kept" in renewed
    assert "old" not in renewed


def test_the_bench_of_the_paper_extrapolates_its_own_settings(tmp_path, monkeypatch):
    """Steps that take 2 s on one rank and 1 s on two, without training anything."""
    rows = {"no_slip": 5630, "tracks": 9400, "navier_stokes": 5250}
    taken = {name: [turns.Turn(s, s, 0.0)] for name, s in (("one", 2.0), ("two", 1.0))}
    told = {"one": [{"parameters": 283_600}]}
    written = {}
    monkeypatch.setattr(paper, "write_inputs", lambda folder, *overlays: (None, None))
    monkeypatch.setattr(paper, "rows_of", lambda inputs: rows)
    monkeypatch.setattr(paper, "take_turns", lambda jobs, folder, rounds: (taken, told))
    monkeypatch.setattr(paper, "write", lambda name, result: written.update({name: result}))
    monkeypatch.setattr(paper, "RESULTS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("<!-- paper_hours -->\nold\n<!-- end -->\n")
    paper.run(1, str(tmp_path))
    found = written["bench_paper"]
    assert found["steps"] == 250_000
    assert sum(found["points"].values()) == pytest.approx(5.5e6, rel=0.02)
    assert found["hours"]["one"]["median"] == pytest.approx(250_000 * 2 / 3600)
    assert found["hours"]["two"]["median"] == pytest.approx(250_000 / 3600)
    # Matrix products of eight layers of 200, at 19.5e12 operations a second.
    assert found["gpu_hours_at_least"]["A100"] == pytest.approx(
        250_000 * step.PAPER_SIZE.operations / 19.5e12 / 3600
    )
    assert "| two ranks | 1.00 (1.00 to 1.00) | 69 (69 to 69) |" in page.read_text()
