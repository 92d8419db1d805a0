"""Strong and weak scaling on this machine, and a plan for more ranks than it has.

Measures the training of the paper's settings and of the default on one and two ranks, the work of
the first of up to 1,024 ranks, and models the communication of larger worlds. Writes
results/bench_scaling.json and .png, and prints tables.
"""

from __future__ import annotations

import argparse
import json
import os
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
from communication import H100_SINGLE_PRECISION, LAUNCHES, NVIDIA, SHARE_OF_PEAK, Cluster, Step
from turns import Job, Turn, Turns

from aiv_rba import config
from aiv_rba.ingest.run import ingest
from aiv_rba.points.generate import generate
from aiv_rba.store import Case, Tracks, read_case, write_case
from aiv_rba.train.provenance import versions

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


def twice(section: config.Points) -> config.Points:
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
    ingest(config.load_stage(path, "ingest"), case=folder / f"{name}_case.h5", **files)
    case = read_case(folder / f"{name}_case.h5")
    write_case(folder / f"{name}_case_2.h5", twice_the_tracks(case))
    section = config.load_stage(path, "points")
    for suffix, points in (("", section), ("_2", twice(section))):
        generate(
            points,
            case=folder / f"{name}_case.h5",
            points=folder / f"{name}_points{suffix}.h5",
            picture=files["picture"],
        )
    train = yaml.safe_load(path.read_text())["train"]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"train": train}))
    if train.get("groups_per_step"):
        train["groups_per_step"] *= 2
    if rows := train["optimiser"].get("rows"):
        train["optimiser"]["rows"] = [2 * count for count in rows]
    (folder / f"{name}_2.yaml").write_text(yaml.safe_dump({"train": train}))
    train["groups_per_step"] = 0
    (folder / f"{name}_whole.yaml").write_text(yaml.safe_dump({"train": train}))


def jobs(folder: Path, name: str) -> list[Job]:
    """One rank, two ranks on the same rows, and two ranks on twice as many."""

    def job(title: str, ranks: int, suffix: str) -> Job:
        return Job(
            title,
            ranks,
            config=folder / f"{name}{suffix}.yaml",
            case=folder / f"{name}_case{suffix}.h5",
            points=folder / f"{name}_points{suffix}.h5",
            steps=STEPS[name],
        )

    return [job("one", 1, ""), job("two", 2, ""), job("two_twice", 2, "_2")]


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
    seconds = {job: [turn.per_step for turn in rounds] for job, rounds in taken.items()}
    work = {job: [turn.work for turn in rounds] for job, rounds in taken.items()}
    one = seconds["one"]
    two = told["two"][0]
    return {
        "load_before": load,
        "cores_kept_by_others": {job: spread([t.others for t in ts]) for job, ts in taken.items()},
        "seconds_per_step": {job: spread(values) for job, values in seconds.items()},
        # Round by round, so that a slow round slows both.
        "strong_throughput_ratio": spread(ratio(one, seconds["two"])),
        "weak_throughput_ratio": spread([2 * r for r in ratio(one, seconds["two_twice"])]),
        # The same of processor seconds, which a busy machine changes less.
        "strong_work_ratio": spread(ratio(work["one"], work["two"])),
        "weak_work_ratio": spread([2 * r for r in ratio(work["one"], work["two_twice"])]),
        "collectives": collectives(two, taken["two"]),
        "rows_of_a_rank": {job: ranks[0]["rows"] for job, ranks in told.items()},
        "peak_bytes": {job: [r["peak_bytes"] for r in ranks] for job, ranks in told.items()},
        "multipliers_bytes": {
            job: [r["multipliers_bytes"] for r in ranks] for job, ranks in told.items()
        },
        "points_bytes": {job: [r["points_bytes"] for r in ranks] for job, ranks in told.items()},
        "parameters": two["parameters"],
        "turns": {job: [asdict(turn) for turn in rounds] for job, rounds in taken.items()},
    }


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
    small, large = (ranks["paper"]["collectives"][what] for what in ("maxima", "sums"))
    hop = small["alone"] / 2
    link = 4 * large["numbers"] / (large["alone"] - small["alone"])
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
    network = config.load_stage(CONFIG / "paper.yaml", "train").network
    weights = 4 * network.width + (network.layers - 1) * network.width**2 + network.width * 4
    section = config.load_stage(CONFIG / "paper.yaml", "points")
    walls = section.wall_n_t / (section.n_t * section.n_r)
    return 3 * 2 * weights * (6 + walls)


def table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return f"\n{title}\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def tables(result: dict[str, Any]) -> str:
    """What the page docs/scaling.md shows."""

    def with_spread(values: dict[str, float], digits: int = 2) -> str:
        low, middle, high = (f"{values[k]:.{digits}f}" for k in ("min", "median", "max"))
        return f"{middle} ({low} to {high})"

    def mib(count: float) -> str:
        return f"{count / 2**20:,.0f}"

    def ms(seconds: float) -> str:
        return f"{1e3 * seconds:,.2f}"

    ranks = result["ranks"]
    text = table(
        "One and two ranks",
        (
            *("training", "s a step on 1", "on 2", "on 2, twice the rows", "strong", "weak"),
            *("strong, work", "weak, work", "cores kept by others"),
        ),
        [
            (
                name,
                *(with_spread(found["seconds_per_step"][j]) for j in ("one", "two", "two_twice")),
                with_spread(found["strong_throughput_ratio"]),
                with_spread(found["weak_throughput_ratio"]),
                with_spread(found["strong_work_ratio"]),
                with_spread(found["weak_work_ratio"]),
                with_spread(found["cores_kept_by_others"]["two"]),
            )
            for name, found in ranks.items()
        ],
    )
    text += table(
        "Collectives of a step on two ranks",
        ("training", "collective", "numbers", "ms a step", "ms alone", "alone, share of a step"),
        [
            (
                name,
                what,
                f"{found['collectives'][what]['numbers']:,}",
                ms(found["collectives"][what]["seconds_per_step"]),
                ms(alone),
                f"{100 * alone / found['seconds_per_step']['two']['median']:.2f} %",
            )
            for name, found in ranks.items()
            for what in ("maxima", "sums")
            for alone in [found["collectives"][what]["alone"]]
        ],
    )
    text += table(
        "Memory of a rank, MiB",
        ("training", "ranks", "peak", "multipliers", "points"),
        [
            (
                name,
                job,
                *(
                    ", ".join(f"{x / 2**20:,.{digits}f}" for x in found[key][job])
                    for key, digits in (
                        ("peak_bytes", 0),
                        ("multipliers_bytes", 2),
                        ("points_bytes", 1),
                    )
                ),
            )
            for name, found in ranks.items()
            for job in ("one", "two", "two_twice")
        ],
    )
    text += table(
        "The first of many ranks",
        ("points", "ranks", "rows of a rank", "s a step", "multipliers", "points", "step, MiB"),
        [
            (
                f"{share['collocation_points']:.2e}",
                f"{share['world']:,}",
                f"{share['rows']:,}",
                f"{share['seconds']:.3f}",
                f"{share['multipliers'] / 2**20:.2f}",
                f"{share['points'] / 2**20:.1f}",
                mib(share["step"]),
            )
            for share in result["shares"]
        ],
    )
    for kind, modelled in result["plan"]["kinds"].items():
        for groups, found in modelled["worlds"].items():
            text += table(
                f"Model, {kind}, {int(groups):,} rows a step; {found['most_ranks']}",
                ("ranks", "rows of one", "ms a step", "communication", "efficiency", "GB"),
                [
                    (
                        f"{int(world):,}",
                        f"{row['rows']:,}",
                        ms(row["seconds"]),
                        ms(row["communication"]),
                        f"{100 * row['efficiency']:.0f} %",
                        f"{row['step_bytes'] / 1e9:.2g}",
                    )
                    for world, row in found["by_world"].items()
                ],
            )
    return text


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
    left.set(ylabel="throughput of 2 ranks over 1", title="Measured, two ranks")
    left.legend()

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
    right.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure, plan, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds, for a quiet machine")
    parser.add_argument("--largest", type=int, default=105_000, help="rows of a measured share")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_scaling.json")
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
    print(tables(result))


if __name__ == "__main__":
    main()
