"""Strong and weak scaling on this machine, and a plan for more ranks than it has.

Measures the training of the paper's settings and of the default on one and two ranks, the work of
the first of up to 1,024 ranks, and models the communication of larger worlds. Writes
results/bench_scaling.json and .png, and prints tables; `--page docs/scaling.md` puts them there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import numpy as np
import yaml
from aiv_rba.files.provenance import versions
from communication import H100_SINGLE_PRECISION, LAUNCHES, NVIDIA, SHARE_OF_PEAK, Cluster, Step
from turns import QUIET, Job, Turn, Turns

from aiv_rba.files.case import Case, Tracks, read_case, write_case
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.settings import PointsSettings, load_stage
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.points.generate import generate

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RESULTS = Path("results")
CONFIG = Path("workflow/config")
# Steps of a turn. A row of the history is due at every fifth one of the default.
STEPS = {"paper": 2, "default": 5}
WORLDS = (1, 2, 8, 64, 256, 1024)
# Groups of the paper's 4.98e6 points, of 1e8 and of 1e10, with 95 points each.
GROUPS = (52_500, 1_052_632, 105_263_158)
STOP_FLAG = 4


def twice(section: PointsSettings) -> PointsSettings:
    """The same points with twice the groups."""
    return replace(section, n_t=2 * section.n_t, wall_n_t=2 * section.wall_n_t)


def twice_the_tracks(case: Case) -> Case:
    """The same case with every track row twice."""

    def double(values: Any) -> Any:
        if isinstance(values, dict):
            return {name: double(column) for name, column in values.items()}
        return np.concatenate([values, values])

    tracks = {name: double(values) for name, values in vars(case.tracks).items()}
    return replace(case, tracks=Tracks(**tracks))


def write_inputs(folder: Path, name: str) -> None:
    """Case, points and configuration of an experiment, as they are and with twice the rows."""
    path = CONFIG / f"{name}.yaml"
    files = {"summary": folder / "summary.txt", "picture": folder / "picture.png"}
    ingest(load_stage(path, "ingest"), case=folder / f"{name}_case.h5", **files)
    case = read_case(folder / f"{name}_case.h5")
    write_case(folder / f"{name}_case_2.h5", twice_the_tracks(case))
    section = load_stage(path, "points")
    for suffix, points in (("", section), ("_2", twice(section))):
        generate(
            points,
            case=folder / f"{name}_case.h5",
            points=folder / f"{name}_points{suffix}.h5",
            picture=files["picture"],
        )
    # Chosen rows and weights in full, so that the rows can be doubled.
    train = json.loads(json.dumps(asdict(resolve(load_stage(path, "train"), case))))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"train": train}))
    if train.get("groups_per_step"):
        train["groups_per_step"] *= 2
    if rows := train["optimiser"].get("rows"):
        train["optimiser"]["rows"] = [2 * count for count in rows]
    (folder / f"{name}_2.yaml").write_text(yaml.safe_dump({"train": train}))
    train["groups_per_step"] = 0
    (folder / f"{name}_whole.yaml").write_text(yaml.safe_dump({"train": train}))


def jobs(folder: Path, name: str) -> list[Job]:
    """One rank, two ranks on the same rows and on twice as many, two trainings of one rank."""

    def job(title: str, ranks: int, suffix: str, apart: bool = False) -> Job:
        return Job(
            title,
            ranks,
            config=folder / f"{name}{suffix}.yaml",
            case=folder / f"{name}_case{suffix}.h5",
            points=folder / f"{name}_points{suffix}.h5",
            steps=STEPS[name],
            apart=apart,
        )

    together = [job("one", 1, ""), job("two", 2, ""), job("two_twice", 2, "_2")]
    return [*together, job("apart", 2, "", apart=True)]


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def ranks_of(folder: Path, name: str, rounds: int, patience: float) -> dict[str, Any]:
    """Time and memory of one and two ranks."""
    logs = folder / name
    logs.mkdir()
    load = os.getloadavg()
    some = jobs(folder, name)
    with Turns(some, rounds, logs, patience) as turns:
        taken = turns.run()
        told = {job.name: turns.summary(job) for job in some}
    every, counted = taken, quiet_rounds(taken)
    taken = {job: [rounds[number] for number in counted] for job, rounds in every.items()}
    seconds = {job: [turn.per_step for turn in rounds] for job, rounds in taken.items()}
    work = {job: [turn.work for turn in rounds] for job, rounds in taken.items()}
    one = seconds["one"]
    two = told["two"][0]
    return {
        "load_before": load,
        "rounds_counted": counted,
        "cores_kept_by_others": {job: spread([t.others for t in ts]) for job, ts in taken.items()},
        "seconds_per_step": {job: spread(values) for job, values in seconds.items()},
        # Round by round, so that a slow round slows both.
        "strong_throughput_ratio": spread(ratio(one, seconds["two"])),
        "weak_throughput_ratio": spread([2 * r for r in ratio(one, seconds["two_twice"])]),
        "apart_throughput_ratio": spread([2 * r for r in ratio(one, seconds["apart"])]),
        # The same of processor seconds, which a busy machine changes less.
        "strong_work_ratio": spread(ratio(work["one"], work["two"])),
        "weak_work_ratio": spread([2 * r for r in ratio(work["one"], work["two_twice"])]),
        "apart_work_ratio": spread([2 * r for r in ratio(work["one"], work["apart"])]),
        "collectives": collectives(two, taken["two"]),
        "rows_of_a_rank": {job: ranks[0]["rows"] for job, ranks in told.items()},
        "peak_bytes": {job: [r["peak_bytes"] for r in ranks] for job, ranks in told.items()},
        "multipliers_bytes": {
            job: [r["multipliers_bytes"] for r in ranks] for job, ranks in told.items()
        },
        "points_bytes": {job: [r["points_bytes"] for r in ranks] for job, ranks in told.items()},
        "parameters": two["parameters"],
        "turns": {job: [asdict(turn) for turn in rounds] for job, rounds in every.items()},
    }


def quiet_rounds(taken: dict[str, list[Turn]]) -> list[int]:
    """Numbers of the rounds in which others kept the machine less busy than `QUIET`, or of all."""
    rounds = list(zip(*taken.values(), strict=True))
    quiet = [n for n, turns in enumerate(rounds) if max(t.others for t in turns) <= QUIET]
    return quiet or list(range(len(rounds)))


def ratio(one: list[float], two: list[float]) -> list[float]:
    """Ratio of two jobs' times in the same rounds."""
    return [a / b for a, b in zip(one, two, strict=True)]


def collectives(summary: dict[str, Any], turns: list[Turn]) -> dict[str, Any]:
    """Time in the collectives of a step on two ranks, in one turn under the profiler.

    They include the wait for the other rank; `alone` is the same all-reduce when both ranks start
    it together.
    """
    steps = len(turns[0].seconds)
    seconds, counts = summary["collectives"], summary["alone"]
    maxima = f"all_reduce {summary['terms']}"
    sums = max(counts, key=lambda name: int(name.split()[1]))
    named = {"maxima": maxima, "sums": sums}
    return {
        what: {
            "numbers": int(name.split()[1]),
            "seconds_per_step": sum(seconds[name]) / steps,
            "alone": counts[name],
        }
        for what, name in named.items()
    } | {
        "others_per_step": sum(
            sum(values) for name, values in seconds.items() if name not in named.values()
        )
        / steps,
        "all_by_name": {name: {"calls": len(v), "seconds": sum(v)} for name, v in seconds.items()},
    }


def shares(folder: Path, largest: int) -> list[dict[str, Any]]:
    """Work and memory of the first of many ranks, measured by world.py on one thread."""
    command = [
        *(sys.executable, str(Path(__file__).with_name("world.py"))),
        *(str(folder / f"paper{suffix}") for suffix in ("_whole.yaml", "_case.h5", "_points.h5")),
        *("--groups", *map(str, GROUPS), "--worlds", *map(str, WORLDS)),
        *("--largest", str(largest)),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        sys.exit(finished.stderr)
    return json.loads(finished.stdout.splitlines()[-1])


def line(x: list[float], y: list[float]) -> tuple[float, float]:
    """Intercept and slope of the line with the least sum of squared relative errors."""
    a = np.stack([np.ones(len(x)), np.array(x)], axis=1) / np.array(y)[:, None]
    intercept, slope = np.linalg.lstsq(a, np.ones(len(y)), rcond=None)[0]
    return float(intercept), float(slope)


def plan(shares: list[dict[str, Any]], ranks: dict[str, Any]) -> dict[str, Any]:
    """Work of one row from the measured shares, and the model of larger worlds.

    Two kinds of ranks: GPUs, of which nothing is measured here, and cores like this machine's,
    whose work is measured, joined by links like the one between two ranks on it.
    """
    rows = [float(share["rows"]) for share in shares]
    fixed, per_row = line(rows, [share["seconds"] for share in shares])
    _, bytes_per_row = line(rows, [float(share["step"]) for share in shares])
    flops = flops_per_row()
    gpu = SHARE_OF_PEAK * H100_SINGLE_PRECISION
    messages = (4.0 * ranks["paper"]["parameters"], 4.0 * 9, float(STOP_FLAG))
    # The least of what is measured: another process only ever adds to it.
    hop = min(found["collectives"]["maxima"]["alone"] for found in ranks.values()) / 2
    gradient = ranks["paper"]["collectives"]["sums"]
    link = 4 * gradient["numbers"] / gradient["alone"]
    kinds = {
        "gpu": (NVIDIA, flops / gpu, LAUNCHES),
        "core": (Cluster(1, 0.0, (hop, hop), (hop, hop), link, link), per_row, max(fixed, 0.0)),
    }
    return {
        "flops_per_row": flops,
        "bytes_per_row": bytes_per_row,
        "core_gflops": flops / per_row / 1e9,
        "messages_bytes": messages,
        "kinds": {
            kind: {
                "cluster": asdict(cluster),
                "seconds_fixed": fixed,
                "seconds_per_row": per_row,
                "all_reduce_at_1024": [cluster.all_reduce(size, 1024) for size in messages],
                "rows_of_a_rank_at_1024": {
                    share: Step(1, per_row, fixed, messages).rows_per_rank(cluster, 1024, share)
                    for share in (0.5, 0.8)
                },
                "worlds": {
                    groups: model(Step(groups, per_row, fixed, messages), cluster, bytes_per_row)
                    for groups in (5250, *GROUPS)
                },
            }
            for kind, (cluster, per_row, fixed) in kinds.items()
        },
    }


def model(step: Step, cluster: Cluster, bytes_per_row: float) -> dict[str, Any]:
    """Step time and efficiency on 1 to 65,536 ranks."""
    return {
        "most_ranks": {share: step.most_ranks(cluster, share) for share in (0.8, 0.5)},
        "by_world": {
            ranks: {
                "rows": -(-int(step.rows) // ranks),
                "seconds": step.seconds(ranks, cluster),
                "communication": step.communication(ranks, cluster),
                "efficiency": step.efficiency(ranks, cluster),
                "step_bytes": bytes_per_row * -(-int(step.rows) // ranks),
            }
            for ranks in (1, 2, 8, 64, 256, 1024, 4096, 16384, 65536)
            if ranks <= step.rows
        },
    }


def flops_per_row() -> float:
    """Operations of the matrix products of one interior row and its share of wall and tracks.

    Forward, and backward twice as much; a jet has six slices, a velocity one.
    """
    network = load_stage(CONFIG / "paper.yaml", "train").network
    weights = 4 * network.width + (network.layers - 1) * network.width**2 + network.width * 4
    section = load_stage(CONFIG / "paper.yaml", "points")
    walls = section.wall_n_t / (section.n_t * section.n_r)
    return 3 * 2 * weights * (6 + walls)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def with_spread(values: dict[str, float]) -> str:
    """Median, least and most."""
    low, middle, high = (f"{values[key]:.2f}" for key in ("min", "median", "max"))
    return f"{middle} ({low} to {high})"


def ms(seconds: float) -> str:
    """Milliseconds with three digits."""
    return f"{float(f'{1e3 * seconds:.3g}'):,.10g}"


def mib(count: float) -> str:
    """Mebibytes with three digits."""
    return f"{float(f'{count / 2**20:.3g}'):,.10g}"


def ranks_table(result: dict[str, Any]) -> str:
    """Time of a step on one and two ranks."""
    rows = []
    for name, found in result["ranks"].items():
        for title, what, job in (
            ("strong", "strong", "two"),
            ("weak", "weak", "two_twice"),
            ("two trainings, one rank each", "apart", "apart"),
        ):
            rows.append(
                (
                    name,
                    title,
                    with_spread(found["seconds_per_step"]["one"]),
                    with_spread(found["seconds_per_step"][job]),
                    with_spread(found[f"{what}_throughput_ratio"]),
                    with_spread(found[f"{what}_work_ratio"]),
                    with_spread(found["cores_kept_by_others"][job]),
                    f"{len(found['rounds_counted'])} of {len(found['turns'][job])}",
                )
            )
    head = ("training", "scaling", "s a step, 1 rank", "2 ranks", "throughput, 2 over 1")
    last = ("the same in processor time", "cores used by other programs", "rounds used")
    return table((*head, *last), rows)


def collectives_table(result: dict[str, Any]) -> str:
    """The two collectives of a step on two ranks."""
    rows = []
    for name, found in result["ranks"].items():
        step = found["seconds_per_step"]["two"]["median"]
        for what in ("maxima", "sums"):
            one = found["collectives"][what]
            share = f"{100 * one['alone'] / step:.2g} %"
            numbers = f"{one['numbers']:,}"
            row = (name, what, numbers, ms(one["alone"]), share, ms(one["seconds_per_step"]))
            rows.append(row)
    head = ("training", "collective", "numbers", "ms alone", "share of a step")
    return table((*head, "ms with the wait for the other rank"), rows)


def memory_table(result: dict[str, Any]) -> str:
    """Memory of every rank."""
    titles = {"one": "1", "two": "2", "two_twice": "2, twice the rows"}
    keys = ("peak_bytes", "multipliers_bytes", "points_bytes")
    rows = [
        (name, title, *(", ".join(mib(x) for x in found[key][job]) for key in keys))
        for name, found in result["ranks"].items()
        for job, title in titles.items()
    ]
    return table(("training", "ranks", "peak, MiB", "multipliers, MiB", "points, MiB"), rows)


def shares_table(result: dict[str, Any]) -> str:
    """Work and memory of the first of many ranks."""
    rows = [
        (
            f"{share['collocation_points']:.3g}",
            f"{share['world']:,}",
            f"{share['rows']:,}",
            f"{share['seconds']:.3g}",
            *(mib(share[key]) for key in ("multipliers", "points", "step")),
        )
        for share in sorted(result["shares"], key=lambda s: (s["collocation_points"], s["world"]))
    ]
    head = ("points", "ranks", "rows of a rank", "s a step", "multipliers, MiB", "points, MiB")
    return table((*head, "step, MiB"), rows)


def worlds_table(modelled: dict[str, Any]) -> str:
    """Modelled milliseconds of a step and efficiency."""
    worlds = {groups: modelled["worlds"][str(groups)] for groups in GROUPS}
    rows = []
    for ranks in worlds[GROUPS[-1]]["by_world"]:
        cells = []
        for world in worlds.values():
            row = world["by_world"].get(ranks)
            cells.append(f"{ms(row['seconds'])}, {100 * row['efficiency']:.0f} %" if row else "")
        rows.append((f"{int(ranks):,}", *cells))
    for share, title in (("0.8", "80 percent up to"), ("0.5", "50 percent up to")):
        rows.append((title, *(f"{world['most_ranks'][share]:,}" for world in worlds.values())))
    return table(("ranks", "5e6 points", "1e8 points", "1e10 points"), rows)


def costs_table(result: dict[str, Any]) -> str:
    """Modelled collectives at 1,024 ranks, and the rows that outweigh them."""
    rows = []
    for kind, modelled in result["plan"]["kinds"].items():
        enough = modelled["rows_of_a_rank_at_1024"]
        collectives = (ms(seconds) for seconds in modelled["all_reduce_at_1024"])
        fixed = ms(modelled["seconds_fixed"])
        per_row = f"{1e6 * modelled['seconds_per_row']:.3g}"
        rows.append((kind, *collectives, fixed, per_row, *(f"{n:,.0f}" for n in enough.values())))
    head = ("kind of rank", "gradient, ms", "maxima, ms", "stop flag, ms", "fixed work, ms")
    return table((*head, "us a row", "rows for 50 %", "rows for 80 %"), rows)


def tables(result: dict[str, Any]) -> dict[str, str]:
    """The tables of docs/scaling.md, by name."""
    return {
        "ranks": ranks_table(result),
        "collectives": collectives_table(result),
        "memory": memory_table(result),
        "shares": shares_table(result),
        "costs": costs_table(result),
        "gpu": worlds_table(result["plan"]["kinds"]["gpu"]),
        "core": worlds_table(result["plan"]["kinds"]["core"]),
    }


def renew(page: Path, tables: dict[str, str]) -> None:
    """Put the tables in their places on a page, each between two comments."""
    text = page.read_text()
    for name, content in tables.items():
        place = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(place, rf"\g<1>{content}\n\g<2>", text, flags=re.DOTALL)
    page.write_text(text)


def draw(result: dict[str, Any], path: Path) -> None:
    """Measured throughput, measured work of a share, modelled efficiency."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for offset, (name, found) in zip((-0.2, 0.2), result["ranks"].items(), strict=True):
        values = [found[f"{kind}_throughput_ratio"] for kind in ("strong", "weak")]
        heights = [v["median"] for v in values]
        errors = [[h - v["min"] for h, v in zip(heights, values, strict=True)]]
        errors.append([v["max"] - h for h, v in zip(heights, values, strict=True)])
        colour = {"paper": "#0072b2", "default": "#e69f00"}[name]
        at = np.arange(2) + offset
        left.bar(at, heights, 0.38, yerr=errors, color=colour, label=name, capsize=4)
    left.axhline(1.9, color="k", ls="--", lw=1, label="goal")
    left.set_xticks([0, 1], ["strong", "weak"])
    left.set(ylabel="throughput of 2 ranks over 1", title="Measured, two ranks", ylim=(0, 2.5))
    left.legend(loc="upper center", ncols=3)

    rows = [share["rows"] for share in result["shares"]]
    middle.loglog(rows, [share["seconds"] for share in result["shares"]], "o", color="#0072b2")
    core = result["plan"]["kinds"]["core"]
    x = np.geomspace(min(rows), max(rows))
    middle.loglog(x, core["seconds_fixed"] + core["seconds_per_row"] * x, "k-", lw=1)
    middle.set(xlabel="rows of a rank", ylabel="seconds of a step, one core", title="Measured")

    for groups, colour in zip(GROUPS, ("#56b4e9", "#009e73", "#cc79a7"), strict=True):
        found = result["plan"]["kinds"]["gpu"]["worlds"][str(groups)]["by_world"]
        worlds = [int(world) for world in found]
        efficiency = [100 * row["efficiency"] for row in found.values()]
        right.semilogx(worlds, efficiency, "o-", color=colour, label=f"{95 * groups:.0e} points")
    right.set(xlabel="GPUs", ylabel="efficiency (percent)", title="Modelled", ylim=(0, 105))
    right.legend(loc="lower left")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure, plan, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds, for a quiet machine")
    parser.add_argument("--largest", type=int, default=105_000, help="rows of a measured share")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_scaling.json")
    parser.add_argument("--page", type=Path, help="page whose tables are renewed")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for experiment in STEPS:
            write_inputs(folder, experiment)
        ranks = {
            name: ranks_of(folder, name, arguments.rounds, arguments.patience) for name in STEPS
        }
        found = shares(folder, arguments.largest)
    result = {
        "cores": os.cpu_count(),
        "load_after": os.getloadavg(),
        "versions": versions(),
        "ranks": ranks,
        "shares": found,
        "plan": plan(found, ranks),
    }
    # Numbers as keys become text, as whoever reads the file finds them.
    result = json.loads(json.dumps(result))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    draw(result, arguments.out.with_suffix(".png"))
    for name, content in tables(result).items():
        print(f"\n{name}\n\n{content}")
    if arguments.page:
        renew(arguments.page, tables(result))


if __name__ == "__main__":
    main()
