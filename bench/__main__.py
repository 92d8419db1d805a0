"""Run a bench: ``python -m bench <name>``, with an option for each parameter of its `run`.

Ranks that a bench starts import this module, not the bench, so that their memory is their own.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from inspect import getdoc, signature

NAMES = (
    "change",
    "checkpoints",
    "cost",
    "equal_time",
    "gpu_check",
    "ingest",
    "matrix",
    "paper",
    "points",
    "scaling",
    "step",
    "width",
)


def main(arguments: list[str]) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    run = import_module(f"bench.{parser.parse_args(arguments[:1]).name}").run
    parser.description = getdoc(run)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, parameter in signature(run).parameters.items():
        default = parameter.default
        parser.add_argument(f"--{name}", type=type(default), default=default)
    options = vars(parser.parse_args(arguments))
    del options["name"]
    run(**options)


if __name__ == "__main__":
    main(sys.argv[1:])
