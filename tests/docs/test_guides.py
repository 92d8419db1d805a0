"""The code of the how-to guides is complete, and does what the guides say."""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import get_args

import pytest

from aiv_rba import optimisers, problems
from aiv_rba.cli import main
from aiv_rba.settings import optimisers as optimiser_settings
from aiv_rba.settings.warnings import WarningName

GUIDES = Path(__file__).parents[2] / "docs/how-to"
BLOCK = re.compile(r'```\{code-block\} \w+\n:caption: "`(\S+)`"\n\n(.*?)```', re.DOTALL)


def blocks(guide):
    """The files that a guide writes: blocks of one file follow each other."""
    files = {}
    for name, code in BLOCK.findall((GUIDES / guide).read_text()):
        files.setdefault(name, []).append(code)
    return {name: "\n\n".join(parts) for name, parts in files.items()}


def run_tests(code, path):
    """Run the test functions of a block."""
    functions = {"__name__": path.stem}
    exec(compile(code, path, "exec"), functions)
    tests = [function for name, function in functions.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_every_warning_is_explained():
    _, _, text = (GUIDES / "warnings.md").read_text().partition("## The warnings")
    explained = re.findall(r"^\| `(\w+)` \|", text.partition("## Fluids")[0], re.MULTILINE)
    assert sorted(explained) == sorted(get_args(WarningName))


@pytest.fixture
def heat(tmp_path, monkeypatch):
    """The folder of the guide among those of the package, and the files beside it."""
    files = blocks("new-problem.md")
    folder = tmp_path / "heat"
    folder.mkdir()
    for name, code in files.items():
        if name.startswith("src/aiv_rba/problems/heat/"):
            (folder / Path(name).name).write_text(code)
    monkeypatch.setattr(problems, "__path__", [*problems.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield files
    for name in [name for name in sys.modules if name.startswith("aiv_rba.problems.heat")]:
        del sys.modules[name]


def test_new_problem_is_trained_scored_and_drawn(heat, tmp_path):
    profile = tmp_path / "heat.yaml"
    profile.write_text(heat["workflow/config/validation/heat.yaml"])
    out = tmp_path / "out"
    options = ["--problem", "heat", "--config", str(profile), "--out", str(out)]
    assert main(["validate", *options]) == 0
    result = json.loads((out / "rba.json").read_text())
    assert result["mean"] < 1e-2 < result["history"]["error_u"][0]
    assert (out / "rba.png").stat().st_size > 5000
    assert "Heat" in (out / "report.html").read_text()


def test_new_problem_has_a_test_that_passes(heat, tmp_path):
    run_tests(heat["tests/physics/test_heat.py"], tmp_path / "test_heat.py")


def test_new_problem_is_as_short_as_the_guide_promises(heat):
    lines = [len(code.splitlines()) for name, code in heat.items() if name.startswith("src/")]
    assert sum(lines) <= 150


def test_new_optimiser_passes_its_tests(tmp_path, monkeypatch):
    files = blocks("new-optimiser.md")
    written = dict(vars(optimiser_settings))
    exec(files["src/aiv_rba/settings/optimisers.py"], written)
    monkeypatch.setattr(
        optimiser_settings, "HeavyBallSettings", written["HeavyBallSettings"], raising=False
    )
    (tmp_path / "heavy_ball.py").write_text(files["src/aiv_rba/optimisers/heavy_ball.py"])
    monkeypatch.setattr(optimisers, "__path__", [*optimisers.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    try:
        run_tests(files["tests/unit/test_heavy_ball.py"], tmp_path / "test_heavy_ball.py")
    finally:
        sys.modules.pop("aiv_rba.optimisers.heavy_ball", None)
