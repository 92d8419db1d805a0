"""Command line: one subcommand per stage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiv_rba import __version__
from aiv_rba.errors import Interrupted, UserError
from aiv_rba.settings import load_comparison, load_stage


# Each command imports its stage when it runs, so that `aiv-rba points` never loads torch.
def _ingest(arguments: argparse.Namespace) -> None:
    from aiv_rba.stages.ingest.run import ingest

    ingest(
        load_stage(arguments.config, "ingest"),
        case=arguments.case,
        summary=arguments.summary,
        picture=arguments.picture,
    )


def _points(arguments: argparse.Namespace) -> None:
    from aiv_rba.stages.points.generate import generate

    generate(
        load_stage(arguments.config, "points"),
        case=arguments.case,
        points=arguments.points,
        picture=arguments.picture,
    )


def _train(arguments: argparse.Namespace) -> None:
    from aiv_rba.stages.train import train

    train(
        load_stage(arguments.config, "train"),
        case=arguments.case,
        points=arguments.points,
        model=arguments.model,
        history=arguments.history,
        checkpoints=arguments.checkpoints,
        tensorboard=arguments.tensorboard,
    )


def _fields(arguments: argparse.Namespace) -> None:
    from aiv_rba.stages.fields.run import fields

    fields(
        load_stage(arguments.config, "fields"),
        case=arguments.case,
        model=arguments.model,
        out=arguments.out,
    )


def _score(arguments: argparse.Namespace) -> None:
    from aiv_rba.stages.score import score

    score(
        load_stage(arguments.config, "score"),
        case=arguments.case,
        model=arguments.model,
        scores=arguments.scores,
    )


def _report(arguments: argparse.Namespace) -> None:
    from aiv_rba.stages.report.run import report

    report(
        load_stage(arguments.config, "report"),
        case=arguments.case,
        points=arguments.points,
        fields=arguments.fields,
        history=arguments.history,
        scores=arguments.scores,
        pictures=arguments.pictures,
        page=arguments.page,
        summary=arguments.summary,
    )


def _validate(arguments: argparse.Namespace) -> None:
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


def _twin(arguments: argparse.Namespace) -> None:
    from aiv_rba.twin.family import find_twin
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
        report = generate(twin, arguments.out, experiment)
    else:
        report = generate(preset(arguments.preset, arguments.seed or 0), arguments.out)
    for name, value in report.items():
        print(f"{name}: {value:.3g}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aiv-rba",
        description="From particle tracks and a vessel wall to velocity, pressure, vorticity and "
        "wall shear stress. One subcommand per stage.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")

    def stage(name: str, command: object, text: str, **files: str) -> argparse.ArgumentParser:
        subparser = stages.add_parser(name, help=text, description=text)
        subparser.add_argument(
            "--config", type=Path, required=True, help="experiment file (YAML), or this section"
        )
        for option, what in files.items():
            subparser.add_argument(f"--{option}", type=Path, required=True, help=what)
        subparser.set_defaults(command=command)
        return subparser

    stage(
        "ingest",
        _ingest,
        "Check, nondimensionalise and split tracks and wall.",
        case="output: case.h5",
        summary="output: summary (text)",
        picture="output: tracks in the wall (png)",
    )
    stage(
        "points",
        _points,
        "Shrink-copy the wall and bin the points into training groups (runs under mpiexec).",
        case="input: case.h5",
        points="output: points.h5",
        picture="output: the groups (png)",
    )
    train = stage(
        "train",
        _train,
        "Train the network (runs under torchrun).",
        case="input: case.h5",
        points="input: points.h5",
        model="output: model.pt",
        history="output: history.csv",
        checkpoints="folder of checkpoints; training resumes from the last",
    )
    train.add_argument(
        "--tensorboard", type=Path, help="folder of event files (needs the extra 'tensorboard')"
    )
    stage(
        "fields",
        _fields,
        "Write velocity, pressure, vorticity and wall shear stress as VTK series.",
        case="input: case.h5",
        model="input: model.pt",
        out="output folder: volume.pvd, wall.pvd, hydraulics.csv",
    )
    stage(
        "score",
        _score,
        "Measure the errors on held-out tracks and, where known, against the truth.",
        case="input: case.h5",
        model="input: model.pt",
        scores="output: scores.json",
    )
    stage(
        "report",
        _report,
        "Draw the figures and write the page.",
        case="input: case.h5",
        points="input: points.h5",
        fields="input: folder of the VTK series",
        history="input: history.csv",
        scores="input: scores.json",
        pictures="input: folder with tracks.png and groups.png",
        page="output: report.html",
        summary="output: summary.json",
    )
    text = "Train and compare methods on a problem with a known answer (runs under torchrun)."
    validate = stages.add_parser("validate", help=text, description=text)
    validate.add_argument("--problem", required=True, help="folder of aiv_rba/problems")
    validate.add_argument("--config", type=Path, required=True, help="methods and checks (YAML)")
    validate.add_argument(
        "--reference",
        type=Path,
        help="input: a reference of the literature, .mat (tt, x, uu)",
    )
    validate.add_argument("--out", type=Path, required=True, help="output folder")
    validate.set_defaults(command=_validate)
    text = "Make an experiment with known truth by CFD (needs the extra 'twin')."
    twin = stages.add_parser("twin", help=text, description=text)
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
    twin.set_defaults(command=_twin)
    return parser


def _printed_by_first_rank(stage: str, error: UserError) -> bool:
    if stage not in ("train", "validate"):
        return False
    from aiv_rba.ranks.ddp import leave_error_to_first_rank

    return leave_error_to_first_rank(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage.

    Returns
    -------
    int
        0 on success, 2 on an error that the user can correct, 75 if it was asked to stop and can
        go on where it stopped (EX_TEMPFAIL of sysexits.h).
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except UserError as error:
        if arguments.verbose:
            raise
        if not _printed_by_first_rank(arguments.stage, error):
            print(f"aiv-rba {arguments.stage}: error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"aiv-rba {arguments.stage}: {stop}", file=sys.stderr)
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
