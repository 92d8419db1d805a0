"""Mistakes in an experiment: in its settings, what it reads, and where it will write.

Every file that a stage will open is opened by that stage's own reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiv_rba.errors import UserError
from aiv_rba.files.experiment import check_exclude
from aiv_rba.files.results import Results
from aiv_rba.files.truth import TABLES, open_truth
from aiv_rba.paths import check_file, check_output, is_folder
from aiv_rba.settings import (
    STAGES,
    IngestSettings,
    ScoreSettings,
    TrainSettings,
    check_experiment,
    valid_sections,
)
from aiv_rba.stages.ingest.exclude import excluded_rows
from aiv_rba.stages.ingest.lumen import read_walls
from aiv_rba.stages.ingest.meshes import check_wall_file
from aiv_rba.stages.ingest.times import timed
from aiv_rba.stages.ingest.tracks import TrackTable, read_tracks
from aiv_rba.stages.ingest.velocities import differences
from aiv_rba.time_modes import check_modes


class Problems:
    """Mistakes that are found one after the other, a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is wrong in a block, and go on after it."""
        try:
            yield
        except UserError as error:
            # A file may be opened for two reasons.
            self.lines += [line for line in error.lines if line not in self.lines]


def find_problems(document: dict[str, Any], where: str, results: Path) -> Problems:
    """Find all mistakes in an experiment that show before any work.

    Parameters
    ----------
    document
        The mapping with a section per stage.
    where
        Where it comes from, for messages.
    results
        Folder in which the experiment's folder, which has its name, will be made.
    """
    problems = Problems()
    folder = results / str(document.get("name"))
    with problems.noted():
        check_exclude(check_experiment(document, where), folder)
    _check_inputs(document, valid_sections(document), problems)
    _check_outputs(Results(folder), problems)
    return problems


def _check_inputs(document: dict[str, Any], sections: dict[str, Any], problems: Problems) -> None:
    if "ingest" in sections:
        _check_walls(sections["ingest"], problems)
        _check_tracks(sections["ingest"], sections.get("train"), problems)
    else:
        _check_named_files(document.get("ingest"), problems)
    score: ScoreSettings | None = sections.get("score")
    if score is not None and score.truth is not None:
        with problems.noted():
            _check_truth(Path(score.truth), sections)


def _check_named_files(ingest: Any, problems: Problems) -> None:
    """Look at the files that a section with mistakes names, as far as they can be told."""
    if not isinstance(ingest, dict):
        return
    for key in ("wall", "inner_wall"):
        if isinstance(name := ingest.get(key), str):
            with problems.noted():
                check_wall_file(Path(name))
    for key in ("tracks", "exclude"):
        if isinstance(name := ingest.get(key), str) and not is_folder(Path(name)):
            with problems.noted():
                check_file(name, f"the file of ingest.{key}", may_be=["ZIP", "UTF-16"])


def _check_walls(ingest: IngestSettings, problems: Problems) -> None:
    with problems.noted():
        read_walls(ingest)
    for file in ingest.walls:
        with problems.noted():
            check_wall_file(Path(file))


def _check_truth(path: Path, sections: dict[str, Any]) -> None:
    if path.suffix not in TABLES:
        with open_truth(path):
            return
    # Only here, since it loads torch.
    from aiv_rba.stages.score.truth_table import read_truth_table

    ingest: IngestSettings | None = sections.get("ingest")
    read_truth_table(path, timed=ingest is not None and ingest.flow != "steady")


def _check_tracks(ingest: IngestSettings, train: TrainSettings | None, problems: Problems) -> None:
    table: TrackTable | None = None
    with problems.noted():
        table = read_tracks(ingest)
    if table is not None:
        measured = ingest.velocities == "columns" and bool(table.velocity)
        with problems.noted():
            found = timed(
                ingest,
                table if measured else differences(table, ingest.period, ingest.tracks_named),
            )
            modes = "auto" if train is None else train.network.time_harmonics
            if modes != "auto" and modes > 0:
                # The training has no more times than all rows have.
                times = found.table.time
                check_modes(modes, ingest.flow, times, found.duration, ingest.tracks_named)
    if ingest.exclude is not None:
        with problems.noted():
            if table is None:
                check_file(ingest.exclude, "a CSV file of rows or tracks to exclude")
            else:
                excluded_rows(Path(ingest.exclude), table, ingest.tracks_named)


def _check_outputs(results: Results, problems: Problems) -> None:
    for folder in (results.folder, *results.folder.parents):
        if folder.exists() and not folder.is_dir():
            problems.lines.append(f"{folder}: is a file, expected a folder for the results")
    for stage in STAGES:
        for path in (*results.outputs(stage), results.settings(stage), results.log(stage)):
            with problems.noted():
                check_output(path)
