"""Stage report: a page that stands alone, pictures that are right, numbers of the scores."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import pyvista as pv

from aiv_rba.fields.mesh import grid, volume_mesh
from aiv_rba.files.differences import Differences
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen
from aiv_rba.pages import Figure, Section, Table, Verdict, render
from aiv_rba.settings import FieldsSettings, ReportSettings, ScoreSettings
from aiv_rba.stages.fields.run import fields
from aiv_rba.stages.fields.vtk import write, write_series
from aiv_rba.stages.report import figures, tables
from aiv_rba.stages.report.phases import telling_phases
from aiv_rba.stages.report.run import EARLIER, report
from aiv_rba.stages.report.sampling import Sampled, SampledFlow
from aiv_rba.stages.report.sheets import sample_series, sheets
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.units import unit_for
from aiv_rba.stages.report.unrolled import Unrolled, on_grid, unroll
from aiv_rba.stages.report.view import MOST_TIMES, view
from aiv_rba.stages.score.run import score
from tests.browser import check_page
from tests.exact import (
    LENGTH,
    RADIUS,
    SCALES,
    WARNINGS,
    annulus,
    tube,
    write_records,
    write_trained,
    write_truth,
)
from tests.programs import need

PNG = b"\x89PNG\r\n\x1a\n"
ORIGIN = np.array(SCALES.origin)


def write_report(folder, **settings):
    """The page of a small untrained network."""
    report(ReportSettings(**settings), Results(folder))
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_trained(folder)
    write_truth(folder / "truth.h5")
    results = Results(folder)
    fields(FieldsSettings(times=4, layers=2, sections=2), results)
    score(ScoreSettings(truth=str(folder / "truth.h5")), results)
    write_records(results)
    pd.DataFrame({"step": [0, 1], "mass": [1.0, 0.1], "validation_v": [1.0, None]}).to_csv(
        results.history, index=False
    )
    for picture in (results.tracks_picture, results.groups_picture):
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(PNG)
    write_report(folder, title="A <b>tube</b>")
    return folder


def test_page_stands_alone(finished):
    page = (finished / "report.html").read_text()
    sources = re.findall(r'<(?:img|script|link)[^>]* (?:src|href)="([^"]*)"', page)
    assert len(sources) >= 8
    assert all(source.startswith("data:image/") for source in sources)
    assert "default-src 'none'" in page
    assert "<title>A &lt;b&gt;tube&lt;/b&gt;</title>" in page
    assert len(page) < 12e6


def test_page_leads_with_the_answer_and_folds_the_methods(finished):
    page = (finished / "report.html").read_text()
    order = [
        "Verdict: poor.",
        "Look at this first",
        "velocity_sign: v runs against the displacement (accepted)",
        "length_coverage: tracks cover only 3 % of the length of the wall",
        "The flow",
        "largest speed",
        'id="vessel"',
        "Wall shear stress",
        "Flow rate and pressure drop",
        "<h2>Quality",
        "<h3>Verdict: poor",
        "Relative L2 errors",
        "<details><summary>Methods",
        "<details><summary>Provenance",
    ]
    places = [page.index(text) for text in order]
    assert places == sorted(places)


def test_summary_has_the_numbers_of_the_stages(finished):
    summary = json.loads((finished / "summary.json").read_text())
    scores = json.loads((finished / "scores.json").read_text())
    for name in ("validation", "quality", "truth", "noise_floor"):
        assert summary[name] == scores[name]
    assert summary["tracks"] == scores["rows"]
    assert summary["warnings"] == [warning.to_dict() for warning in WARNINGS]
    assert summary["seconds"] == dict(zip(EARLIER, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
    assert summary["revision"] == "abc"
    assert (summary["variant"], summary["seeds"], summary["world_size"]) == ("rba", [3], 2)


def test_page_shows_the_error_of_the_scores(finished):
    error = json.loads((finished / "scores.json").read_text())["truth"]["wss"]
    assert f"{100 * error:.2f} %" in (finished / "report.html").read_text()


QUALITY = {
    "verdict": "fair",
    "because": ["amplitude_bias"],
    "quantities": {
        "amplitude_bias": {
            "title": "amplitude bias on the tracks",
            "unit": "percent",
            "value": -1.54,
            "standard_error": 0.09,
            "good": 1.0,
            "fair": 3.0,
            "grade": "fair",
        },
        "chi_squared_v": {
            "title": "chi-squared of v",
            "unit": "",
            "value": 1.234,
            "good": 1.5,
            "fair": 4.0,
            "grade": "good",
        },
    },
}


def test_verdict_says_which_quantity_made_it():
    assert tables.reasons(QUALITY) == "amplitude bias on the tracks is -1.5 % (good up to 1 %)"
    assert tables.verdict(QUALITY).rows == [
        ("amplitude bias on the tracks", "-1.5 % ± 0.09 %", "1 %", "3 %", "fair"),
        ("chi-squared of v", "1.23", "1.5", "4", "good"),
    ]
    poor = QUALITY | {"verdict": "poor"}
    assert tables.reasons(poor).endswith("(fair up to 3 %)")


@pytest.mark.parametrize(
    ("quality", "line"),
    [
        (QUALITY, "fair: amplitude bias on the tracks is -1.5 % (good up to 1 %)"),
        (QUALITY | {"verdict": "good", "because": []}, "good"),
    ],
)
def test_verdict_is_the_first_line_on_the_screen(finished, quality, line):
    summary = json.loads((finished / "summary.json").read_text()) | {"quality": quality}
    lines = list(tables.headlines(summary).items())
    assert lines[0] == ("verdict", line)
    told = [(f"warning {warning.name}", warning.text) for warning in WARNINGS]
    assert lines[1 : 1 + len(told)] == told


def test_verdict_is_in_words_and_coloured():
    for grade in ("good", "fair", "poor"):
        page = render("T", [], verdict=Verdict(grade, "Because 1 < 2."))
        assert f'<p class="verdict {grade}"><strong>Verdict: {grade}.</strong>' in page
        assert f".verdict.{grade} {{" in page
        assert "Because 1 &lt; 2." in page
    assert '<p class="verdict' not in render("T", [])


def test_page_without_truth_speaks_of_none(finished, tmp_path):
    """Given phases are drawn in their order, and one time once."""
    for path in finished.iterdir():
        (tmp_path / path.name).symlink_to(path)
    scores = json.loads((finished / "scores.json").read_text())
    for name in ("truth", "noise_floor", "truth_outside"):
        del scores[name]
    for name in ("scores.json", "report.html", "summary.json"):
        (tmp_path / name).unlink()
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    page = write_report(tmp_path, phases=(0.5, 0.24, 0.26))
    assert "against the truth" not in page
    times = re.findall(r"<h3>As asked for: t = ([\d.e-]+) s", page)
    np.testing.assert_allclose(np.array(times, dtype=float) / SCALES.period, [0.5, 0.25])


def test_history_may_lack_columns():
    picture = figures.training(pd.DataFrame({"step": [0, 1]}))
    assert picture[8:12] == b"WEBP"


def test_a_page_has_no_script_unless_it_has_a_view():
    table = Table("", [("a", "1 < 2")], ("", "what"))
    page = render("T", [Section("S", tables=(table,), figures=(Figure(PNG, "c"),))])
    assert "<script" not in page
    assert "Look at this first" not in page
    assert "1 &lt; 2" in page
    assert "data:image/png;base64," in page


@pytest.mark.browser
def test_browser_draws_the_page_without_errors_and_without_network(request, finished, tmp_path):
    need(request, "browser", "chromium")
    check_page((finished / "report.html").read_text(), tmp_path, coloured=0.03)


@pytest.mark.parametrize(
    ("flow_rate", "expected"),
    [
        # Slow start, largest central difference at 3, fastest at 4, backwards at 7.
        ([0, 0.1, 0.3, 1, 2, 1.5, 0.5, -1], {3: "speeding up", 4: "fastest", 7: "reversed"}),
        ([1, 1.1, 1.5, 2.2, 2.5, 2, 1.5, 0.9], {2: "speeding up", 4: "fastest", 7: "slowest"}),
        # A flow against the axis is fastest where it is most negative.
        ([-1, -3, -2, -1.5], {1: "fastest", 0: "slowest"}),
        ([2.0, 2.01, 2.0, 1.99], {1: "steady flow"}),
        ([0.0, 0.0], {0: "steady flow"}),
        ([1.0], {0: "steady flow"}),
        ([1.0, 3.0], {1: "fastest", 0: "slowest"}),
    ],
)
def test_phases_follow_from_the_flow_rate(flow_rate, expected):
    flow_rate = np.array(flow_rate, dtype=float)
    times = 0.5 * np.arange(len(flow_rate)) / len(flow_rate)
    found = telling_phases(times, replace(SCALES, period=0.5), flow_rate, "auto")
    assert {phase.number: phase.name for phase in found} == expected
    assert list(expected) == [phase.number for phase in found]


def test_given_phases_are_those_nearest_round_the_cycle():
    times = 2.0 * np.arange(4) / 4
    found = telling_phases(times, replace(SCALES, period=2.0), np.ones(4), (0.95, 0.5))
    assert [(phase.number, phase.time) for phase in found] == [(0, 0.0), (2, 1.0)]


@pytest.mark.parametrize(
    ("quantity", "size", "text"),
    [
        ("speed", 4.32e-3, "4.32 mm/s"),
        ("speed", 0.9, "0.9 m/s"),
        ("flow rate", 3.8e-10, "380 nL/s"),
        ("pressure", 4e-9, "0.004 µPa"),
        ("pressure", 0.0, "0 Pa"),
    ],
)
def test_units_are_easy_to_read(quantity, size, text):
    assert unit_for(quantity, size).text(size) == text


def write_arrays(path, mesh, arrays):
    for name, values in arrays.items():
        mesh.point_data[name] = values
    write(path, mesh)


def drawn(wall, folder, axis=1, times=2):
    """Sheets and samples of v = (y, 2 z, 3 x) and p = x, times 1, 2, ..., on a wall's mesh."""
    lumen = Lumen.from_wall(wall, axis)
    points, prisms = volume_mesh(lumen, 3)
    triangles = np.insert(wall.triangles, 0, 3, axis=1)
    at, on = points * SCALES.length + ORIGIN, wall.points * SCALES.length + ORIGIN
    for k in range(times):
        write_arrays(
            folder / f"volume_{k}.vtu",
            grid(at, prisms),
            {
                "velocity": (k + 1) * points[:, [1, 2, 0]] * [1, 2, 3],
                "pressure": (k + 1) * points[:, 0],
                "vorticity": points,
            },
        )
        stress = (k + 1) * wall.points[:, [axis]] * wall.normals
        write_arrays(
            folder / f"wall_{k}.vtp",
            pv.PolyData(on, triangles),
            {"wall_shear_stress": stress, "pressure": wall.points[:, axis]},
        )
    for name, kind in (("volume", "vtu"), ("wall", "vtp")):
        write_series(folder / f"{name}.pvd", {0.1 * k: f"{name}_{k}.{kind}" for k in range(times)})
    patches = unroll(folder / "wall.pvd", lumen, SCALES)
    cut = sheets(patches, lumen, SCALES)
    return lumen, patches, cut, sample_series(folder / "volume.pvd", cut)


@pytest.mark.parametrize(
    # The triangulation of the last one has flat triangles at its rim.
    "wall",
    [tube(32, 9), annulus(0.3, 32), annulus(0.3, 48)],
    ids=["single", "annular", "flat"],
)
def test_sheets_reach_from_wall_to_wall_and_carry_the_flow(tmp_path, wall):
    """Fields that are linear in space are exact between the vertices of the prisms."""
    lumen, _, cut, sampled = drawn(wall, tmp_path)
    for sheet, flow in zip(cut.all, sampled.flows, strict=True):
        at = (sheet.points - ORIGIN) / SCALES.length
        expected = at[..., [1, 2, 0]] * [1, 2, 3]
        for k in range(2):
            np.testing.assert_allclose(flow.velocity[k], (k + 1) * expected, atol=0.02)
            np.testing.assert_allclose(flow.pressure[k], (k + 1) * at[..., 0], atol=0.01)
        radius = np.hypot(at[..., 0], at[..., 2])
        np.testing.assert_allclose(radius[:, -1], RADIUS, rtol=1e-2)
        np.testing.assert_allclose(radius[:, 0], 0.3 if lumen.annular else 0, atol=1e-2)
    for half in cut.lengthwise:
        at = (half.points - ORIGIN) / SCALES.length
        np.testing.assert_allclose(np.ptp(at[..., 1]), LENGTH, rtol=1e-6)
    first, second = (half.across for half in cut.lengthwise)
    assert first.max() > 0 > second.min()
    assert sampled.peak_speed[1] == pytest.approx(2 * sampled.peak_speed[0])


def test_the_axis_is_that_of_the_case_not_the_longest_side(tmp_path):
    """A tube that is wider than long."""
    wide = tube(32, 9)
    wide = replace(wide, points=wide.points * [4, 1 / 4, 4])
    _, patches, cut, _ = drawn(wide, tmp_path, times=1)
    along = (cut.lengthwise[0].points[..., 1] - ORIGIN[1]) / SCALES.length
    assert np.ptp(along[:, 0]) == pytest.approx(LENGTH / 4)
    assert np.ptp(along, axis=1).max() < 1e-9
    assert all(np.ptp(section.points[..., 1]) < 1e-12 for section in cut.sections)
    assert np.ptp(patches[0].height) == pytest.approx(LENGTH / 4)


def test_unrolled_wall_has_no_holes_and_closes(tmp_path):
    """A stress of size y along the normals; points of a regular polygon."""
    _, patches, _, _ = drawn(tube(32, 9), tmp_path)
    (patch,) = patches
    size = np.linalg.norm(patch.stress, axis=-1)
    assert np.isfinite(patch.stress).all()
    np.testing.assert_allclose(size[1], np.broadcast_to(2 * patch.height, size[1].shape), atol=0.05)
    np.testing.assert_allclose(patch.stress[:, 0], patch.stress[:, -1], atol=1e-6)
    np.testing.assert_allclose(patch.points[0], patch.points[-1], atol=1e-9)


def test_a_ragged_rim_is_filled():
    """Beyond the last vertices stands the nearest value."""
    wall = tube(32, 9)
    lumen = Lumen.from_wall(wall, 1)
    kept = wall.points[:, 1] > 0.6
    values = wall.points[kept][:, [1]]
    heights = np.arange(5.0)
    found = on_grid(lumen, wall.points[kept], values, np.linspace(-np.pi, np.pi, 33), heights)
    np.testing.assert_allclose(found[..., 0], np.broadcast_to([1, 1, 2, 3, 4], (33, 5)), atol=1e-6)


def test_truth_is_the_inferred_less_the_difference(tmp_path):
    """Differences that are linear in space and have one harmonic are exact."""
    lumen, (patch,), cut, _ = drawn(tube(32, 9), tmp_path, times=1)
    rng = np.random.default_rng(0)
    known = rng.uniform([-1, 0, -1], [1, LENGTH, 1], (400, 3))
    on_wall = lumen.wall.points
    modes = np.array([1.0, 0.5j])
    truth = TrueFields(
        Differences(
            points=known * SCALES.length + ORIGIN,
            velocity=np.multiply.outer(modes, known),
            pressure=np.multiply.outer(modes, known[:, 1]),
            wall_points=on_wall * SCALES.length + ORIGIN,
            wall_shear_stress=np.multiply.outer(modes, on_wall),
            flow_rate=np.array([2.0, 1.0]),
            pressure_drop=np.array([3.0, 1.0j]),
        ),
        SCALES,
    )
    # Re (1 + 0.5 i exp(2 pi i 3 / 4)) = 1.5.
    section = cut.sections[2].points
    velocity, pressure = truth.on_points(section, 0.75)
    at = (section - ORIGIN) / SCALES.length
    np.testing.assert_allclose(velocity, 1.5 * at, atol=1e-9)
    np.testing.assert_allclose(pressure, 1.5 * at[..., 1], atol=1e-9)
    far = np.array([[9.0, 9.0, 9.0]]) * SCALES.length + ORIGIN
    assert np.isfinite(truth.on_points(far, 0.0)[0]).all()
    wall = (patch.points - ORIGIN) / SCALES.length
    np.testing.assert_allclose(truth.on_wall(patch, lumen, 0.75), 1.5 * wall, atol=0.01)
    np.testing.assert_allclose(truth.flow_rate(np.array([0, 0.5])), [3, 1])
    np.testing.assert_allclose(truth.pressure_drop(np.array([0, 0.75])), [3, 4])


def test_the_view_thins_many_times_out(tmp_path):
    """What it carries is every n-th time and every second point, in single precision."""
    _, (patch,), cut, sampled = drawn(tube(16, 5), tmp_path, times=1)
    count = 50
    growing = np.arange(1.0, count + 1)
    patch = replace(
        patch,
        stress=np.multiply.outer(growing, patch.stress[0]),
        pressure=np.multiply.outer(growing, patch.pressure[0]),
    )
    flows = [
        SampledFlow(
            *(np.multiply.outer(growing, v[0]) for v in (f.velocity, f.pressure, f.vorticity)),
            spread={},
        )
        for f in sampled.flows
    ]
    many = Sampled(np.arange(count) / count, growing, flows)
    data = json.loads(view([patch], cut, many, replace(SCALES, period=1.0), 30, 1).data)
    assert len(data["times"]) <= MOST_TIMES
    assert data["times"][data["start"]] == pytest.approx(30 / count)
    shown = data["fields"][0]
    values = np.frombuffer(base64.b64decode(shown["values"][0]), "<f4")
    surface = data["surfaces"][0]
    values = values.reshape(len(data["times"]), surface["rows"], surface["columns"])
    stress = np.linalg.norm(patch.stress, axis=-1)[::3, ::2, ::2]
    assert shown["unit"] in ("Pa", "kPa")
    factor = {"Pa": 1, "kPa": 1e-3}[shown["unit"]]
    np.testing.assert_allclose(values, factor * stress, rtol=1e-6, atol=1e-6)
    assert shown["values"][1:] == [None] * len(cut.all)


def test_patch_attributes_name_the_grid(tmp_path):
    _, patches, _, _ = drawn(annulus(0.3, 16), tmp_path, times=1)
    assert [type(patch) for patch in patches] == [Unrolled, Unrolled]
    radii = [np.hypot(*((p.points - ORIGIN) / SCALES.length)[..., [0, 2]].T) for p in patches]
    np.testing.assert_allclose(radii[0], RADIUS, rtol=0.05)
    np.testing.assert_allclose(radii[1], 0.3, rtol=0.05)


def test_report_says_how_many_rows_are_suspicious(finished):
    counted = json.loads((finished / "summary.json").read_text())["suspicious"]
    assert counted == json.loads((finished / "scores.json").read_text())["suspicious"]
    rows = counted["rows"]
    line = f"{rows['by_inferred_flow']} of {rows['of']} rows and "
    assert line in (finished / "report.html").read_text()
