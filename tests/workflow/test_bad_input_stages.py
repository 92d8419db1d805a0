"""What a user can get wrong after ingestion: one line, exit code 2, nothing written."""

import json

import h5py
import pytest

from aiv_rba.cli import main
from aiv_rba.files.results import Results
from tests.exact import write_records, write_trained, write_truth
from tests.stages import prepare

HYDRAULICS = (
    "t_s,flow_rate_m3_s,flow_rate_spread_m3_s,pressure_drop_pa,hydraulic_resistance_pa_s_m3\n"
    "0,1,0,1,1\n"
)
SCORED = (
    *("validation", "amplitude_bias", "quality", "rows", "histograms", "suspicious"),
    "uncertainty",
)


def remove(name):
    return lambda folder: (folder / name).unlink()


def spoil(name):
    return lambda folder: (folder / name).write_text("this is not it {")


def without(dataset):
    def change(folder):
        with h5py.File(folder / "truth.h5", "a") as file:
            del file[dataset]

    return change


def settings(**sections):
    """Write the experiment file."""
    return lambda folder: (folder / "a.yaml").write_text(json.dumps(sections))


def finished(name, content):
    """Replace one of the files that the report reads; the others are as they should be."""

    def change(folder):
        scored = {"case": "exact"} | {
            "validation": {},
            "amplitude_bias": {},
            "quality": {"verdict": "good", "because": [], "quantities": {}},
            "rows": {},
            "histograms": {},
            "suspicious": {},
            "uncertainty": {"method": "none"},
        }
        write_records(Results(folder))
        for path, text in {
            "scores.json": json.dumps(scored),
            "fields/volume.pvd": "",
            "fields/wall.pvd": "",
            "fields/hydraulics.csv": HYDRAULICS,
            "history.csv": "step\n1\n",
            name: content,
        }.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)

    return change


def short_tracks(folder):
    without("tracks/u")(folder)
    with h5py.File(folder / "truth.h5", "a") as file:
        file["tracks/u"] = [0.0, 1.0]


def other_version(folder):
    with h5py.File(folder / "truth.h5", "a") as file:
        file.attrs["version"] = 99


BAD = {
    "points: no case": ("points", remove("case.h5"), "case.h5: not found"),
    "points: damaged case": ("points", spoil("case.h5"), "not a readable HDF5"),
    "points: no patches": ("points", settings(points={"n_y": 0}), "points.n_y: found 0"),
    "points: unknown key": ("points", settings(points={"n_x": 2}), "points.n_x: unknown key"),
    "points: unknown bins": ("points", settings(points={"bins": "any"}), "points.bins: found"),
    "points: empty patch": (
        "points",
        settings(points={"n_y": 1, "n_theta": 5000, "bins": "uniform"}),
        "holds no wall point",
    ),
    "points: fewer layers than sections": (
        "points",
        settings(points={"layers": 2, "n_r": 3}),
        "points.layers: found 2, expected at least n_r = 3",
    ),
    "points: fewer times than sections": (
        "points",
        settings(points={"time_levels": 2, "n_t": 3}),
        "points.time_levels: found 2, expected at least n_t = 3",
    ),
    "fields: no case": ("fields", remove("case.h5"), "case.h5: not found"),
    "fields: damaged case": ("fields", spoil("case.h5"), "not a readable HDF5"),
    "fields: no model": ("fields", remove("model.pt"), "model.pt: not found"),
    "fields: damaged model": ("fields", spoil("model.pt"), "not a readable torch file"),
    "fields: other case": ("fields", lambda f: write_trained(f, "other"), "belongs to case other"),
    "score: no case": ("score", remove("case.h5"), "case.h5: not found"),
    "score: no model": ("score", remove("model.pt"), "model.pt: not found"),
    "score: other case": ("score", lambda f: write_trained(f, "other"), "belongs to case other"),
    "score: no truth": ("score", remove("truth.h5"), "truth.h5: not found"),
    "score: damaged truth": ("score", spoil("truth.h5"), "not a readable HDF5"),
    "score: other version": ("score", other_version, "format version is 99"),
    "score: truth lacks WSS": ("score", without("wall/wall_shear_stress"), "damaged aiv_rba/truth"),
    "score: truth of other tracks": ("score", short_tracks, "has 2 rows, expected at least"),
    "report: no points": ("report", remove("points.h5"), "points.h5: not found"),
    "report: no scores": ("report", lambda f: None, "scores.json: cannot be read"),
    "report: scores of another kind": (
        "report",
        finished("scores.json", "[1, 2]"),
        "scores.json: 'case' is missing",
    ),
    "report: scores of another case": (
        "report",
        finished(
            "scores.json",
            json.dumps({"case": "b"} | dict.fromkeys(SCORED, 0)),
        ),
        "scores.json: belongs to case b",
    ),
    "report: record of another kind": (
        "report",
        finished("records/train.json", '{"seconds": 1}'),
        "train.json: 'training' is missing",
    ),
    "report: record not JSON": (
        "report",
        finished("records/fields.json", "{"),
        "fields.json: not valid JSON",
    ),
    "report: hydraulics of another kind": (
        "report",
        finished("fields/hydraulics.csv", "t_s,q\n0,1\n"),
        "hydraulics.csv: 'flow_rate_m3_s' is missing",
    ),
}


@pytest.mark.parametrize(("stage", "change", "message"), BAD.values(), ids=BAD)
def test_one_line_and_nothing_written(tmp_path, capsys, stage, change, message):
    write_trained(tmp_path)
    write_truth(tmp_path / "truth.h5")
    (tmp_path / "a.yaml").write_text(
        json.dumps({"score": {"truth": str(tmp_path / "truth.h5")}, "fields": {"times": 1}})
    )
    change(tmp_path)
    prepare(tmp_path, tmp_path / "a.yaml")
    before = files(tmp_path)
    assert main([stage, str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"aiv-rba {stage}: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert files(tmp_path) - before == {tmp_path / "logs" / f"{stage}.log"}


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}
