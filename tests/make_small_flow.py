"""Make the small flow that comes with the package: `python -m tests.make_small_flow` (a minute).

A pulsating flow in a tube (`tests.synthetic`), inferred from 900 rows with 5 percent noise by a
small network.
"""

import shutil
import tempfile
from pathlib import Path

import aiv_rba
from aiv_rba.fields.flow import SMALL_FLOW
from tests.synthetic import write_tube_experiment


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train = {
            "network": {"layers": 2, "width": 12},
            "optimiser": {"name": "gauss_newton", "iterations": 60},
            "uncertainty": {"samples": 24},
        }
        path = write_tube_experiment(folder, tracks=90, noise=0.05, train=train)
        aiv_rba.infer(aiv_rba.read_experiment(path), folder / "results")
        results = aiv_rba.Results(folder / "results")
        SMALL_FLOW.mkdir(parents=True, exist_ok=True)
        for file in (results.case, results.model, results.deviations):
            shutil.copy(file, SMALL_FLOW)


if __name__ == "__main__":
    main()
