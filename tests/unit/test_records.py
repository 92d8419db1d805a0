"""Records of stages: versions, the git revision, hashes."""

import hashlib
import subprocess
from datetime import datetime

import pytest
import torch

from aiv_rba.files.records import read_record, recorded, revision, versions
from aiv_rba.files.results import Results


def git(folder, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(
        ("git", "-C", str(folder), *identity, *arguments),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_revision_says_whether_files_differ_from_it(tmp_path):
    code = tmp_path / "code.py"
    code.write_text("a = 1\n")
    assert revision(code) == ""
    git(tmp_path, "init", "--quiet")
    # The checkout of another project, in which this file only lies.
    assert revision(code) == ""
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert revision(code) == head
    code.write_text("a = 2\n")
    assert revision(code) == f"{head}-dirty"


def test_versions_are_those_that_run():
    assert versions()["torch"] == torch.__version__
    assert {"aiv_rba", "python", "numpy", "scipy", "h5py"} < versions().keys()


def test_a_record_tells_inputs_and_what_the_stage_adds(tmp_path):
    source, results = tmp_path / "a.csv", Results(tmp_path)
    source.write_text("1\n")
    with recorded(results, "train", [source, tmp_path / "missing"]) as more:
        more["training"] = {"steps": 3}
    found = read_record(results.record("train"))
    assert found["inputs"] == {str(source): hashlib.sha256(b"1\n").hexdigest()}
    assert found["training"] == {"steps": 3}
    assert datetime.fromisoformat(found["started"]).tzinfo is not None


def test_a_stage_that_fails_leaves_no_record(tmp_path):
    with pytest.raises(ValueError, match="no"), recorded(Results(tmp_path), "train", []):
        raise ValueError("no")
    assert not list(tmp_path.iterdir())
