"""The public names: lazy, complete, and free of the workflow engine and of MPI."""

import subprocess
import sys

import pytest

import aiv_rba

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
"""


def python(code, *blocked):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED.format(blocked=set(blocked)) + code],
        capture_output=True,
        text=True,
    )


def test_every_public_name_exists_and_is_documented():
    for name in aiv_rba.__all__:
        assert getattr(aiv_rba, name).__doc__, name
    assert set(aiv_rba.__all__) <= set(dir(aiv_rba))
    with pytest.raises(AttributeError, match="no attribute 'flows'"):
        aiv_rba.flows  # noqa: B018


def test_importing_it_loads_nothing_heavy():
    code = "import aiv_rba; print([m for m in ('torch', 'numpy', 'pyvista') if m in sys.modules])"
    assert python(code).stdout.strip() == "[]"


def test_all_of_it_is_there_without_snakemake_and_mpi():
    code = "import aiv_rba; [getattr(aiv_rba, name) for name in aiv_rba.__all__]; print('whole')"
    found = python(code, "snakemake", "mpi4py")
    assert found.stdout.strip() == "whole", found.stderr


def test_a_stage_of_the_command_line_does_without_torch_where_it_can():
    code = (
        "from aiv_rba.cli import main\n"
        "import aiv_rba.stages.ingest.run, aiv_rba.stages.points.generate\n"
        "print('torch' in sys.modules)"
    )
    assert python(code).stdout.strip() == "False"
