"""The stage as a whole: files in, case out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.results import Results
from aiv_rba.settings import load_stage
from aiv_rba.stages.ingest import run
from tests.synthetic import SteadyTube, Tube, tube_of, write_tube_experiment


def ingested(folder: Path, **options: Any) -> Case:
    return again(write_tube_experiment(folder, **options))


def again(experiment: Path) -> Case:
    results = Results(experiment.parent)
    run.ingest(load_stage(experiment, "ingest"), results)
    return read_case(results.case)


def exact_velocity(case: Case, tube: Tube) -> np.ndarray:
    """Velocity in SI units, from the nondimensional points of the case."""
    scales = case.scales
    points = case.tracks.points[:, 1:] * scales.length + np.array(scales.origin)
    return tube.velocity(case.tracks.points[:, 0] * scales.time, points)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_case_holds_the_exact_flow(axis: str, tmp_path: Path) -> None:
    case, tube = ingested(tmp_path, axis=axis), tube_of(axis=axis)
    exact = exact_velocity(case, tube) / case.scales.velocity
    for name, values in case.tracks.velocity.items():
        np.testing.assert_allclose(values, exact[:, "uvw".index(name)], atol=2e-6)
    assert set(case.tracks.velocity) == ({"u", "v", "w"} if axis == "z" else {"u", "v"})
    assert case.axis == tube.along
    assert case.tracks.row.tolist() == list(range(600))
    assert np.sum(case.tracks.validation) == 240
    middle = np.array(tube.centre)
    middle[tube.along] += tube.length / 2
    np.testing.assert_allclose(case.scales.origin, middle, atol=1e-9)
    np.testing.assert_allclose(np.abs(case.wall.points).max(axis=0)[tube.along], 3.0, rtol=1e-6)
    assert (tmp_path / "pictures" / "tracks.png").read_bytes().startswith(b"\x89PNG")


def test_units_do_not_matter(tmp_path: Path) -> None:
    plain = ingested(tmp_path / "um")
    other = ingested(
        tmp_path / "mm", length_unit="mm", time_unit="ms", wall_unit="m", wall="vtp", axis="y"
    )
    np.testing.assert_allclose(other.tracks.points, plain.tracks.points, atol=2e-6)
    np.testing.assert_allclose(other.tracks.velocity["v"], plain.tracks.velocity["v"], atol=2e-6)
    np.testing.assert_array_equal(other.tracks.validation, plain.tracks.validation)
    assert other.scales.reynolds == plain.scales.reynolds


def test_velocities_from_differences(tmp_path: Path) -> None:
    case = ingested(tmp_path, ingest={"velocities": "differences"})
    exact = exact_velocity(case, tube_of())[:, 1] / case.scales.velocity
    # A fiftieth of a period apart: (omega h)^2 / 6 of the harmonic, which is at most 0.55 here.
    bound = 0.55 * (2 * np.pi / 50) ** 2 / 6
    assert np.abs(case.tracks.velocity["v"] - exact).max() < bound
    assert len(case.tracks.row) == 480
    assert "120 (ends of tracks)" in (tmp_path / "ingest.txt").read_text()


@pytest.mark.parametrize(
    ("ingest", "interval", "reason"),
    [
        # Rows are a fiftieth of a period of 0.303 s apart.
        ({"velocity_interval": "auto"}, 2 * 0.303 / 50, "two steps between rows of a track"),
        ({"velocities": "differences", "velocity_interval": "auto"}, 2 * 0.303 / 50, "two steps"),
        ({"velocity_interval": 0.02}, 0.02, "as given"),
        ({"velocity_interval": 0}, 0, "as given"),
    ],
)
def test_velocities_are_means_over_an_interval(
    ingest: dict[str, Any], interval: float, reason: str, tmp_path: Path
) -> None:
    case = ingested(tmp_path, ingest=ingest)
    assert case.interval * case.scales.time == pytest.approx(interval)
    assert reason in case.chosen["interval of the velocities"]
    assert reason in (tmp_path / "ingest.txt").read_text()


def test_a_steady_flow_has_no_interval(tmp_path: Path) -> None:
    case = ingested(tmp_path, tube=SteadyTube())
    assert case.interval == 0
    assert "interval of the velocities" not in case.chosen


@pytest.mark.parametrize(("outside", "rows"), [("drop", 570), ("keep", 600)])
def test_points_outside_are_counted(outside: str, rows: int, tmp_path: Path) -> None:
    experiment = write_tube_experiment(tmp_path, ingest={"outside": outside})
    table = pd.read_csv(tmp_path / "tracks.csv")
    table.loc[100:129, "x"] = 2600.0
    table.to_csv(tmp_path / "tracks.csv", index=False)
    case = again(experiment)
    assert len(case.tracks.row) == rows
    assert set(range(600)) - set(case.tracks.row) == (
        set(range(100, 130)) if outside == "drop" else set()
    )
    assert "30 (5 %)" in (tmp_path / "ingest.txt").read_text()


@pytest.mark.parametrize(("column", "rows"), [("z", 590), ("z_plane", 600)])
def test_a_nominal_depth_is_taken_with_tolerance(column: str, rows: int, tmp_path: Path) -> None:
    experiment = write_tube_experiment(tmp_path)
    table = pd.read_csv(tmp_path / "tracks.csv")
    table.loc[:9, ["x", "z"]] = [2000.0, -1000.0 + 1.03 * 500]
    table.rename(columns={"z": column}).to_csv(tmp_path / "tracks.csv", index=False)
    assert len(again(experiment).tracks.row) == rows


def test_annular_lumen(tmp_path: Path) -> None:
    case = ingested(tmp_path, inner=0.4)
    tube = tube_of(inner=0.4)
    assert case.lumen == "annular"
    assert np.bincount(case.wall.patch).tolist() == [912, 912]
    points = case.wall.points * case.scales.length + np.array(case.scales.origin)
    for patch, radius, sign in ((0, 1.0, 1.0), (1, 0.4, -1.0)):
        vertices = np.unique(case.wall.triangles[case.wall.patch == patch])
        distance = tube.radius_of(points[vertices]) / tube.radius
        np.testing.assert_allclose(distance, radius, rtol=1e-5)
        away = case.wall.points[vertices] * [1, 0, 1]
        along = np.einsum("ij,ij->i", case.wall.normals[vertices], away) / radius
        assert np.all(sign * along > 0.99)


def test_identity_depends_on_contents_and_settings_alone(tmp_path: Path) -> None:
    first = ingested(tmp_path / "a").identity
    assert ingested(tmp_path / "b").identity == first
    assert ingested(tmp_path / "c", ingest={"split": {"seed": 1}}).identity != first
    assert ingested(tmp_path / "d", noise=0.01).identity != first


def test_summary_tells_scales_noise_and_doubts(tmp_path: Path) -> None:
    ingested(tmp_path, noise=0.1, pulsation=0.0, ingest={"velocity_scale": 1.5e-5})
    text = (tmp_path / "ingest.txt").read_text()
    lines = {line[:30].strip(): line[30:] for line in text.splitlines() if line[:2] == "  "}
    assert lines["Reynolds number"] == "0.01079"
    assert lines["extent x, y, z"] == "1000 x 3000 x 1000 um"
    assert lines["rows read"] == "600"
    assert "rms velocity is" in text
    assert "check ingest.units.velocity" in text
    # The noise is 10 % of the rms, which is that of the axial velocity here.
    share = float(lines["rms v"].split("about ")[1].split(" %")[0])
    assert share == pytest.approx(10, rel=0.2)


def test_few_times_and_a_short_stretch_are_doubted(tmp_path: Path) -> None:
    experiment = write_tube_experiment(tmp_path)
    table = pd.read_csv(tmp_path / "tracks.csv")
    table["t"] *= 1e-3
    table["y"] = 2500 + (table["y"] - 2500) * 1e-3
    table.to_csv(tmp_path / "tracks.csv", index=False)
    again(experiment)
    text = (tmp_path / "ingest.txt").read_text()
    assert "no row lies in 100 % of the period" in text
    assert "tracks cover only 0.091 % of the length" in text


def test_flow_across_the_planes_is_doubted_where_it_is_not_measured(tmp_path: Path) -> None:
    experiment = write_tube_experiment(tmp_path, axis="z", noise=0.1)
    table = pd.read_csv(tmp_path / "tracks.csv").drop(columns="w")
    table.to_csv(tmp_path / "tracks.csv", index=False)
    assert set(again(experiment).tracks.velocity) == {"u", "v"}
    assert "the axial velocity w is not measured" in (tmp_path / "ingest.txt").read_text()


@pytest.mark.parametrize("stage", ["draw", "summarise", "write_case"])
def test_a_full_disk_leaves_nothing(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    experiment = write_tube_experiment(tmp_path / "data")
    monkeypatch.setattr(run, stage, full)
    out = tmp_path / "out"
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        run.ingest(load_stage(experiment, "ingest"), Results(out))
    assert not [path for path in out.rglob("*") if path.is_file()]
