"""Fit the tracks of twins by every rival, and compare their errors with those of the default.

What is finished is not run again; the default training and the networks go on where they were
stopped. Writes results/rivals/<twin>/<rival>.json, results/rivals.json and results/rivals.csv and
prints a table, which --docs puts on docs/rivals.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba import api
from aiv_rba.errors import UserError
from aiv_rba.fields.derived import NondimensionalFlow
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.results import Results
from aiv_rba.settings import Experiment, read_experiment
from bench.measure import renew
from studies.limits import experiment_of
from studies.rivals import cfd, constrained, interpolation, ours, pinn, stokes
from studies.rivals.clock import Clock
from studies.rivals.errors import errors
from studies.rivals.table import write_tables

FOLDER = Path("results/rivals")
PAGE = Path("docs/rivals.md")
# No setting of any method was chosen on the last two.
TWINS = ("bundled", "lobe_e", "bend_e")


@dataclass(frozen=True)
class Job:
    """One twin, and what is made of it.

    Attributes
    ----------
    twin
        Its name.
    """

    twin: str

    @cached_property
    def experiment(self) -> Experiment:
        """Its experiment."""
        return read_experiment(experiment_of(self.twin))

    @property
    def results(self) -> Results:
        """Its case and the default training."""
        return Results(FOLDER / self.twin / "aiv_rba")

    @cached_property
    def case(self) -> Case:
        """The ingested tracks and wall."""
        if not self.results.case.is_file():
            api.ingest(self.experiment, self.results.folder)
        return read_case(self.results.case)

    def outcome(self, rival: str) -> Path:
        """Errors and seconds of a rival."""
        return FOLDER / self.twin / f"{rival}.json"

    def seconds(self) -> float:
        """Processor seconds of the default training.

        Raises
        ------
        UserError
            If it has not been run.
        """
        path = self.outcome("aiv_rba")
        if not path.is_file():
            raise UserError(f"{path}: not found, expected it: a network gets the time of aiv_rba")
        return float(json.loads(path.read_text())["seconds"])


def _pinn(times: float) -> Callable[[Job, Clock], NondimensionalFlow]:
    def run(job: Job, clock: Clock) -> NondimensionalFlow:
        return pinn.fit(job.case, times * job.seconds(), clock, clock.path.parent)

    return run


@dataclass(frozen=True)
class Rival:
    """One method.

    Attributes
    ----------
    fit
        The flow that it infers.
    knows
        What it must know beside the tracks.
    missing
        Errors that it has none of, since it does not infer the quantity.
    """

    fit: Callable[[Job, Clock], NondimensionalFlow]
    knows: str
    missing: tuple[str, ...] = ()


RIVALS = {
    "aiv_rba": Rival(lambda job, clock: ours.fit(job.experiment, job.results), ours.KNOWS),
    "interpolation": Rival(
        lambda job, clock: interpolation.fit(job.case),
        interpolation.KNOWS,
        ("pressure", "w", "pressure_drop", "resistance"),
    ),
    "spicy": Rival(lambda job, clock: constrained.fit(job.case), constrained.KNOWS),
    "stokes": Rival(lambda job, clock: stokes.fit(job.case), stokes.KNOWS),
    "cfd": Rival(lambda job, clock: cfd.fit(job.case), cfd.KNOWS),
    "pinn": Rival(_pinn(1.0), pinn.KNOWS),
    "pinn_10": Rival(_pinn(10.0), pinn.KNOWS),
}


def work(job: Job, name: str) -> dict[str, Any]:
    """Errors and seconds of one rival on one twin, run unless it has been."""
    path, rival = job.outcome(name), RIVALS[name]
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    case = job.case
    with Clock(path.parent / name / "seconds.json") as clock:
        flow = rival.fit(job, clock)
        seconds = clock()
    scored = errors(Path(str(job.experiment.score.truth)), case, flow)
    for quantity in rival.missing:
        scored.pop(quantity, None)
    outcome = {"errors": scored, "seconds": seconds, "knows": rival.knows}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(outcome, indent=2) + "\n")
    return outcome


def main() -> int:
    """Run, write and print; returns 1 if a rival failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--twins", nargs="+", default=list(TWINS))
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--docs", action="store_true", help=f"renew the table of {PAGE}")
    arguments = parser.parse_args()
    failed = False
    for twin in arguments.twins:
        job = Job(twin)
        for name in arguments.rivals:
            try:
                outcome = work(job, name)
            except (UserError, np.linalg.LinAlgError) as reason:
                print(f"{twin}: {name}: failed: {reason}", flush=True)
                failed = True
            else:
                velocity = 100 * outcome["errors"]["velocity"]
                print(f"{twin}: {name}: velocity {velocity:.2g} percent", flush=True)
    table = write_tables(FOLDER, list(RIVALS))
    print(table)
    if arguments.docs:
        renew([PAGE], f"<!-- rivals -->\n{table}\n<!-- end -->")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
