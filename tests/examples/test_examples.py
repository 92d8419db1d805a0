"""Every example runs, and finds what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[2]


def run(name, *arguments):
    finished = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / name), *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def error_of(output):
    return float(re.search(r"relative L2 error: (\S+)", output).group(1))


def test_first_pinn():
    assert error_of(run("first_pinn.py")) < 1e-3


def test_helmholtz_record_is_on_its_way_after_a_few_steps():
    assert error_of(run("helmholtz_record.py", 10)) < 1


def test_the_notebook_runs(tmp_path):
    notebook = nbformat.read(REPOSITORY / "examples" / "plots.ipynb", as_version=4)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": tmp_path}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3


@pytest.mark.slow
def test_helmholtz_record():
    assert error_of(run("helmholtz_record.py")) < 1e-6


def test_the_bundled_experiment_and_probing_it(tmp_path):
    output = run("bundled_experiment.py", tmp_path / "results", "--quick")
    assert re.search(r"flow rate \S+ m3/s, largest wall shear stress \S+ Pa", output)
    picture = Path(run("probe.py", tmp_path / "results").strip())
    assert picture.stat().st_size > 10_000
