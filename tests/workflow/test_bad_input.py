"""Every mistake in the input is told in one line each, and leaves no output; bad_inputs.yaml."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aiv_rba.cli import main
from tests import bad_inputs
from tests.bad_inputs import Row

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]
ROWS = bad_inputs.rows()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good experiments, made once."""
    return bad_inputs.write_bases(tmp_path_factory.mktemp("bases"))


def files(folder: Path) -> set[str]:
    """Everything in a folder but logs."""
    found = (path.relative_to(folder) for path in folder.rglob("*"))
    return {str(path) for path in found if "logs" not in path.parts}


def test_the_table_is_long_and_names_each_input_once() -> None:
    names = [(row.section, row.input) for row in ROWS]
    assert len(names) == len(set(names))
    assert len(names) >= 200


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.section}: {row.input}"[:90] for row in ROWS])
def test_bad_input(
    row: Row,
    bases: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "here"
    shutil.copytree(bases[row.base], folder)
    monkeypatch.chdir(folder)
    with bad_inputs.small_machine():
        bad_inputs.apply(row)
        before = files(folder)
        for command in row.commands:
            assert main(command.split()) == 2
            screen = capfd.readouterr()
            prefix = f"aiv-rba {command.split()[0]}: error: "
            assert screen.err.splitlines() == [prefix + line for line in row.gets]
            assert screen.out == ""
    assert files(folder) == before


def test_the_page_of_the_documentation_is_in_step() -> None:
    assert bad_inputs.PAGE.read_text(encoding="utf-8") == bad_inputs.page(), (
        "run python -m tests.bad_inputs"
    )
