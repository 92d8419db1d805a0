"""The whole workflow on a tube that another person might bring: mm, axis x, STL wall."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pyvista as pv
import yaml

from tests.programs import need
from tests.synthetic import write_tube_experiment

REPOSITORY = Path(__file__).parents[2]
NUMBER = 3


def snakemake(folder, config, *options):
    binaries = Path(sys.executable).parent
    return subprocess.run(
        [
            *(str(binaries / "snakemake"), "--cores", "2"),
            *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)),
            *("--configfile", str(config)),
            *options,
        ],
        env=os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workflow")
    config = write_tube_experiment(folder, axis="x", length_unit="mm", wall_unit="mm", wall="stl")
    run = snakemake(folder, config)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder, config, run.stdout


def results(folder):
    (found,) = (folder / "results").iterdir()
    return found


def test_every_rank_keeps_a_log_and_the_model_its_origin(finished):
    folder, _, _ = finished
    assert (results(folder) / "logs" / "train.log").stat().st_size > 0
    assert (results(folder) / "logs" / "ranks" / "train_1.log").stat().st_size > 0
    summary = json.loads((results(folder) / "summary.json").read_text())
    assert {"torch", "python"} < summary["versions"].keys()
    assert summary["revision"]


def test_vtk_series_hold_the_fields_at_physical_times(finished):
    folder, _, _ = finished
    for name, arrays in {
        "volume": {"velocity", "pressure", "vorticity", "shear_rate"},
        "wall": {"wall_shear_stress", "viscous_stress_magnitude", "pressure"},
    }.items():
        reader = pv.PVDReader(results(folder) / "fields" / f"{name}.pvd")
        np.testing.assert_allclose(
            reader.time_values, 0.303 * np.arange(NUMBER) / NUMBER, rtol=1e-6
        )
        mesh = reader.read()[0]
        assert arrays <= set(mesh.point_data.keys())
        assert all(np.isfinite(mesh[array]).all() for array in arrays)
        assert mesh.field_data["unit of pressure"][0] == "Pa"
        # The tube of the synthetic experiment: radius 0.5 mm, length 3 mm along x.
        np.testing.assert_allclose(
            np.ptp(np.reshape(mesh.bounds, (3, 2)), axis=1)[0], 3e-3, rtol=1e-3
        )
    volume = pv.PVDReader(results(folder) / "fields" / "volume.pvd").read()[0]
    assert volume.compute_cell_sizes()["Volume"].sum() == pytest.approx(
        np.pi * 0.25e-6 * 3e-3, rel=0.03
    )


def test_report_and_summary(finished):
    folder, _, output = finished
    summary = json.loads((results(folder) / "summary.json").read_text())
    assert summary["world_size"] == 2
    assert set(summary["seconds"]) == {"ingest", "points", "train", "fields", "score"}
    page = (results(folder) / "report.html").read_text()
    assert "default-src 'none'" in page
    pictures = re.findall(r'<img [^>]*src="([^"]{30})', page)
    assert len(pictures) >= 8
    assert all(source.startswith("data:image/") for source in pictures)
    assert "report.html" in output
    assert "open_in_paraview.py" in output
    table = pd.read_csv(results(folder) / "fields" / "hydraulics.csv")
    assert len(table) == NUMBER


def test_only_what_a_changed_key_affects_runs_again(finished):
    folder, config, _ = finished
    again = snakemake(folder, config, "--dry-run", "--quiet")
    assert "Nothing to be done" in again.stdout + again.stderr
    changed = yaml.safe_load(config.read_text())
    changed["fields"]["sections"] = 7
    other = folder / "changed.yaml"
    other.write_text(yaml.safe_dump(changed))
    plan = snakemake(folder, other, "--dry-run").stdout
    assert "rule fields:" in plan
    assert "rule train:" not in plan
    assert "rule points:" not in plan


def test_suspicious_rows_are_left_out_by_an_overlay_with_another_name(finished):
    folder, config, _ = finished
    made = results(folder) / "suspicious_rows.csv"
    exclude = {"exclude": str(made.relative_to(folder))}
    overlay = folder / "exclude.yaml"
    overlay.write_text(yaml.safe_dump({"name": "again", "ingest": exclude}))
    plan = snakemake(folder, config, str(overlay), "--dry-run").stdout
    assert "rule ingest:" in plan
    assert f"input: {exclude['exclude']}" in plan or f", {exclude['exclude']}" in plan
    assert "results/again/case.h5" in plan
    overlay.write_text(yaml.safe_dump({"ingest": exclude}))
    refused = snakemake(folder, config, str(overlay), "--dry-run")
    assert refused.returncode != 0
    assert "which this experiment makes anew" in refused.stdout + refused.stderr


def test_a_wrong_key_stops_before_anything_runs(finished):
    folder, config, _ = finished
    changed = yaml.safe_load(config.read_text())
    changed["train"]["optimizer"] = {}
    other = folder / "wrong.yaml"
    other.write_text(yaml.safe_dump(changed))
    run = snakemake(folder, other, "--dry-run")
    assert run.returncode != 0
    assert "optimizer" in run.stdout + run.stderr


def test_the_default_experiment_does_not_mix_with_ones_own(finished, tmp_path):
    _, config, _ = finished
    for name in ("Snakefile", "workflow", "data"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    options = ("--dry-run", "--printshellcmds", "--snakefile", "Snakefile")
    plans = [
        subprocess.run(
            [str(Path(sys.executable).parent / "snakemake"), "--cores", "2", *options, *chosen],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        ).stdout
        for chosen in ((), ("--configfile", str(config)))
    ]
    assert "rule train:" in plans[0]
    assert "data/perivascular/truth.h5" in plans[0]
    assert "rule train:" in plans[1]
    assert "perivascular" not in plans[1]


@pytest.fixture
def display(request):
    """A virtual screen that is ready; xvfb-run may start its command before it is."""
    need(request, "paraview", "pvpython", "Xvfb")
    # ParaView connects twice: between the two the server is not to start anew.
    command = ("Xvfb", "-displayfd", "1", "-screen", "0", "1280x1024x24", "-noreset")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        yield f":{int(server.stdout.readline())}"
        server.terminate()


# Runs the script as a user does, then looks at what it made.
LOOK = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
from paraview import simple
series = [simple.FindSource(name) for name in ("volume.pvd", "wall.pvd")]
assert all(len(source.TimestepValues) == 3 for source in series), series
assert len(simple.GetAnimationScene().TimeKeeper.TimestepValues) == 3
for view, array in zip(simple.GetViews(), ("velocity", "wall_shear_stress")):
    colours = simple.GetColorTransferFunction(array)
    bar = simple.GetScalarBar(colours, view)
    assert bar.Title.endswith(("(m/s)", "(Pa)")) and bar.Visibility, bar.Title
    assert colours.RGBPoints[0] == 0 < colours.RGBPoints[-4]
"""


@pytest.mark.paraview
def test_paraview_opens_the_series_coloured_and_animated(finished, display, tmp_path):
    folder, _, _ = finished
    look, picture = tmp_path / "look.py", tmp_path / "fields.png"
    look.write_text(LOOK)
    script = results(folder) / "fields" / "open_in_paraview.py"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    run = subprocess.run(
        [
            *("pvpython", "--force-offscreen-rendering"),
            *(str(look), str(script), "--screenshot", str(picture)),
        ],
        env=environment | {"DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    # Both views show more than a background and a colour bar.
    seen = pv.read(picture)["PNGImage"].reshape(1000, 1400, -1)
    for half in (seen[:500, :1000], seen[500:, :1000]):
        assert (half.max(axis=-1).astype(int) - half.min(axis=-1) > 30).mean() > 0.02
