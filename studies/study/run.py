"""Train one run of the study and measure it.

Both in one process: measuring takes a second or two, a process of its own four more to start.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from aiv_rba.files.results import Results
from studies.study.measure import write_measures
from studies.study.train import train_run


def main() -> int:
    """Train and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("truth", type=Path, help="file of the true fields")
    arguments = parser.parse_args()
    results = Results(arguments.folder)
    train_run(results, arguments.truth)
    write_measures(results, arguments.truth)
    shutil.rmtree(results.checkpoints, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
