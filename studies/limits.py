"""What limits the accuracy on twins: noise, multipliers, seeds, equations, network.

Every variant of every twin is one run of the workflow's commands with a few keys changed; finished
ones are not run again. Writes results/limits.json and prints a table of errors against the truth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import yaml

from aiv_rba.files.results import Results
from aiv_rba.scales import to_si
from aiv_rba.settings.ingest import Units

FIELDS = ("velocity", "pressure", "wss", "u", "v", "w", "flow_rate")
OPTIMISER = {"name": "gauss_newton"}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "equal_multipliers": {"multipliers": {"name": "none"}},
    # Measured velocities replaced by the true ones at the same places.
    "no_noise": {},
    "twice_as_soft": {"global_weights": {"momentum_tolerance": 0.3, "mass_tolerance": 0.02}},
    # The representation of the paper, one part after the other. Where time is an input, no-slip is
    # soft and the first layer has Xavier's weights.
    "soft_no_slip": {"network": {"no_slip": "soft"}},
    "xavier": {"network": {"first_layer": "xavier"}},
    "soft_no_slip_time_as_input": {"network": {"no_slip": "soft", "time": "input"}},
    "two_layers": {"network": {"layers": 2}},
    "narrow": {"network": {"width": 24}},
    "wide": {"network": {"width": 40}},
    # Where convection is strong the default is wider.
    "width_32": {"network": {"width": 32}},
    # The step is found in the space of the rows, whose time hardly grows with the parameters.
    "sample_space": {
        "optimiser": OPTIMISER | {"curvature_memory": None, "rows": [500, 300]},
    },
    "stiff_mass": {"global_weights": {"mass_tolerance": 1e-3}},
    "short_memory": {"optimiser": OPTIMISER | {"curvature_memory": 30}},
    # A minute on two cores.
    "35_steps": {"optimiser": OPTIMISER | {"iterations": 35}},
    **{f"seed_{seed}": {"seed": seed} for seed in range(1, 5)},
    **{
        f"equal_multipliers_{seed}": {"multipliers": {"name": "none"}, "seed": seed}
        for seed in range(1, 3)
    },
}


def experiment_of(twin: str) -> Path:
    """The experiment of a twin that `make twins` made, or the bundled one."""
    if twin == "bundled":
        return Path("workflow/config/perivascular.yaml")
    return Path("results/twins") / twin / "experiment.yaml"


def velocity_unit(ingest: dict[str, Any]) -> float:
    """m/s of the unit of the velocities in the file of tracks."""
    unit = ingest.get("units", {}).get("velocity", Units().velocity)
    return to_si(unit, "[length]/[time]", "ingest.units.velocity")


def without_noise(experiment: dict[str, Any], path: Path) -> None:
    """Write the tracks with the true velocities, in the unit of the file."""
    ingest = experiment["ingest"]
    unit = velocity_unit(ingest)
    table = pd.read_csv(ingest["tracks"])
    with h5py.File(experiment["score"]["truth"]) as truth:
        for name in table.columns.intersection(["u", "v", "w"]):
            table[name] = truth[f"tracks/{name}"][:] / unit
    table.to_csv(path, index=False)


def run_stages(experiment: Path, results: Results) -> None:
    """Make the folder of an experiment and run the stages that its scores need; keep a log."""
    folder = str(results.folder)
    with (results.folder / "log.txt").open("w") as log:
        for command in (
            ["init", str(experiment), "--results", str(results.folder.parent)],
            ["ingest", folder],
            ["points", folder],
            ["train", folder, "--ranks", "1"],
            ["score", folder],
        ):
            whole = [sys.executable, "-m", "aiv_rba.cli", *command]
            subprocess.run(whole, check=True, stdout=log, stderr=log)


def work(job: tuple[str, str]) -> dict[str, Any]:
    """Errors of one variant of one twin, and chi squared of its held-out rows."""
    twin, variant = job
    results = Results(Path("results/limits") / twin / variant)
    if not results.scores.is_file():
        results.folder.mkdir(parents=True, exist_ok=True)
        experiment = yaml.safe_load(experiment_of(twin).read_text())
        experiment["name"] = variant
        experiment["train"] = experiment.get("train", {}) | VARIANTS[variant]
        if variant == "no_noise":
            without_noise(experiment, results.folder / "tracks.csv")
            experiment["ingest"]["tracks"] = str(results.folder / "tracks.csv")
            # These are velocities of an instant in the middle of the light sheet.
            experiment["ingest"]["velocity_interval"] = 0
            experiment["train"]["light_sheet"] = "thin"
        path = results.folder / "experiment.yaml"
        path.write_text(yaml.safe_dump(experiment))
        run_stages(path, results)
    found = json.loads(results.scores.read_text())
    history = pd.read_csv(results.history)
    return {
        **{name: found["truth"][name] for name in FIELDS},
        # What a user who has no truth could choose a network by.
        "held_out": float(np.mean([one["value"] for one in found["chi_squared"].values()])),
        "steps": int(history.step.iloc[-1]),
        "seconds": float(history.seconds.iloc[-1]),
    }


def main() -> int:
    """Run, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--twins", nargs="+", default=["bundled", "tube_a", "crescent_a"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--cores", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    jobs = [(twin, variant) for variant in arguments.variants for twin in arguments.twins]
    with ThreadPoolExecutor(arguments.cores) as pool:
        results = list(pool.map(work, jobs))
    table = pd.DataFrame(results, index=pd.MultiIndex.from_tuples(jobs, names=["twin", "variant"]))
    table = table.sort_index()
    nested = {twin: table.loc[twin].to_dict("index") for twin in arguments.twins}
    Path("results/limits.json").write_text(json.dumps(nested, indent=2) + "\n")
    table[list(FIELDS)] *= 100
    print(table.to_string(float_format="%.3g"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
