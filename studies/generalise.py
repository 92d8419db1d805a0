"""The whole workflow on one half of the family of twins, and its errors against the truth.

Twins that are missing are made first, one after the other; what is finished already is not done
again. A twin that fails is listed with the reason, and the others go on. Writes one JSON file and
prints a table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from aiv_rba.twin.family import Half, Member, load_family

FAMILY = Path("workflow/config/twins.yaml")
RESULTS = Path("results")
FIELDS = ("velocity", "pressure", "wss", "u", "v", "w", "flow_rate")
# What a summary holds beside the errors, where the project's version writes it.
KEPT = (
    *("truth", "truth_outside", "wss_wall_share", "validation", "noise_floor"),
    *("quality", "uncertainty", "suspicious", "challenge"),
    *("amplitude_bias", "iterations", "ended", "chosen", "seconds", "seeds", "revision"),
)


class Failed(Exception):
    """A stage of one twin failed; the reason in one line."""


def run(command: Sequence[str], log: Path) -> None:
    """Run a command, its output to the screen and to a file.

    Raises
    ------
    Failed
        If it ends with an error: with the first line of its output that speaks of one.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            file.write(line)
            lines.append(line.strip())
    if process.returncode:
        told = [line for line in lines if "error:" in line.lower()] or lines[-1:]
        raise Failed(told[0] if told else f"exit code {process.returncode}, see {log}")


def work(name: str, member: Member, cores: int) -> dict[str, Any]:
    """Make a twin if it is missing, run the workflow on it, and return what is kept of its summary.

    Raises
    ------
    Failed
        If a stage fails.
    """
    logs = RESULTS / "twins" / "logs"
    folder = RESULTS / "twins" / name
    if member.options is not None and not (folder / "experiment.yaml").is_file():
        command = [sys.executable, "-m", "aiv_rba.cli", "twin"]
        files = ["--family", str(FAMILY), "--name", name, "--out", str(folder)]
        run([*command, *files], logs / f"{name}_twin.log")
    config = Path(member.experiment or folder / "experiment.yaml")
    run(
        ["snakemake", "--cores", str(cores), "--configfile", str(config)],
        logs / f"{name}.log",
    )
    experiment = yaml.safe_load(config.read_text())["name"]
    summary = json.loads((RESULTS / experiment / "summary.json").read_text())
    return {key: summary[key] for key in KEPT if key in summary}


def means(twins: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean errors of twins that did not fail, and of the seconds that they took."""
    done = [twin for twin in twins if "truth" in twin]
    if not done:
        return {}
    names = [name for name in FIELDS if all(name in twin["truth"] for twin in done)]
    averages = {name: mean(twin["truth"][name] for twin in done) for name in names}
    return {**averages, "seconds": mean(sum(twin["seconds"].values()) for twin in done)}


def table(result: dict[str, Any]) -> str:
    """Errors in percent, as a Markdown table."""
    lines = [
        f"| twin | {' | '.join(FIELDS)} | seconds |",
        "| --- |" + " --- |" * (len(FIELDS) + 1),
    ]

    def row(name: str, errors: dict[str, float], seconds: float) -> str:
        cells = [f"{100 * errors[field]:.2g}" if field in errors else "" for field in FIELDS]
        return f"| {name} | {' | '.join(cells)} | {seconds:.0f} |"

    for name, twin in result["twins"].items():
        if "failed" in twin:
            lines.append(f"| {name} | failed: {twin['failed']} |" + " |" * len(FIELDS))
        else:
            lines.append(row(name, twin["truth"], sum(twin["seconds"].values())))
    for group, errors in result["means"].items():
        if errors:
            lines.append(row(f"mean, {group.replace('_', ' ')}", errors, errors["seconds"]))
    return "\n".join(lines)


def generalise(half: Half, cores: int) -> dict[str, Any]:
    """Run one half of the family."""
    twins: dict[str, dict[str, Any]] = {}
    for name, member in load_family(FAMILY).items():
        if member.half != half:
            continue
        try:
            outcome = work(name, member, cores)
        except Failed as reason:
            outcome = {"failed": str(reason)}
        twins[name] = {"like_bundled": member.like_bundled, **outcome}
    like = [twin for twin in twins.values() if twin["like_bundled"]]
    return {
        "half": half,
        "twins": twins,
        "means": {"all": means(list(twins.values())), "like_bundled": means(like)},
    }


def main() -> int:
    """Run, write and print; returns 1 if a twin failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("choose", "judge"), default="judge")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    result = generalise(arguments.half, arguments.cores)
    name = "generalise.json" if arguments.half == "judge" else "generalise_choose.json"
    (RESULTS / name).write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))
    return int(any("failed" in twin for twin in result["twins"].values()))


if __name__ == "__main__":
    sys.exit(main())
