"""Stages fields, score and report of a vessel of any shape, whose flow is exact."""

import json
import re

import h5py
import numpy as np
import pandas as pd
import pytest
import pyvista as pv

from aiv_rba.fields import flow as flow_module
from aiv_rba.files.case import write_case
from aiv_rba.files.formats import create_h5
from aiv_rba.files.results import Results
from aiv_rba.geometry import Region
from aiv_rba.settings import FieldsSettings, ReportSettings, ScoreSettings
from aiv_rba.stages.fields.run import fields
from aiv_rba.stages.report.cuts import POINTS, cuts
from aiv_rba.stages.report.run import report
from aiv_rba.stages.report.surface_figures import in_front, sides
from aiv_rba.stages.report.tables import headlines
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.view import MOST_VERTICES, coarsened
from aiv_rba.stages.report.wall_series import WallSeries
from aiv_rba.stages.score.run import score
from aiv_rba.stages.score.spread import coverage
from aiv_rba.stages.score.truth import against_truth
from tests.browser import check_page
from tests.exact import SCALES, ExactFlow, model_of, value, write_records
from tests.general import STREAM, converging, general_case, stokes
from tests.programs import need
from tests.unit.test_report import PNG
from tests.unit.test_score import Off
from tests.walls import BOX, CENTRE, SPHERE, bifurcation, box_with_sphere

ORIGIN = np.array(SCALES.origin)


CASES = {"branched": (bifurcation(), converging), "body": (box_with_sphere(), stokes)}


@pytest.fixture(scope="module", params=CASES)
def finished(request, tmp_path_factory):
    """A vessel, and the folder in which the stages after the training have run."""
    shape, function = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    results = Results(folder)
    write_case(results.case, general_case(shape, function))
    with create_h5(results.points, "points", {"identity": "exact"}):
        pass
    for path in (results.model, results.deviations):
        path.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_module, "load_model", lambda *_: model_of(ExactFlow(function)))
        patch.setattr(flow_module, "load_deviations", lambda _: (Off(), "exact"))
        fields(FieldsSettings(times=3, layers=3), results)
        score(ScoreSettings(), results)
    write_records(results)
    pd.DataFrame({"step": [0, 1], "mass": [1.0, 0.1]}).to_csv(results.history, index=False)
    for picture in (results.tracks_picture, results.groups_picture):
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(PNG)
    report(ReportSettings(), results)
    return shape, folder


def test_page_lists_every_opening_and_the_sum(finished):
    shape, folder = finished
    page = (folder / "report.html").read_text()
    table = pd.read_csv(folder / "fields" / "hydraulics.csv")
    summary = json.loads((folder / "summary.json").read_text())
    names = [opening.name for opening in shape.openings]
    assert [opening["name"] for opening in summary["openings"]] == names
    rates = np.array([opening["mean_flow_rate_m3_s"] for opening in summary["openings"]])
    np.testing.assert_allclose(rates, [table[f"flow_rate_{n}_m3_s"].mean() for n in names])
    through = np.abs(rates).sum() / 2
    assert table.flow_rate_m3_s[0] == pytest.approx(through)
    imbalance = abs(rates.sum()) / through
    assert summary["mass_imbalance"] == pytest.approx(imbalance, abs=1e-9)
    judged = summary["quality"]["quantities"]["mass_imbalance"]
    assert judged["value"] == pytest.approx(100 * imbalance, abs=1e-6)
    for name in names:
        assert f"<tr><th>{name}</th>" in page
    assert f"<tr><th>sum: {100 * imbalance:.2f} % of the flow rate</th>" in page
    lines = headlines(summary)
    assert all(f"mean flow rate out of {name}" in lines for name in names)
    assert lines["sum of the flow rates"] == f"{100 * imbalance:.2f} % of the flow rate"
    # Deviations of five percent of the flow are five percent of what follows from it.
    for column in ("flow_rate", *(f"flow_rate_{name}" for name in names)):
        deviation = table[f"{column}_std_m3_s"] / table[f"{column}_m3_s"].abs()
        np.testing.assert_allclose(deviation, 0.05, rtol=1e-2)
    pictures = re.findall(r'src="data:image/webp', page)
    # A steady flow at one phase, its walls, the openings, histograms, the training.
    assert len(pictures) == 5
    assert len(page) < 12e6


@pytest.mark.parametrize("finished", ["body"], indirect=True)
def test_fields_of_a_body_in_a_stream(finished):
    """Deviations are five percent of the flow also between the points where they are computed."""
    folder = finished[1]
    volume = pv.read(folder / "fields" / "volume_0000.vtu")
    wrong = volume["velocity_std"] - 0.05 * np.abs(volume["velocity"])
    assert np.linalg.norm(wrong) < 0.1 * np.linalg.norm(volume["velocity_std"])
    wall = pv.read(folder / "fields" / "wall_0000.vtp")
    size = np.linalg.norm(wall["wall_shear_stress"], axis=1)
    # mu 3 U / (2 a) sin(angle to the stream), Stokes 1851.
    along = (wall.points[:, 0] - ORIGIN[0]) / SCALES.length - CENTRE[0]
    sine = np.sqrt(np.maximum(1 - (along / SPHERE) ** 2, 0))
    expected = 1.5 * STREAM / SPHERE * SCALES.viscosity * SCALES.shear_rate * sine
    np.testing.assert_allclose(size, expected, atol=2e-3 * expected.max())


@pytest.mark.browser
@pytest.mark.parametrize("finished", ["body"], indirect=True)
def test_browser_draws_a_body_in_a_stream(request, finished, tmp_path):
    need(request, "browser", "chromium")
    check_page((finished[1] / "report.html").read_text(), tmp_path, coloured=0.002)


def write_stokes_truth(path):
    """Write the truth of creeping flow round the sphere, of which no flow rate is known."""
    rng = np.random.default_rng(5)
    at = rng.uniform(-BOX, BOX, (500, 3))
    offset = at - CENTRE
    at, offset = (v[np.linalg.norm(offset, axis=1) > 1.02 * SPHERE] for v in (at, offset))
    flow = value(stokes, np.insert(at, 0, 0.0, axis=1))
    stream = STREAM * np.array([1.0, 0, 0])
    cubes = np.linalg.norm(offset, axis=1, keepdims=True) ** 3
    normal = rng.normal(size=(300, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    stress = 1.5 * (stream - (normal @ stream)[:, None] * normal) / SPHERE
    fields = {
        "points/position": at * SCALES.length + ORIGIN,
        "points/velocity": flow[None, :, :3] * SCALES.velocity,
        "points/pressure": flow[None, :, 3] * SCALES.pressure,
        "points/vorticity": 1.5
        * SPHERE
        * np.cross(offset, stream)[None]
        / cubes
        * SCALES.shear_rate,
        "wall/position": (CENTRE + SPHERE * normal) * SCALES.length + ORIGIN,
        "wall/normal": -normal,
        "wall/wall_shear_stress": stress[None] * SCALES.viscosity * SCALES.shear_rate,
    }
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            file[name] = values


def test_truth_of_a_body_in_a_stream_without_a_flow_rate(tmp_path):
    """A flow that is a tenth too fast; on the wall the stress is read on flat triangles."""
    write_stokes_truth(tmp_path / "truth.h5")
    case = general_case(box_with_sphere(), stokes)
    model = model_of(ExactFlow(lambda q: 1.1 * stokes(q)))
    with h5py.File(tmp_path / "truth.h5") as file:
        found = against_truth(file, case, model)
    assert set(found.errors) == {"velocity", "u", "v", "w", "pressure", "vorticity", "wss"}
    for name, error in found.errors.items():
        assert error == pytest.approx(0.1, rel=0.05 if name == "wss" else 1e-6)
    assert np.isnan(found.differences.flow_rate).all()
    assert np.isnan(found.differences.pressure_drop).all()
    shares = coverage(flow_module.Flow(case, model, Off()), found)
    assert set(shares) == {"nominal", "u", "v", "w", "pressure", "wss"}
    truth = TrueFields(found.differences, SCALES)
    wall = case.wall
    wrong = truth.on_vertices(wall.points * SCALES.length + ORIGIN, 0.3)
    along = wall.normals[:, :1] * wall.normals
    tangential = np.array([1.0, 0, 0]) - along
    expected = 0.15 * STREAM / SPHERE * SCALES.viscosity * SCALES.shear_rate * tangential
    assert np.linalg.norm(wrong - expected) < 0.15 * np.linalg.norm(expected)


def test_cuts_are_the_planes_through_the_middle_without_the_body():
    shape = box_with_sphere()
    region = Region(shape.wall, shape.openings)
    found = cuts(region, SCALES)
    assert [cut.normal for cut in found] == [0, 1, 2]
    for cut in found:
        at = (cut.points - ORIGIN) / SCALES.length
        np.testing.assert_allclose(at[:, cut.normal], 0, atol=1e-6)
        a, b, c = at[cut.triangles].transpose(1, 0, 2)
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
        face = 4 * np.prod(np.delete(BOX, cut.normal))
        disc = np.pi * (SPHERE**2 - CENTRE[cut.normal] ** 2)
        assert area == pytest.approx(face - disc, rel=0.01)
        assert POINTS / 2 < len(at) < 2 * POINTS
        # The rim closes round the face and round the body.
        assert np.all(np.bincount(cut.rim.ravel())[np.unique(cut.rim)] == 2)


def test_the_nearest_triangles_are_drawn_last_and_right_is_right():
    """Seen from the positive end of z, x runs to the right where y runs up."""
    flat = np.array([[4.0, 0, 0], [0, 2, 0], [-4, -2, 0], [0, 0, 1]])
    front, back, _ = sides(flat)
    assert (front.towards, front.sign, front.first, front.second) == (2, 1, 0, 1)
    assert not front.mirrored
    assert back.mirrored
    triangles = np.array([[0, 1, 3], [0, 1, 2]])
    assert in_front(flat, triangles, front)[-1].tolist() == [0, 1, 3]
    assert in_front(flat, triangles, back)[-1].tolist() == [0, 1, 2]


def test_a_fine_wall_is_coarsened_for_the_view():
    sphere = pv.Sphere(theta_resolution=120, phi_resolution=120)
    points, triangles = sphere.points.astype(float), sphere.regular_faces
    wall = WallSeries(points, triangles, np.zeros((1, 0, 3)), np.zeros((1, 0)), {})
    kept, coarse = coarsened(wall)
    assert MOST_VERTICES / 2 < len(kept) <= 1.05 * MOST_VERTICES
    assert coarse.max() < len(kept)
    area = pv.PolyData.from_regular_faces(points[kept], coarse).area
    assert area == pytest.approx(sphere.area, rel=0.02)
