"""Folders of results for tests of single stages."""

from pathlib import Path

from aiv_rba.files.results import Results
from aiv_rba.settings import STAGES


def prepare(folder: Path, experiment: Path) -> Results:
    """A folder whose stages read the experiment file as it is, mistakes included."""
    results = Results(folder)
    for stage in STAGES:
        path = results.settings(stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        if experiment.is_file():
            path.write_bytes(experiment.read_bytes())
    return results
