"""Rows and tracks that the ingestion leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from aiv_rba.cli import main
from aiv_rba.errors import UserError
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.results import Results
from aiv_rba.settings import load_stage
from aiv_rba.stages.ingest import run
from tests.synthetic import write_tube_experiment


def ingested(folder: Path, text: str | None, **ingest: Any) -> Case:
    """The case of the tube, without what the text of a CSV file lists."""
    if text is not None:
        folder.mkdir(exist_ok=True)
        (folder / "list.csv").write_text(text)
        ingest["exclude"] = str(folder / "list.csv")
    experiment = write_tube_experiment(folder, ingest=ingest)
    results = Results(folder)
    run.ingest(load_stage(experiment, "ingest"), results)
    return read_case(results.case)


LISTS = {
    "rows": ("row\n7\n300\n599\n7\n", [7, 300, 599]),
    "tracks": ("probability,track\n0.9,0\n0.8,59\n", [*range(10), *range(590, 600)]),
    "rows of a table of both": ("row,track\n7,0\n", [7]),
    "suspicious ones": ("row,suspicious\n7,1\n8,0\n9,1\n", [7, 9]),
    "nothing": ("row\n", []),
}


@pytest.mark.parametrize("name", LISTS)
def test_what_is_listed_is_gone_and_all_else_stays(name: str, tmp_path: Path) -> None:
    text, gone = LISTS[name]
    whole, case = ingested(tmp_path / "whole", None), ingested(tmp_path / "part", text)
    kept = ~np.isin(whole.tracks.row, gone)
    assert case.tracks.row.tolist() == whole.tracks.row[kept].tolist()
    # Every track stays on its side of the split, and the scales stay too.
    np.testing.assert_array_equal(case.tracks.validation, whole.tracks.validation[kept])
    np.testing.assert_array_equal(case.tracks.points, whole.tracks.points[kept])
    assert case.scales == whole.scales
    summary = (tmp_path / "part" / "ingest.txt").read_text()
    assert f"{len(gone)} by {tmp_path / 'part' / 'list.csv'}" in summary
    assert "excluded" not in (tmp_path / "whole" / "ingest.txt").read_text()


def test_differences_are_taken_before_rows_are_left_out(tmp_path: Path) -> None:
    """A row that is left out is a velocity; its position still serves its neighbours."""
    case = ingested(tmp_path, "row\n5\n", velocities="differences")
    assert set(range(1, 9)) - set(case.tracks.row[case.tracks.track == 0]) == {5}


def test_identity_changes_with_the_list_and_not_with_its_place(tmp_path: Path) -> None:
    whole = ingested(tmp_path / "whole", None).identity
    first = ingested(tmp_path / "first", "row\n7\n").identity
    assert ingested(tmp_path / "again", "row\n7\n").identity == first != whole
    assert ingested(tmp_path / "other", "row\n8\n").identity not in (first, whole)


BAD = {
    "no such column": ("line\n3\n", "line 1: found columns line, expected row or track"),
    "not a number": ("row\n3\nx\n", "line 3, column row: found x, expected a whole number"),
    "no number": ("row,track\n,3\n", "line 2, column row: found nothing, expected a whole"),
    "not a flag": ("row,suspicious\n3,yes\n", "line 2, column suspicious: found yes, expected"),
    "beyond the end": (
        "row\n3\n600\n",
        "line 3, column row: found 600, expected a row of {tracks}, whose rows are 0 to 599",
    ),
    "unknown track": (
        "track\n60\n",
        "line 2, column track: found 60, expected a track of {tracks}, whose tracks are 0 to 59",
    ),
    "empty": ("", "empty, expected a header and rows"),
    "nothing left": (
        "track\n" + "\n".join(map(str, range(60))),
        "leaves 0 of 360 training rows of {tracks}, expected at least 24",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_list_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    with pytest.raises(UserError) as error:
        ingested(tmp_path, text)
    expected = message.format(tracks=tmp_path / "tracks.csv")
    assert str(error.value).startswith(f"{tmp_path / 'list.csv'}: {expected}")
    assert "\n" not in str(error.value)


def test_a_missing_list_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"none.csv: not found, expected a CSV file of rows or"):
        run.ingest(
            load_stage(write_tube_experiment(tmp_path, ingest={"exclude": "none.csv"}), "ingest"),
            Results(tmp_path),
        )
    experiment = write_tube_experiment(tmp_path)
    assert main(["check", str(experiment), "--exclude", "none.csv"]) == 2
    assert "none.csv: not found, expected a CSV file of rows or tracks" in capsys.readouterr().err


def test_init_writes_the_list_into_the_settings(tmp_path: Path) -> None:
    experiment = write_tube_experiment(tmp_path)
    (tmp_path / "list.csv").write_text("row\n7\n")
    out = ["--results", str(tmp_path / "out")]
    assert main(["init", str(experiment), *out, "--exclude", str(tmp_path / "list.csv")]) == 0
    results = Results(tmp_path / "out" / "tube")
    assert main(["ingest", str(results.folder)]) == 0
    assert len(read_case(results.case).tracks.row) == 599


def test_a_list_that_the_experiment_makes_itself_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = write_tube_experiment(tmp_path)
    made = tmp_path / "out" / "tube" / "suspicious_rows.csv"
    made.parent.mkdir(parents=True)
    made.write_text("row\n7\n")
    options = [str(experiment), "--results", str(tmp_path / "out"), "--exclude", str(made)]
    for command in (["init"], ["check"]):
        assert main([*command, *options]) == 2
        error = capsys.readouterr().err
        assert "which this experiment makes anew; expected a file elsewhere" in error
        assert error.count("\n") == 1
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump({"name": "again"}))
    assert main(["init", str(experiment), str(again), *options[1:]]) == 0
