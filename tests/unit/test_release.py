"""The release: a wheel that works in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from aiv_rba import __version__

REPOSITORY = Path(__file__).parents[2]


def run(*command, **options):
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the sdist, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY)
    source = folder / "source"
    for name in files.splitlines():
        if not name.startswith(("data/", "tests/", "docs/")) and (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source))
    return folder


def test_wheel_and_sdist_have_the_version(built):
    names = {path.name for path in built.iterdir() if path.is_file()}
    assert names == {f"aiv_rba-{__version__}-py3-none-any.whl", f"aiv_rba-{__version__}.tar.gz"}


def test_the_wheel_works_where_nothing_else_of_the_repository_is(built, tmp_path):
    """Its dependencies are those of this environment: torch alone is a gigabyte."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    own = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = built.glob("*.whl")
    install = ("-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps")
    run(sys.executable, *install, "--no-index", "--ignore-installed", str(wheel))

    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    options = {"cwd": tmp_path, "env": environment | {"OMP_NUM_THREADS": "1"}}
    code = (
        "import aiv_rba; flow = aiv_rba.example_flow(); "
        "print(aiv_rba.__file__); print(abs(flow.velocity(flow.wall_points, 0.1)).max())"
    )
    where, speed = run(str(python), "-c", code, **options).splitlines()
    assert Path(where).is_relative_to(own)
    assert float(speed) < 1e-3
    assert "validate" in run(str(python.parent / "aiv-rba"), "--help", **options)
    assert run(str(python.parent / "aiv-rba"), "--version", **options).endswith(__version__)


def test_the_version_is_written_once():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    assert f"## [{__version__}]" in changelog
    assert f"version: {__version__}" in (REPOSITORY / "CITATION.cff").read_text()
