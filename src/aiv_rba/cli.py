"""Command line: one subcommand per stage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiv_rba import __version__
from aiv_rba.config import load_benchmarks, load_stage
from aiv_rba.errors import Interrupted, UserError


# Each command imports its stage when it runs, so that `aiv-rba points` never loads torch.
def _ingest(arguments: argparse.Namespace) -> None:
    from aiv_rba.ingest.run import ingest

    ingest(
        load_stage(arguments.config, "ingest"),
        case=arguments.case,
        summary=arguments.summary,
        picture=arguments.picture,
    )


def _points(arguments: argparse.Namespace) -> None:
    from aiv_rba.points.generate import generate

    generate(
        load_stage(arguments.config, "points"),
        case=arguments.case,
        points=arguments.points,
        picture=arguments.picture,
    )


def _train(arguments: argparse.Namespace) -> None:
    from aiv_rba.train.run import train

    train(
        load_stage(arguments.config, "train"),
        case=arguments.case,
        points=arguments.points,
        model=arguments.model,
        history=arguments.history,
        checkpoints=arguments.checkpoints,
        tensorboard=arguments.tensorboard,
    )


def _told_by_rank_0(error: UserError) -> bool:
    from aiv_rba.parallel.ddp import told_by_rank_0

    return told_by_rank_0(error)


def _fields(arguments: argparse.Namespace) -> None:
    from aiv_rba.fields.run import fields

    fields(
        load_stage(arguments.config, "fields"),
        case=arguments.case,
        model=arguments.model,
        out=arguments.out,
    )


def _score(arguments: argparse.Namespace) -> None:
    from aiv_rba.fields.score import score

    score(
        load_stage(arguments.config, "score"),
        case=arguments.case,
        model=arguments.model,
        scores=arguments.scores,
    )


def _report(arguments: argparse.Namespace) -> None:
    from aiv_rba.report.run import report

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


def _reference(arguments: argparse.Namespace) -> None:
    from aiv_rba.benchmarks.run import reference

    reference(arguments.out)


def _benchmark(arguments: argparse.Namespace) -> None:
    from aiv_rba.benchmarks.run import benchmark

    benchmark(
        load_benchmarks(arguments.config, arguments.problem),
        problem=arguments.problem,
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
    text = "Compute the Allen-Cahn reference solution (Fourier, ETDRK4)."
    reference = stages.add_parser("reference", help=text, description=text)
    reference.add_argument("--out", type=Path, required=True, help="output: reference.h5")
    reference.set_defaults(command=_reference)
    text = "Train and compare methods on a problem with a known answer (runs under torchrun)."
    benchmark = stages.add_parser("benchmark", help=text, description=text)
    benchmark.add_argument("--problem", choices=("allen_cahn", "helmholtz"), required=True)
    benchmark.add_argument("--config", type=Path, required=True, help="methods and checks (YAML)")
    benchmark.add_argument(
        "--reference", type=Path, help="input: reference of allen_cahn, .h5 or .mat (tt, x, uu)"
    )
    benchmark.add_argument("--out", type=Path, required=True, help="output folder")
    benchmark.set_defaults(command=_benchmark)
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
        if not (arguments.stage in ("train", "benchmark") and _told_by_rank_0(error)):
            print(f"aiv-rba {arguments.stage}: error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"aiv-rba {arguments.stage}: {stop}", file=sys.stderr)
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
