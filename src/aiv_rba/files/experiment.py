"""The settings of an experiment as the files that its stages read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from aiv_rba.files.formats import atomic_path
from aiv_rba.files.results import Results
from aiv_rba.settings import STAGES, check_experiment, read_overlaid


def named_experiment(paths: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """The mapping of an experiment with overlays, checked, and the experiment's name.

    Raises
    ------
    UserError
        If a file is missing, not YAML, or a key or value is wrong, or a file that it names does
        not exist.
    """
    document = read_overlaid(*paths)
    return document, check_experiment(document, " + ".join(map(str, paths))).name


def write_settings(paths: Sequence[Path], results: Path) -> list[Path]:
    """Write the settings of each stage of an experiment into its folder; the files.

    Parameters
    ----------
    paths
        Experiment, then overlays.
    results
        Folder in which the experiment's folder, which has its name, is made.

    Raises
    ------
    UserError
        As `named_experiment` does.
    """
    document, name = named_experiment(paths)
    folder = Results(results / name)
    written = []
    for stage in STAGES:
        path = folder.settings(stage)
        with atomic_path(path) as temporary:
            temporary.write_text(yaml.safe_dump({stage: document.get(stage) or {}}))
        written.append(path)
    return written
