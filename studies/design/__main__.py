"""Design curves: how much data is enough, and which error dominates.

The flow of one twin is solved once and kept. Every experiment samples it anew with one thing
changed, and infers it with every setting at its default, on one core. What is finished is not run
again. Writes results/design.csv and results/design.json (design_quick with the quick set), draws
the curves, prints Markdown tables and, with the whole set, renews docs/how-much-data.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from bench.measure import renew
from studies.design.curves import curves
from studies.design.experiments import NAME, base_twin, jobs, work
from studies.design.figure import draw
from studies.design.tables import page_blocks

# Seeds of the data, and the figure: the manual shows that of the whole.
SEEDS = {"quick": 1, "whole": 2}
PICTURES = {"quick": Path("results/design_quick.png"), "whole": Path("docs/images/design.png")}
PAGE = Path("docs/how-much-data.md")


def main() -> int:
    """Run, write, draw and print; returns 1 if an experiment failed."""
    parser = argparse.ArgumentParser(prog="python -m studies.design", description=__doc__)
    parser.add_argument("--profile", choices=SEEDS, default="quick")
    parser.add_argument("--seeds", type=int, help="of the data; 1 of the quick set, 2 of the whole")
    parser.add_argument("--cores", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    profile = arguments.profile
    seeds = arguments.seeds or SEEDS[profile]
    with ThreadPoolExecutor(arguments.cores) as pool:
        rows = list(pool.map(work, jobs(profile == "quick", seeds)))
    table = pd.DataFrame(rows)
    path = Path("results") / ("design_quick" if profile == "quick" else "design")
    table.to_csv(path.with_suffix(".csv"), index=False)
    result = {"twin": NAME, "experiments": rows}
    path.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    every = curves(base_twin().camera)
    draw(table, every, PICTURES[profile])
    blocks = page_blocks(table, every)
    print(blocks)
    if profile == "whole":
        renew([PAGE], blocks)
    return int("failed" in table)


if __name__ == "__main__":
    sys.exit(main())
