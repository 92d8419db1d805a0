"""Versions and the git revision that are saved with a training."""

import subprocess

import torch

from aiv_rba.files.provenance import _revision, versions


def git(folder, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(
        ("git", "-C", str(folder), *identity, *arguments),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_revision_says_whether_files_differ_from_it(tmp_path):
    assert _revision(tmp_path) == ""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert _revision(tmp_path) == head
    (tmp_path / "code.py").write_text("a = 2\n")
    assert _revision(tmp_path) == f"{head}-dirty"


def test_versions_are_those_that_run():
    assert versions()["torch"] == torch.__version__
    assert {"aiv_rba", "numpy", "scipy", "h5py", "git"} < versions().keys()
