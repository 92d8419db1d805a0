"""Print how many runs a plan of the study has, and about how long they take."""

from __future__ import annotations

import argparse
import sys

from studies.study.plan import load_plan, minutes, runs_of


def main() -> int:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="name of the plan")
    parser.add_argument("--cores", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    plan = load_plan(arguments.plan)
    runs = runs_of(plan)
    left = sum(not run.measures.is_file() for run in runs)
    print(
        f"study: {len(runs)} runs, {left} of them not finished; all take about "
        f"{minutes(plan, arguments.cores):.0f} minutes on {arguments.cores} cores with nothing else"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
