"""Command line: one subcommand per stage, on the folder of an experiment's results."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import get_args

from aiv_rba import __version__
from aiv_rba.errors import Interrupted, UserError
from aiv_rba.files.experiment import write_settings
from aiv_rba.files.results import Results
from aiv_rba.paths import check_output
from aiv_rba.ranks.environment import find_rank
from aiv_rba.settings import ReadingSettings, load_comparison, load_stage, read_experiment
from aiv_rba.settings.ingest import Format
from aiv_rba.signals import raised_as_interrupt
from aiv_rba.terminal import copied_to, fail, log_traceback, on_screen, say

Arguments = argparse.Namespace


# Each command imports its stage when it runs, so that `aiv-rba points` never loads torch.
def _check(arguments: Arguments) -> None:
    from aiv_rba.check.run import check

    check(arguments.experiment, arguments.results, arguments.exclude, ranks=arguments.on_ranks)


def _init(arguments: Arguments) -> None:
    for path in write_settings(arguments.experiment, arguments.results, arguments.exclude):
        say(str(path))


def _ingest(arguments: Arguments) -> None:
    from aiv_rba.stages.ingest.run import ingest

    ingest(load_stage(_settings(arguments), "ingest"), Results(arguments.results))


def _convert(arguments: Arguments) -> None:
    from aiv_rba.stages.ingest.convert import convert

    source, out = arguments.tracks, arguments.out
    if source.suffix in (".yaml", ".yml"):
        if arguments.format is not None:
            raise UserError("found --format and an experiment, expected its ingest.format")
        ingest = read_experiment(source).ingest
        convert(ingest.track_files, ingest, out)
    else:
        settings = ReadingSettings(format=arguments.format or "auto")
        convert((source,), settings, out, complete=False)


def _points(arguments: Arguments) -> None:
    from aiv_rba.stages.points.generate import collocate

    collocate(load_stage(_settings(arguments), "points"), Results(arguments.results))


def _train(arguments: Arguments) -> None:
    from aiv_rba.stages.train.run import train

    settings = load_stage(_settings(arguments), "train")
    train(settings, Results(arguments.results), tensorboard=arguments.tensorboard)


def _fields(arguments: Arguments) -> None:
    from aiv_rba.stages.fields.run import fields

    fields(load_stage(_settings(arguments), "fields"), Results(arguments.results))


def _score(arguments: Arguments) -> None:
    from aiv_rba.stages.score.run import score

    score(load_stage(_settings(arguments), "score"), Results(arguments.results))


def _report(arguments: Arguments) -> None:
    from aiv_rba.stages.report.run import report

    report(load_stage(_settings(arguments), "report"), Results(arguments.results))


def _probe(arguments: Arguments) -> None:
    from aiv_rba.stages.probe.run import probe_points

    probe_points(Results(arguments.results), arguments.points, arguments.out)


def _validate(arguments: Arguments) -> None:
    from aiv_rba.problems import find
    from aiv_rba.validation.run import validate

    problem = find(arguments.problem)
    validate(
        load_comparison(arguments.config, arguments.problem, problem.settings_type),
        problem=problem,
        name=arguments.problem,
        reference=arguments.reference,
        out=arguments.out,
    )


def _twin(arguments: Arguments) -> None:
    from aiv_rba.twin.family import find_twin, make_twin
    from aiv_rba.twin.generate import generate
    from aiv_rba.twin.options import preset

    if (arguments.family is None) != (arguments.name is None):
        raise UserError("found only one of --family and --name, expected both or neither")
    if arguments.family is not None:
        twin = find_twin(arguments.family, arguments.name)
        experiment = f"twins_{arguments.name}"
        if arguments.seed is not None:
            twin = replace(twin, seed=arguments.seed)
            experiment += f"_{arguments.seed}"
        report = make_twin(twin, arguments.out, experiment)
    else:
        report = generate(preset(arguments.preset, arguments.seed or 0), arguments.out)
    for name, value in report.items():
        say(f"{name}: {value:.3g}")


def _settings(arguments: Arguments) -> Path:
    return Results(arguments.results).settings(arguments.stage)


STAGES: dict[str, tuple[Callable[[Arguments], None], str]] = {
    "ingest": (_ingest, "Check, nondimensionalise and split tracks and wall."),
    "points": (
        _points,
        "Shrink-copy the wall and bin the points into training groups (runs under mpiexec).",
    ),
    "train": (_train, "Train the network (runs under torchrun and srun too)."),
    "fields": (_fields, "Write velocity, pressure, vorticity and wall shear stress as VTK series."),
    "score": (
        _score,
        "Measure the errors on held-out tracks and, where known, against the truth; list "
        "suspicious rows and tracks.",
    ),
    "report": (_report, "Draw the figures and write the page."),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aiv-rba",
        description="From particle tracks and a vessel wall to velocity, pressure, vorticity and "
        "wall shear stress. One subcommand per stage, each on the folder of an experiment.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="stage", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[Arguments], None], text: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, help=text, description=text)
        subparser.set_defaults(command=command)
        return subparser

    check = add(
        "check",
        _check,
        "Check an experiment and every file that it needs, and say what will be made of it.",
    )
    check.add_argument(
        "--on-ranks",
        type=int,
        default=1,
        metavar="N",
        help="ranks that will make the points and train on this machine (default: 1)",
    )
    init = add("init", _init, "Write the settings of an experiment into a folder.")
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
    convert = add("convert", _convert, "Write tracks of any format as plain CSV, to look at them.")
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
    probe = add("probe", _probe, "Answer at points and times of your own, in SI units.")
    probe.add_argument("results", type=Path, help="folder of a finished experiment")
    probe.add_argument("points", type=Path, help="CSV or npz with columns t (s), x, y, z (m)")
    probe.add_argument(
        "--out", type=Path, help="CSV to write (default: the folder probe of the results)"
    )
    validate = add("validate", _validate, "Compare methods on a problem with a known solution.")
    validate.add_argument("--problem", required=True, help="folder of aiv_rba/problems")
    validate.add_argument("--config", type=Path, required=True, help="methods and checks (YAML)")
    validate.add_argument(
        "--reference", type=Path, help="input: a reference of the literature, .mat (tt, x, uu)"
    )
    validate.add_argument("--out", type=Path, required=True, help="output folder")
    for subparser in (stages["train"], validate):
        subparser.add_argument(
            "--ranks", type=int, default=1, help="ranks to start on this machine (default: 1)"
        )
    twin = add(
        "twin", _twin, "Make an experiment with known truth by CFD (needs the extra 'twin')."
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
    from aiv_rba.ranks.ddp import leave_error_to_first_rank

    return leave_error_to_first_rank(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 on success, 2 on an error that the user can correct, 75 if it was asked to stop and can
        go on where it stopped (EX_TEMPFAIL of sysexits.h), 1 on a mistake of this package.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    if getattr(arguments, "ranks", 1) > 1:
        from aiv_rba.ranks.launch import launch

        return launch([*argv, "--ranks", "1"], arguments.ranks)
    prefix = f"aiv-rba {arguments.stage}"
    with ExitStack() as stack:
        screen = stack.enter_context(on_screen())
        stack.enter_context(raised_as_interrupt())
        try:
            rank, _, _ = find_rank(os.environ)
            screen.quiet = rank > 0
            if arguments.stage in STAGES:
                stack.enter_context(copied_to(_log(arguments, rank)))
            arguments.command(arguments)
        except UserError as error:
            if arguments.verbose:
                raise
            if not _printed_by_first_rank(arguments.stage, error):
                for line in error.lines:
                    fail(f"{prefix}: error: {line}")
            return 2
        except KeyboardInterrupt as stop:
            fail(f"{prefix}: ended by {stop}; run it again")
            return 75
        except Interrupted as stop:
            fail(f"{prefix}: {stop}")
            return 75
        except Exception as error:
            if arguments.verbose:
                raise
            log_traceback()
            fail(
                f"{prefix}: internal error: {type(error).__name__}: {error}; the traceback is in "
                "the log, or on the screen with aiv-rba --verbose"
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
