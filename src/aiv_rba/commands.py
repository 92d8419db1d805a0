"""What each command of the command line does with its arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiv_rba.errors import UserError
from aiv_rba.files.experiment import write_settings
from aiv_rba.files.results import Results
from aiv_rba.settings import ReadingSettings, load_comparison, load_stage, read_experiment
from aiv_rba.settings.ranks import Device
from aiv_rba.terminal import say

Arguments = argparse.Namespace


# Each command imports its stage when it runs, so that `aiv-rba points` never loads torch.
def run_check(arguments: Arguments) -> None:
    """Check an experiment."""
    from aiv_rba.check.run import check

    check(arguments.experiment, arguments.results, arguments.exclude, ranks=arguments.on_ranks)


def run_init(arguments: Arguments) -> None:
    """Write the settings of the stages."""
    for path in write_settings(arguments.experiment, arguments.results, arguments.exclude):
        say(str(path))


def _ingest(arguments: Arguments) -> None:
    from aiv_rba.stages.ingest.run import ingest

    ingest(stage_settings(arguments), Results(arguments.results))


def run_convert(arguments: Arguments) -> None:
    """Write tracks as plain CSV."""
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

    collocate(stage_settings(arguments), Results(arguments.results))


def _train(arguments: Arguments) -> None:
    from aiv_rba.stages.train.run import train

    results = Results(arguments.results)
    train(stage_settings(arguments), results, tensorboard=arguments.tensorboard)


def _fields(arguments: Arguments) -> None:
    from aiv_rba.stages.fields.run import fields

    fields(stage_settings(arguments), Results(arguments.results))


def _score(arguments: Arguments) -> None:
    from aiv_rba.stages.score.run import score

    score(stage_settings(arguments), Results(arguments.results))


def _report(arguments: Arguments) -> None:
    from aiv_rba.stages.report.run import report

    report(stage_settings(arguments), Results(arguments.results))


def run_probe(arguments: Arguments) -> None:
    """Write the flow at points."""
    from aiv_rba.stages.probe.run import probe_points

    device: Device = arguments.device or "auto"
    probe_points(Results(arguments.results), arguments.points, arguments.out, device)


def run_validate(arguments: Arguments) -> None:
    """Compare methods."""
    from aiv_rba.problems import find
    from aiv_rba.validation.run import validate

    problem = find(arguments.problem)
    validate(
        load_comparison(arguments.config, arguments.problem, problem.settings_type),
        problem=problem,
        name=arguments.problem,
        reference=arguments.reference,
        out=arguments.out,
        device=arguments.device or "auto",
    )


def run_twin(arguments: Arguments) -> None:
    """Make an experiment with a known truth."""
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


def stage_settings(arguments: Arguments) -> Any:
    """Settings of the stage; a device that is given as an option goes before theirs."""
    settings = load_stage(Results(arguments.results).settings(arguments.stage), arguments.stage)
    device = getattr(arguments, "device", None)
    return replace(settings, device=device) if device else settings


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
