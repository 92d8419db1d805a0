"""Write the tracks of a twin with further mismatches, and a truth that flags them."""

from __future__ import annotations

import argparse
import sys

from studies.study.plan import SPOILED, data, experiment
from studies.suspicious import spoil

# Share of the tracks that have a run of rows of another track.
SHARE, SEED = 0.2, 0


def main() -> int:
    """Write the files of one twin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("twin", help=f"name that ends with {SPOILED}")
    twin = parser.parse_args().twin
    spoil(experiment(twin.removesuffix(SPOILED)), SHARE, SEED, data(twin).folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
