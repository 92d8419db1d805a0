"""Every format of tracks: real samples where there are any, and files written as programs do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from aiv_rba.cli import main
from aiv_rba.errors import UserError
from aiv_rba.settings import Fluid, IngestSettings, ReadingSettings
from aiv_rba.stages.ingest.columns import Columns, read_columns
from aiv_rba.stages.ingest.tracks import read_tracks

SAMPLES = Path(__file__).parents[1] / "data" / "tracks"
WATER = Fluid(density=1000.0, viscosity=1e-3)


def read(*paths: Path, complete: bool = True, **settings: Any) -> Columns:
    return read_columns(paths, ReadingSettings(**settings), complete=complete)


def table_of(rows: int = 12) -> pd.DataFrame:
    """A table of two tracks in plain names."""
    number = np.arange(rows)
    return pd.DataFrame(
        {
            "t": 0.01 * (number // 2),
            "x": 1.5 * number,
            "y": -2.0 + number,
            "z": 0.25 * number,
            "u": 3.0 - number,
            "v": 4.0 * number,
            "w": 5.0 + number,
            "track": 7 + number % 2,
        }
    )


def same(columns: Columns, expected: pd.DataFrame) -> None:
    """The columns hold these numbers."""
    pd.testing.assert_frame_equal(
        columns.table[list(expected)], expected, check_dtype=False, rtol=1e-12
    )


# Samples of other programs.


def test_trackpy_sample() -> None:
    columns = read(SAMPLES / "trackpy.csv", frame_rate=50.0, plane_depth=12.0)
    assert columns.table["track"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2]
    assert columns.table["t"].tolist() == [i / 50 for i in (0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2)]
    assert columns.table["x"][6] == 191.88607198748045
    assert set(columns.table["z_plane"]) == {12.0}
    assert not columns.measured
    assert columns.where(6).endswith("trackpy.csv: line 8")
    notes = " ".join(columns.notes)
    assert "trackpy has no velocities, so they are differences" in notes
    assert "not used: mass, size, ecc, signal, raw_mass, ep" in notes


def test_trackmate_sample() -> None:
    columns = read(SAMPLES / "trackmate.xml", units={"length": "0.5 um"})
    table = columns.table
    assert len(table) == 12
    assert table["track"].value_counts().to_dict() == {0: 6, 1: 6}
    first = table[table["track"] == 0].sort_values("t")
    assert first["x"].tolist()[:3] == [19.267282188493684, 16.39265683453386, 15.509981967554731]
    assert first["t"].tolist() == [0, 1, 2, 3, 4, 5]
    assert "3 of 15 rows belong to no track" in " ".join(columns.notes)


def test_openptv_sample() -> None:
    columns = read(SAMPLES / "openptv", frame_rate=10.0)
    first, second = (columns.table[columns.table["t"] == frame / 10] for frame in (10001, 10002))
    track = dict(zip(zip(second["x"], second["y"], strict=True), second["track"], strict=True))
    # The second particle of the first frame is the second of the next, the third is the fourth.
    for old, new in (((22.335, 41.058), (21.970, 41.479)), ((24.206, 36.015), (23.955, 36.590))):
        before = first[(first["x"] == old[0]) & (first["y"] == old[1])]
        assert before["track"].item() == track[new]
    # Three begin here, and one is linked to a particle that was cut away.
    assert len(set(second["track"]) & set(first["track"])) == 6
    assert "1 of 20 rows belong to no track" in " ".join(columns.notes)


def test_myptv_sample() -> None:
    columns = read(SAMPLES / "myptv", frame_rate=100.0)
    assert columns.table["track"].tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1]
    assert columns.table.loc[11, ["x", "y", "z"]].tolist() == [42.378, 1.066, 3.163]
    assert columns.table["t"][11] == 0.05
    assert columns.where(0).endswith("myptv: line 1")


# Files written as the programs write them.


def test_trackmate_csv_has_four_lines_of_header(tmp_path: Path) -> None:
    path = tmp_path / "spots.csv"
    names = ("LABEL", "ID", "TRACK_ID", "POSITION_X", "POSITION_Y", "POSITION_Z", "POSITION_T")
    heads = ["Label,Spot ID,Track ID,X,Y,Z,T", "Label,Spot ID,Track ID,X,Y,Z,T"]
    units = ",,,(micron),(micron),(micron),(sec)"
    rows = ["ID1,1,0,1.5,2,0,0", "ID2,2,None,9,9,0,0", "ID3,3,,9,9,0,0", "ID4,4,0,2.5,3,0,0.1"]
    path.write_text("\n".join([",".join(names), *heads, units, *rows]))
    columns = read(path)
    assert columns.table["x"].tolist() == [1.5, 2.5]
    assert columns.table["t"].tolist() == [0, 0.1]
    assert columns.where(1).endswith("line 8")
    assert "2 of 4 rows belong to no track" in " ".join(columns.notes)
    with pytest.raises(UserError, match=r"'POSITION_X' is in micron, found ingest.units"):
        read(path, units={"length": "mm"})


def test_trackmate_exported_tracks(tmp_path: Path) -> None:
    path = tmp_path / "tracks.xml"
    path.write_text(
        '<Tracks nTracks="2" spaceUnits="um" frameInterval="0.5" timeUnits="s">'
        '<particle nSpots="2"><detection t="0" x="1" y="2" z="3"/>'
        '<detection t="3" x="4" y="5" z="6"/></particle>'
        '<particle nSpots="1"><detection t="1" x="7" y="8" z="9"/></particle></Tracks>'
    )
    expected = {"track": [0, 0, 1], "t": [0, 1.5, 0.5], "x": [1, 4, 7], "z": [3, 6, 9]}
    same(read(path), pd.DataFrame(expected))


def test_myptv_smoothed_trajectories_have_velocities(tmp_path: Path) -> None:
    path = tmp_path / "smoothed"
    path.write_text("4\t1\t2\t3\t10\t20\t30\t0\t0\t0\t7\n-1\t1\t2\t3\t0\t0\t0\t0\t0\t0\t8\n")
    columns = read(path, frame_rate=1.0)
    expected = {"track": [4], "t": [7], "x": [1], "u": [10], "v": [20], "w": [30]}
    same(columns, pd.DataFrame(expected))
    assert columns.measured


@pytest.mark.parametrize("zones", [True, False])
def test_tecplot(zones: bool, tmp_path: Path) -> None:
    table = table_of()
    path = tmp_path / "particles.dat"
    names = ("X", "Y", "Z", "U", "V", "W", "trackID")
    columns = ["x", "y", "z", "u", "v", "w", "track"]
    lines = ['TITLE = "particles"', "VARIABLES = " + " ".join(f'"{name}"' for name in names)]
    for number, (time, part) in enumerate(table.groupby("t")):
        lines.append(f'ZONE T="Snapshot {number}", I={len(part)}, F=POINT')
        lines += [f"STRANDID=1, SOLUTIONTIME={time}"] if zones else []
        lines += [" ".join(map(str, row)) for row in part[columns].to_numpy()]
    path.write_text("\n".join(lines) + "\n")
    if zones:
        found = read(path)
        same(found, table)
        assert found.where(0).endswith(f"line {5}")
    else:
        # Without times, zones count as frames, the first being number one.
        same(read(path, frame_rate=100.0), table.assign(t=table["t"] + 0.01))


def test_davis(tmp_path: Path) -> None:
    path = tmp_path / "stb.dat"
    names = '"x [mm]" "y [mm]" "z [mm]" "u [m/s]" "v [m/s]" "w [m/s]" "|V| [m/s]" "I"'
    head = f'VARIABLES = {names} "time step" "track id" "ax [m/s²]"\nZONE T="tracks"\n'
    path.write_text(head + "1 2 3 0.1 0.2 0.3 0.4 99 5 17 0\n", encoding="utf-8")
    units = {"length": "mm", "velocity": "m/s"}
    columns = read(path, frame_rate=1000.0, units=units)
    same(columns, pd.DataFrame({"x": [1], "u": [0.1], "w": [0.3], "track": [17], "t": [0.005]}))
    with pytest.raises(UserError, match=r"is in m/s, found ingest.units.velocity: um/s"):
        read(path, frame_rate=1000.0, units={"length": "mm"})


def test_flowtracks(tmp_path: Path) -> None:
    kind = [("trajid", "i8"), ("velocity", "f8", 3), ("pos", "f8", 3), ("time", "f8")]
    rows = np.zeros(3, dtype=kind)
    rows["trajid"], rows["time"] = [0, 0, 1], [10001, 10002, 10001]
    rows["pos"], rows["velocity"] = np.arange(9).reshape(3, 3), 10 + np.arange(9).reshape(3, 3)
    with h5py.File(tmp_path / "traj.h5", "w") as file:
        file["particles"] = rows
    expected = {"track": [0, 0, 1], "x": [0, 3, 6], "z": [2, 5, 8], "v": [11, 14, 17]}
    same(
        read(tmp_path / "traj.h5", frame_rate=10.0),
        pd.DataFrame(expected | {"t": [1000.1, 1000.2, 1000.1]}),
    )


@pytest.mark.parametrize("kind", ["vectors", "structure", "structures"])
def test_matlab(kind: str, tmp_path: Path) -> None:
    table, path = table_of(), tmp_path / "tracks.mat"
    arrays = {name: table[name].to_numpy() for name in table}
    if kind == "vectors":
        savemat(path, arrays)
    elif kind == "structure":
        savemat(path, {"tracks": arrays})
    else:
        # As the post-processing of 3D-PTV: a structure for every trajectory.
        names = {**{name: f"{name}f" for name in "xyzuvw"}, "t": "t", "track": "trajid"}
        tracks = np.empty(2, dtype=[(name, object) for name in names.values()])
        for number, (track, part) in enumerate(table.groupby("track")):
            for name in part:
                tracks[number][names[name]] = part[name].to_numpy()[:, None]
            tracks[number]["trajid"] = track
        savemat(path, {"traj": tracks})
        table = table.sort_values("track", kind="stable", ignore_index=True)
    same(read(path), table)


def test_numpy_and_parquet(tmp_path: Path) -> None:
    table = table_of()
    np.savez(tmp_path / "tracks.npz", **{name: table[name].to_numpy() for name in table})
    same(read(tmp_path / "tracks.npz"), table)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "tracks.parquet")
    same(read(tmp_path / "tracks.parquet"), table)


def test_columns_separators_commas_and_encodings(tmp_path: Path) -> None:
    table = table_of()
    named = table.rename(columns={"t": "Zeit", "x": "X_µm", "track": "Spur"})
    path = tmp_path / "tracks.csv"
    named.to_csv(path, index=False, sep=";", decimal=",", encoding="latin-1")
    columns = {"t": "Zeit", "x": "X_µm", "track": "Spur"}
    same(read(path, columns=columns, decimal=",", encoding="latin-1"), table)
    table.to_csv(path, index=False, sep="\t")
    same(read(path), table)
    path.write_text(table.to_string(index=False))
    same(read(path), table)


def test_files_of_planes_are_joined(tmp_path: Path) -> None:
    table = table_of().drop(columns=["z", "w"])
    files = [tmp_path / name for name in ("deep.csv", "high.csv")]
    for path in files:
        table.to_csv(path, index=False)
    config = IngestSettings(
        tracks=tuple(map(str, files)),
        wall="wall.stl",
        fluid=WATER,
        period=1.0,
        plane_depth=(30.0, 10.0),
    )
    found = read_tracks(config)
    assert found.plane.tolist() == 12 * [1] + 12 * [0]
    assert found.nominal_depth
    np.testing.assert_allclose(found.position[:, 2], np.repeat([30e-6, 10e-6], 12))
    assert found.track.tolist() == [*table["track"], *(table["track"] + 2)]
    assert found.row.tolist() == list(range(24))
    assert found.where(12) == f"{files[1]}: line 2"
    table.assign(w=1.0).to_csv(files[1], index=False)
    with pytest.raises(UserError, match=r"high.csv: column 'w' is in this file or in"):
        read_tracks(config)


def test_absolute_times_are_wrapped_and_beats_counted(tmp_path: Path) -> None:
    table = table_of(40)
    path = tmp_path / "tracks.csv"
    table.to_csv(path, index=False)
    config = IngestSettings(tracks=str(path), wall="w.stl", fluid=WATER, period=0.05, phase="wrap")
    found = read_tracks(config)
    # 0.00 to 0.19 s in steps of 0.01 s; every fifth time is the beginning of a beat.
    np.testing.assert_allclose(found.time, 0.01 * (np.arange(40) // 2 % 5), atol=1e-15)
    assert "times span 0.19 s; 4 beats are merged into one" in found.notes


def test_a_steady_flow_needs_no_times(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    table_of(24).drop(columns="t").to_csv(path, index=False)
    config = IngestSettings(tracks=str(path), wall="w.stl", fluid=WATER, flow="steady")
    assert not read_tracks(config).time.any()
    with pytest.raises(UserError, match="column 't' is missing"):
        read_tracks(replace(config, velocities="differences"))


def test_the_end_of_the_cycle_is_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    table_of(24).to_csv(path, index=False)
    config = IngestSettings(tracks=str(path), wall="w.stl", fluid=WATER, period=0.11)
    found = read_tracks(config)
    assert found.time[-2:].tolist() == [0, 0]
    assert found.time[:-2].tolist() == table_of(24)["t"].tolist()[:-2]


def test_unlinked_rows_are_left_out_and_lines_stay(tmp_path: Path) -> None:
    table = table_of()
    table.loc[3, "track"] = -1
    table.to_csv(tmp_path / "tracks.csv", index=False)
    columns = read(tmp_path / "tracks.csv")
    assert columns.row.tolist() == [0, 1, 2, *range(4, 12)]
    assert "1 of 12 rows belong to no track" in " ".join(columns.notes)


def test_convert_writes_plain_csv(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plain.csv"
    assert main(["convert", str(SAMPLES / "trackmate.xml"), str(out)]) == 0
    table = pd.read_csv(out)
    assert list(table) == ["track", "frame", "t", "x", "y", "z"]
    assert len(table) == 12
    assert "12 rows of 2 tracks in" in capfd.readouterr().out
    assert main(["convert", str(SAMPLES / "trackpy.csv"), str(out)]) == 0
    assert list(pd.read_csv(out)) == ["track", "frame", "x", "y"]
    assert main(["convert", str(tmp_path / "no.csv"), str(out)]) == 2


def test_convert_follows_an_experiment(tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(
        f"name: planes\ningest:\n  tracks: {SAMPLES / 'trackpy.csv'}\n  wall: wall.stl\n"
        "  frame_rate: 10\n  plane_depth: 3\n  period: 1\n"
        "  fluid: {density: 1000, viscosity: 1.0e-3}\n"
    )
    out = tmp_path / "plain.csv"
    assert main(["convert", str(experiment), str(out)]) == 0
    table = pd.read_csv(out)
    assert list(table) == ["track", "frame", "t", "x", "y", "z_plane"]
    assert table["t"][7] == 0.4


@pytest.mark.parametrize("name", ["a.mat", "a.npz", "a.h5", "a.xml", "a.parquet", "a.dat"])
def test_garbled_files_are_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"VARIABLES = garbage\n\x00\x01\n" * 30)
    with pytest.raises(UserError, match=str(path)):
        read(path)


def test_a_damaged_frame_of_openptv_is_told(tmp_path: Path) -> None:
    (tmp_path / "ptv_is.1").write_text("2\n -1 -2 1 2 3\n")
    with pytest.raises(UserError, match=r"ptv_is.1: found 1 rows of 5 columns, expected 2 of 5"):
        read(tmp_path)
