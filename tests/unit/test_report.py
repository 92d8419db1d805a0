"""Stage report: a page that stands alone, and numbers that are those of the scores."""

import json
import re

import pandas as pd
import pytest

from aiv_rba.files.results import Results
from aiv_rba.settings import FieldsSettings, ReportSettings, ScoreSettings
from aiv_rba.stages.fields.run import fields
from aiv_rba.stages.report import figures
from aiv_rba.stages.report.run import EARLIER, report
from aiv_rba.stages.score import score
from tests.exact import write_records, write_trained, write_truth

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_trained(folder)
    write_truth(folder / "truth.h5")
    results = Results(folder)
    fields(FieldsSettings(times=2, layers=2, sections=2), results)
    score(ScoreSettings(truth=str(folder / "truth.h5")), results)
    write_records(results)
    pd.DataFrame({"step": [0, 1], "mass": [1.0, 0.1], "validation_v": [1.0, None]}).to_csv(
        results.history, index=False
    )
    for picture in (results.tracks_picture, results.groups_picture):
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(PNG)
    report(ReportSettings(title="A <b>tube</b>", phases=(0.0,)), results)
    return folder


def test_page_stands_alone(finished):
    page = (finished / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 7
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "A &lt;b&gt;tube&lt;/b&gt;" in page


def test_summary_has_the_numbers_of_the_stages(finished):
    summary = json.loads((finished / "summary.json").read_text())
    scores = json.loads((finished / "scores.json").read_text())
    for name in ("validation", "truth", "noise_floor"):
        assert summary[name] == scores[name]
    assert summary["tracks"] == scores["rows"]
    assert summary["seconds"] == dict(zip(EARLIER, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
    assert summary["revision"] == "abc"
    assert (summary["variant"], summary["seeds"], summary["world_size"]) == ("rba", [3], 2)


def test_page_shows_the_error_of_the_scores(finished):
    error = json.loads((finished / "scores.json").read_text())["truth"]["wss"]
    assert f"{100 * error:.2f} %" in (finished / "report.html").read_text()


def test_history_may_lack_columns():
    assert figures.training(pd.DataFrame({"step": [0, 1]})).startswith(PNG)
