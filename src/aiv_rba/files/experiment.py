"""The settings of an experiment as the files that its stages read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from aiv_rba.errors import UserError
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.results import Results
from aiv_rba.settings import STAGES, Experiment, check_experiment, read_overlaid


def named_experiment(
    paths: Sequence[Path], results: Path, exclude: Path | None = None
) -> tuple[dict[str, Any], Path]:
    """The mapping of an experiment with overlays, checked, and the experiment's folder.

    Parameters
    ----------
    paths
        Experiment, then overlays.
    results
        Folder in which the experiment's folder, which has its name, lies.
    exclude
        File to put into `ingest.exclude`, if any.

    Raises
    ------
    UserError
        If a file is missing, not YAML, or keys or values are wrong, or the rows to leave out are
        listed in a file that the experiment itself makes.
    """
    document = read_document(paths, exclude)
    experiment = check_experiment(document, " + ".join(map(str, paths)))
    check_exclude(experiment, results / experiment.name)
    return document, results / experiment.name


def read_document(paths: Sequence[Path], exclude: Path | None = None) -> dict[str, Any]:
    """The mapping of an experiment with overlays, not checked; parameters as `named_experiment`."""
    document = read_overlaid(*paths)
    if exclude is not None and isinstance(document.get("ingest"), dict):
        document["ingest"] = document["ingest"] | {"exclude": str(exclude)}
    return document


def check_exclude(experiment: Experiment, folder: Path) -> None:
    """Check that the rows to leave out are not listed in the folder of the experiment itself.

    Stage score makes such a list anew from what the ingestion left out because of it.
    """
    exclude = experiment.ingest.exclude
    if exclude is not None and Path(exclude).resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"ingest.exclude: found {exclude} in {folder}, which this experiment makes anew; "
            "expected a file elsewhere: give the experiment another name, or copy the file"
        )


def write_settings(paths: Sequence[Path], results: Path, exclude: Path | None = None) -> list[Path]:
    """Write the settings of each stage of an experiment into its folder; the files.

    Parameters
    ----------
    paths
        Experiment, then overlays.
    results
        Folder in which the experiment's folder, which has its name, is made.
    exclude
        File to put into `ingest.exclude`, if any.

    Raises
    ------
    UserError
        As `named_experiment` does.
    """
    document, folder = named_experiment(paths, results, exclude)
    written = []
    for stage in STAGES:
        path = Results(folder).settings(stage)
        with atomic_path(path) as temporary:
            temporary.write_text(yaml.safe_dump({stage: document.get(stage) or {}}))
        written.append(path)
    return written
