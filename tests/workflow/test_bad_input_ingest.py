"""Every mistake in the input of ingestion is told in one line, and leaves no output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pyvista as pv
import yaml

from aiv_rba.cli import main
from tests.stages import prepare
from tests.synthetic import write_tube_experiment

pytestmark = pytest.mark.filterwarnings("error")

Change = Callable[[Path], None]


def run(experiment: Path, out: Path) -> int:
    return main(["ingest", str(prepare(out, experiment).folder)])


def written(out: Path) -> set[Path]:
    """Files that the stage made, but for its log."""
    made = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    return {path for path in made if path.parts[0] not in ("settings", "logs")}


def text(edit: Callable[[str], str]) -> Change:
    """Change the text of tracks.csv."""

    def change(folder: Path) -> None:
        path = folder / "tracks.csv"
        path.write_text(edit(path.read_text()))

    return change


def cell(line: int, column: str, value: str) -> Change:
    """Put a value into a line (the header is line 1) and column of tracks.csv."""

    def edit(content: str) -> str:
        lines = content.splitlines()
        cells = lines[line - 1].split(",")
        cells[lines[0].split(",").index(column)] = value
        lines[line - 1] = ",".join(cells)
        return "\n".join(lines)

    return text(edit)


def table(edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    """Change the table of tracks.csv."""

    def change(folder: Path) -> None:
        edit(pd.read_csv(folder / "tracks.csv")).to_csv(folder / "tracks.csv", index=False)

    return change


def wall(edit: Callable[[pv.PolyData], pv.PolyData], name: str = "wall") -> Change:
    """Change wall.stl, given in um."""

    def change(folder: Path) -> None:
        mesh = pv.read(folder / f"{name}.stl").clean(tolerance=1e-6)
        edit(mesh).save(folder / f"{name}.stl")

    return change


def config(**keys: Any) -> Change:
    """Change keys of the section."""

    def change(folder: Path) -> None:
        path = folder / "experiment.yaml"
        document = yaml.safe_load(path.read_text())
        document["ingest"] |= keys
        path.write_text(yaml.safe_dump(document))

    return change


def content(name: str, data: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(data) and None


def without(mesh: pv.PolyData, number: int) -> pv.PolyData:
    return pv.PolyData.from_regular_faces(mesh.points, np.delete(mesh.regular_faces, number, 0))


def with_fin(mesh: pv.PolyData) -> pv.PolyData:
    a, b, _ = mesh.regular_faces[400]
    points = np.vstack([mesh.points, mesh.points[a] + [900.0, 40.0, 900.0]])
    fin = [[a, b, len(mesh.points)]]
    return pv.PolyData.from_regular_faces(points, np.vstack([mesh.regular_faces, fin]))


def with_shifted_copy(mesh: pv.PolyData) -> pv.PolyData:
    return mesh.merge(mesh.translate([5000.0, 0.0, 0.0]))


def along_x(mesh: pv.PolyData) -> pv.PolyData:
    mesh.points = mesh.points[:, [1, 0, 2]]
    return mesh


def closed_sphere(mesh: pv.PolyData) -> pv.PolyData:
    return pv.Sphere(radius=500.0, center=mesh.center)


def capped_below(mesh: pv.PolyData) -> pv.PolyData:
    cone = pv.Cone(
        center=mesh.center,
        direction=(0, 1, 0),
        height=3000,
        radius=500,
        resolution=24,
        capping=False,
    )
    return cone.triangulate()


def moebius(mesh: pv.PolyData) -> pv.PolyData:
    s = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rows = []
    for width in (-200.0, 200.0):
        radius = 1000 + width * np.cos(s / 2)
        rows.append(np.stack([radius * np.cos(s), radius * np.sin(s), width * np.sin(s / 2)], 1))
    a, b = np.arange(24), np.arange(24) + 24
    c, d = np.append(a[1:], 24), np.append(b[1:], 0)
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([c, d, b], 1)])
    return pv.PolyData.from_regular_faces(np.concatenate(rows), faces)


def pushed_out(mesh: pv.PolyData) -> pv.PolyData:
    mesh.points[200] += [900.0, 0.0, 900.0]
    return mesh


def not_finite(folder: Path) -> None:
    mesh = pv.read(folder / "wall.stl")
    mesh.points[5, 0] = np.inf
    mesh.save(folder / "wall.vtp")
    config(wall=str(folder / "wall.vtp"))(folder)


def shortened(mesh: pv.PolyData) -> pv.PolyData:
    mesh.points[:, 1] = 1000 + 0.5 * (mesh.points[:, 1] - 1000)
    return mesh


CASES: dict[str, tuple[Change, str]] = {
    # The file of tracks.
    "tracks missing": (lambda f: (f / "tracks.csv").unlink(), "tracks.csv: not found, expected"),
    "tracks empty": (content("tracks.csv", b""), "tracks.csv: empty, expected a header"),
    "tracks binary": (content("tracks.csv", b"t,x\n\xff\xfe\x00\n"), "not a readable CSV file"),
    "header only": (table(lambda t: t[:0]), "found 0 rows of data, expected at least 10"),
    "few rows": (table(lambda t: t[:9]), "found 9 rows of data, expected at least 10"),
    "column missing": (
        table(lambda t: t.drop(columns="u")),
        "line 1: column 'u' is missing, found track, plane, t, x, y, z, v",
    ),
    "no track": (table(lambda t: t.drop(columns="track")), "line 1: column 'track' is missing"),
    "no depth": (table(lambda t: t.drop(columns="z")), "column z or z_plane is missing"),
    "two depths": (table(lambda t: t.assign(z_plane=t["z"])), "found both z and z_plane"),
    "column twice": (
        text(lambda s: s.replace("plane", "t", 1)),
        "line 1: column 't' is there twice, expected once",
    ),
    "column unknown": (table(lambda t: t.assign(speed=1.0)), "line 1: unknown column 'speed'"),
    "semicolons": (text(lambda s: s.replace(",", ";")), "column 't' is missing, found track;plane"),
    "line too long": (
        text(lambda s: s.replace("\n", ",1\n", 5).replace(",1\n", "\n", 4)),
        "Expected 8 fields in line 5, saw 9",
    ),
    "line too short": (
        text(lambda s: s.replace("\n", "\n0,0,0.1,2000\n", 1)),
        "line 2, column y: found nothing, expected a finite number",
    ),
    "not a number": (cell(7, "x", "12,5"), "Expected 8 fields in line 7, saw 9"),
    "a word": (cell(7, "x", "lost"), "line 7, column x: found 'lost', expected a finite number"),
    "blank cell": (cell(3, "v", ""), "line 3, column v: found nothing, expected a finite number"),
    "nan": (cell(601, "u", "nan"), "line 601, column u: found 'nan', expected a finite number"),
    "inf": (cell(2, "y", "-inf"), "line 2, column y: found '-inf', expected a finite number"),
    "line after blank lines": (
        text(lambda s: s.replace("\n", "\n\n\n", 1).replace("0,0,", "0,0,oops", 1)),
        "line 4, column t: found 'oops",
    ),
    "track not whole": (cell(5, "track", "0.5"), "column track: found '0.5', expected an integer"),
    "plane not whole": (cell(5, "plane", "1.5"), "column plane: found '1.5', expected an integer"),
    "row twice": (
        table(lambda t: pd.concat([t, t[40:41]])),
        "line 602: repeats line 42, expected every row once",
    ),
    "time after the cycle": (
        cell(9, "t", "0.303"),
        "line 9, column t: found 0.303 s, expected 0 <= t < 0.303 s, the period: times are",
    ),
    "time negative": (cell(9, "t", "-0.01"), "line 9, column t: found -0.01 s, expected 0 <= t"),
    # Velocities from differences.
    "same time twice": (
        lambda f: (
            config(velocities="differences")(f),
            table(lambda t: t.assign(t=t["t"].where(t.index != 5, t["t"][4])))(f),
        )[0],
        "line 7: same time as the row before in track 0, expected distinct times",
    ),
    "tracks too short": (
        lambda f: (
            config(velocities="differences")(f),
            table(lambda t: t.assign(track=np.arange(len(t)) // 2))(f),
        )[0],
        "found 0 rows with both neighbours in their track, expected at least 10",
    ),
    "rows backwards": (
        lambda f: (config(velocities="differences")(f), table(lambda t: t[::-1])(f))[0],
        "rows of a track are 0.98 periods apart, expected rows in order of time",
    ),
    # Units, scales, split.
    "length unit": (config(units={"length": "s"}), "ingest.units.length: unit 's' has dimension"),
    "time unit": (config(units={"time": "fortnigth"}), "ingest.units.time: unknown unit"),
    "velocity unit": (config(units={"velocity": "um"}), "ingest.units.velocity: unit 'um' has"),
    "wall unit": (config(units={"wall": "um/s"}), "ingest.units.wall: unit 'um/s' has dimension"),
    "key unknown": (config(axes="y"), "ingest.axes: unknown key"),
    "axis unknown": (config(axis="s"), "ingest.axis: found 's'"),
    "period negative": (config(period=-1.0), "ingest.period: found -1.0"),
    "one track": (
        table(lambda t: t.assign(track=1)),
        "ingest.split: found no validation rows with train: 0.6 by track of 1 tracks and 600 rows",
    ),
    "no training": (
        config(split={"by": "point", "train": 1e-4}),
        "ingest.split: found no training rows with train: 0.0001 by point",
    ),
    # The wall.
    "wall missing": (config(wall="nowhere.stl"), "nowhere.stl: not found, expected a triangulated"),
    "wall of unknown kind": (
        lambda f: (config(wall=str(f / "wall.off"))(f), (f / "wall.off").write_text("OFF"))[0],
        "found extension '.off', expected one of .stl, .ply, .obj, .vtp, .vtk, .nii, .nii.gz, "
        ".nrrd",
    ),
    "wall garbled": (
        content("wall.stl", b"solid of nothing"),
        "wall.stl: not a readable .stl file of triangles",
    ),
    "wall empty": (content("wall.stl", b""), "wall.stl: not a readable .stl file of triangles"),
    "wall not finite": (not_finite, "found a vertex that is not finite, expected numbers"),
    "wall flat": (wall(lambda m: m.scale([1, 1, 0])), "expected a three-dimensional wall"),
    "wall with a hole": (
        wall(lambda m: without(m, 400)),
        "a hole of 3 edges near (",
    ),
    "tube with a hole": (
        lambda f: (config(vessel="tube")(f), wall(lambda m: without(m, 400))(f))[0],
        "open sideways: 3 openings, a hole of 3 edges near (",
    ),
    "wall non-manifold": (wall(with_fin), "non-manifold: 3 triangles share an edge near ("),
    "wall in pieces": (wall(with_shifted_copy), "found 2 separate pieces, one near ("),
    "wall along x": (
        wall(along_x),
        "axis is 'y', but the ends of the wall lie along x, expected ingest.axis: x",
    ),
    "axis across": (config(axis="z"), "the wall lie along y, expected ingest.axis: y"),
    "wall closed": (wall(closed_sphere), "the wall is closed, expected an opening or a flat end"),
    "tube closed": (
        lambda f: (config(vessel="tube")(f), wall(closed_sphere)(f))[0],
        "the wall is closed, expected two open or flat ends along y",
    ),
    "tube open once": (
        lambda f: (config(vessel="tube")(f), wall(capped_below)(f))[0],
        "found one opening, near (",
    ),
    "boundary unknown": (
        config(boundaries={"inlet": "open"}),
        "ingest.boundaries.inlet: found no such face of",
    ),
    "box upside down": (
        config(wall={"box": {"x": [0, 1], "y": [1, 0], "z": [0, 1]}}),
        "expected a lower and a higher value of y",
    ),
    "shape unknown": (config(wall={"sphere": {"radius": 1}}), "ingest.wall.sphere: unknown key"),
    "box without a wall": (
        config(wall={"box": {"x": [1500, 2500], "y": [1000, 4000], "z": [-1500, -500]}}),
        "the box: all its faces are open, expected a wall among ingest.boundaries, or a body",
    ),
    "wall one-sided": (wall(moebius), "the wall has only one side (Moebius)"),
    # Tracks and wall together.
    "wall in another unit": (
        config(units={"wall": "mm"}),
        "no row lies inside",
    ),
    "tracks elsewhere": (
        table(lambda t: t.assign(x=t["x"] + 9000.0)),
        "expected them to overlap: check ingest.units",
    ),
    "one row outside": (
        lambda f: (config(outside="error")(f), cell(42, "x", "2600")(f))[0],
        "line 42: 1 of 600 rows lie outside",
    ),
    "all but some outside": (
        table(lambda t: t.assign(x=t["x"].where(t.index < 5, 9000.0))),
        "found 5 rows inside the wall, expected at least 10",
    ),
}

ANNULAR = {
    "inner wall wider": (
        lambda f: config(wall=str(f / "inner_wall.stl"), inner_wall=str(f / "wall.stl"))(f),
        "480 vertices of the inner wall lie outside the outer wall",
    ),
    "inner wall through the outer": (
        wall(pushed_out, "inner_wall"),
        "1 of 480 vertices of the inner wall lie outside the outer wall",
    ),
    "inner wall short": (
        wall(shortened, "inner_wall"),
        "the ends of the walls are 50 % of the length apart along y",
    ),
}


def fails(folder: Path, change: Change, fragment: str, capfd: pytest.CaptureFixture[str]) -> None:
    change(folder)
    out = folder / "out"
    assert run(folder / "experiment.yaml", out) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("aiv-rba ingest: error: ")
    assert captured.err.count("\n") == 1, captured.err
    assert fragment in captured.err
    assert not written(out)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_tube_experiment(tmp_path)
    fails(tmp_path, *CASES[name], capfd)


@pytest.mark.parametrize("name", ANNULAR)
def test_bad_inner_wall(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_tube_experiment(tmp_path, inner=0.4)
    fails(tmp_path, *ANNULAR[name], capfd)


@pytest.mark.parametrize("blocked", ["case.h5", "ingest.txt", "pictures/tracks.png"])
def test_output_that_cannot_be_written_leaves_none(
    blocked: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    experiment = write_tube_experiment(tmp_path)
    out = tmp_path / "out"
    (out / blocked).mkdir(parents=True)
    assert run(experiment, out) == 2
    assert f"{blocked}: is a folder, expected the name of a file" in capfd.readouterr().err
    assert not written(out)


@pytest.mark.parametrize("extension", ["stl", "ply", "obj", "vtp", "vtk", "nii", "nii.gz", "nrrd"])
def test_garbled_wall_of_every_kind(
    extension: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_tube_experiment(tmp_path, ingest={"wall": str(tmp_path / f"wall.{extension}")})
    garbage = content(f"wall.{extension}", b"\x00garbage\n" * 40)
    image = extension not in ("stl", "ply", "obj", "vtp", "vtk")
    what = "image of labels" if image else f".{extension} file of triangles"
    fails(tmp_path, garbage, f"not a readable {what}", capfd)
    # VTK is silent; what is logged is what the command says.
    assert {record.name for record in caplog.records} == {"aiv_rba"}
