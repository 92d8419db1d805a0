"""Every file that a stage will open, opened by that stage's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiv_rba.errors import UserError
from aiv_rba.files.truth import open_truth
from aiv_rba.paths import check_file
from aiv_rba.settings import IngestSettings, ScoreSettings
from aiv_rba.stages.ingest.exclude import excluded_rows
from aiv_rba.stages.ingest.tracks import TrackTable, read_tracks
from aiv_rba.stages.ingest.velocities import differences
from aiv_rba.stages.ingest.vessel import read_walls


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


def check_inputs(sections: dict[str, Any], problems: Problems) -> None:
    """Open what the stages read.

    Parameters
    ----------
    sections
        Settings by stage, of those stages whose section has no mistake.
    problems
        Where mistakes are noted.
    """
    if "ingest" in sections:
        _check_walls(sections["ingest"], problems)
        _check_tracks(sections["ingest"], problems)
    score: ScoreSettings | None = sections.get("score")
    if score is not None and score.truth is not None:
        with problems.noted(), open_truth(Path(score.truth)):
            pass


def _check_walls(ingest: IngestSettings, problems: Problems) -> None:
    with problems.noted():
        read_walls(ingest)
    if ingest.inner_wall is not None:
        with problems.noted():
            check_file(ingest.inner_wall, "a triangulated wall")


def _check_tracks(ingest: IngestSettings, problems: Problems) -> None:
    path = Path(ingest.tracks)
    measured = ingest.velocities == "columns"
    table: TrackTable | None = None
    with problems.noted():
        table = read_tracks(path, ingest.units, ingest.period, with_velocity=measured)
    if table is not None and not measured:
        with problems.noted():
            differences(table, ingest.period, path)
    if ingest.exclude is not None:
        with problems.noted():
            if table is None:
                check_file(ingest.exclude, "a CSV file of rows or tracks to exclude")
            else:
                excluded_rows(Path(ingest.exclude), table, path)
