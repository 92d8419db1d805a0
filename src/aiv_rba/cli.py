"""Command line: one subcommand per stage, on the folder of an experiment's results."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from aiv_rba import __version__, commands
from aiv_rba.commands import STAGES, Arguments
from aiv_rba.errors import Interrupted, UserError
from aiv_rba.files.results import Results
from aiv_rba.paths import check_output
from aiv_rba.ranks.environment import find_rank
from aiv_rba.settings.ingest import Format
from aiv_rba.settings.ranks import Device
from aiv_rba.settings.types import Auto
from aiv_rba.signals import raised_as_interrupt
from aiv_rba.terminal import copied_to, fail, log_traceback, on_screen


def _ranks_to_start(arguments: Arguments) -> int:
    """Ranks that this command starts; one if it trains nothing, or is itself one of several."""
    wanted = getattr(arguments, "ranks", 1)
    if wanted == 1:
        return 1
    from aiv_rba.machine import cores
    from aiv_rba.ranks.devices import ranks_to_start

    device: Device = arguments.device or "auto"
    if arguments.stage in STAGES:
        device = commands.stage_settings(arguments).device
    return ranks_to_start(wanted, device, arguments.cores or cores(), os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aiv-rba",
        description="From particle tracks and a vessel wall to velocity, pressure, vorticity and "
        "wall shear stress. One subcommand per stage, each on the folder of an experiment.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(dest="stage", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[Arguments], None], text: str) -> argparse.ArgumentParser:
        subparser = subparsers.add_parser(name, help=text, description=text)
        subparser.set_defaults(command=command)
        return subparser

    check = add(
        "check",
        commands.run_check,
        "Check an experiment and every file that it needs, and say what will be made of it.",
    )
    check.add_argument(
        "--on-ranks",
        type=int,
        default=1,
        metavar="N",
        help="ranks that will make the points and train on this machine (default: 1)",
    )
    init = add("init", commands.run_init, "Write the settings of an experiment into a folder.")
    for subparser in (check, init):
        subparser.add_argument(
            "experiment",
            type=Path,
            nargs="+",
            help="experiment (YAML), then overlays that change it",
        )
        subparser.add_argument(
            "--results",
            type=Path,
            default=Path("results"),
            help="where the folder, which has the experiment's name, is made (default: results)",
        )
        subparser.add_argument(
            "--exclude",
            type=Path,
            metavar="FILE",
            help="rows or tracks to leave out (CSV with a column row or track), as ingest.exclude "
            "does",
        )
    convert = add(
        "convert", commands.run_convert, "Write tracks of any format as plain CSV, to look at them."
    )
    convert.add_argument(
        "tracks", type=Path, help="file or folder of tracks, or the experiment (YAML) that reads it"
    )
    convert.add_argument("out", type=Path, help="CSV file to write")
    convert.add_argument(
        "--format", choices=get_args(Format), help="format of the tracks (default: found out)"
    )
    stages = {name: add(name, *what) for name, what in STAGES.items()}
    for subparser in stages.values():
        subparser.add_argument(
            "results", type=Path, help="folder of the experiment, such as results/perivascular"
        )
    stages["train"].add_argument(
        "--tensorboard",
        action="store_true",
        help="write event files too (needs the extra 'tensorboard')",
    )
    probe = add("probe", commands.run_probe, "Answer at points and times of your own, in SI units.")
    probe.add_argument("results", type=Path, help="folder of a finished experiment")
    probe.add_argument("points", type=Path, help="CSV or npz with columns t (s), x, y, z (m)")
    probe.add_argument(
        "--out", type=Path, help="CSV to write (default: the folder probe of the results)"
    )
    validate = add(
        "validate", commands.run_validate, "Compare methods on a problem with a known solution."
    )
    validate.add_argument("--problem", required=True, help="folder of aiv_rba/problems")
    validate.add_argument("--config", type=Path, required=True, help="methods and checks (YAML)")
    validate.add_argument(
        "--reference", type=Path, help="input: a reference of the literature, .mat (tt, x, uu)"
    )
    validate.add_argument("--out", type=Path, required=True, help="output folder")
    for subparser, default in ((stages["train"], "auto"), (validate, 1)):
        subparser.add_argument(
            "--ranks",
            type=_number_of_ranks,
            default=default,
            metavar="N",
            help="ranks to start on this machine; auto: one for each GPU that is visible, else one "
            "for each core, or OMP_NUM_THREADS cores; those of torchrun, srun or mpiexec where one "
            f"of them has started several (default: {default})",
        )
        subparser.add_argument(
            "--cores",
            type=int,
            metavar="N",
            help="cores for --ranks auto (default: all that this process may use)",
        )
    for subparser in (*(stages[name] for name in ("train", "fields", "score")), probe, validate):
        subparser.add_argument(
            "--device",
            choices=get_args(Device),
            help="where to compute (default: as the experiment says, else a GPU if one is visible)",
        )
    twin = add(
        "twin",
        commands.run_twin,
        "Make an experiment with known truth by CFD (needs the extra 'twin').",
    )
    twin.add_argument("--family", type=Path, help="twins and their options (YAML)")
    twin.add_argument("--name", help="twin of the family")
    twin.add_argument(
        "--preset",
        choices=("phantom", "physiological"),
        default="phantom",
        help="without a family: the bundled twin, or the same at 50 um and 50 um/s",
    )
    twin.add_argument(
        "--seed", type=int, help="other tracers, noise and sample points than those of the twin"
    )
    twin.add_argument("--out", type=Path, required=True, help="output folder")
    return parser


def _number_of_ranks(text: str) -> int | Auto:
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected auto or a number from 1")
    return int(text)


def _log(arguments: Arguments, rank: int) -> Path:
    """The log of a stage; ranks other than the first have their own."""
    results = Results(arguments.results)
    if not results.folder.is_dir():
        found = "is a file" if results.folder.exists() else "not found"
        raise UserError(
            f"{results.folder}: {found}, expected the folder of an experiment: make it with "
            "aiv-rba init"
        )
    log = results.rank_log(arguments.stage, rank) if rank else results.log(arguments.stage)
    check_output(log)
    return log


def _printed_by_first_rank(stage: str, error: UserError) -> bool:
    if stage not in ("train", "validate"):
        return False
    from aiv_rba.ranks.failures import leave_error_to_first_rank

    return leave_error_to_first_rank(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 on success, 2 on an error that the user can correct, 75 if it was asked to stop and can
        go on where it stopped (EX_TEMPFAIL of sysexits.h), 69 if another rank has ended without
        a word (EX_UNAVAILABLE), 1 on a mistake of this package.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    prefix = f"aiv-rba {arguments.stage}"
    with ExitStack() as stack:
        screen = stack.enter_context(on_screen())
        stack.enter_context(raised_as_interrupt())
        try:
            rank, _, _ = find_rank(os.environ)
            screen.quiet = rank > 0
            ranks = _ranks_to_start(arguments)
            if ranks == 1:
                if arguments.stage in STAGES:
                    stack.enter_context(copied_to(_log(arguments, rank)))
                arguments.command(arguments)
        except UserError as error:
            if arguments.verbose:
                raise
            if not _printed_by_first_rank(arguments.stage, error):
                for line in error.lines:
                    fail(f"{prefix}: error: {line}")
            return error.code
        except KeyboardInterrupt as stop:
            fail(f"{prefix}: ended by {stop}; run it again")
            return Interrupted.code
        except Interrupted as stop:
            fail(f"{prefix}: {stop}")
            return Interrupted.code
        except Exception as error:
            if arguments.verbose:
                raise
            log_traceback()
            fail(
                f"{prefix}: internal error: {type(error).__name__}: {error}; the traceback is in "
                "the log, or on the screen with aiv-rba --verbose"
            )
            return 1
    if ranks > 1:
        from aiv_rba.ranks.launch import launch

        return launch([*argv, "--ranks", "1"], ranks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
