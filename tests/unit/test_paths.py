"""What a path is, atomic files, and signals that end a stage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest

from aiv_rba import cli
from aiv_rba.cli import main
from aiv_rba.errors import UserError
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.results import Results
from aiv_rba.paths import check_file, check_output
from aiv_rba.signals import ENDING, raised_as_interrupt, unless_ignored
from tests.exact import write_trained


@pytest.fixture
def ended() -> int:
    """Number of a process that does not run any more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_kind_that_is_expected_is_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,x\n", encoding="utf-16")
    check_file(path, "tracks", may_be=["UTF-16"])
    with pytest.raises(UserError, match="is UTF-16 text, expected tracks: save it as UTF-8"):
        check_file(path, "tracks")


def test_a_device_is_neither_read_nor_replaced() -> None:
    with pytest.raises(UserError, match="/dev/null: is a device, expected tracks"):
        check_file("/dev/null", "tracks")
    with pytest.raises(UserError, match="/dev/null: is a device, expected the name of a file"):
        check_output("/dev/null")
    with pytest.raises(UserError, match="is a device"), atomic_path(Path("/dev/null")):
        pass
    assert Path("/dev/null").is_char_device()


def test_a_link_and_a_pipe_are_not_replaced(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("somewhere")
    os.mkfifo(pipe)
    for path, kind in ((link, "a link"), (pipe, "a named pipe"), (tmp_path, "a folder")):
        with pytest.raises(UserError, match=f"is {kind}"), atomic_path(path):
            pass
    assert link.is_symlink()
    assert pipe.is_fifo()


def test_files_that_killed_processes_left_are_removed(tmp_path: Path, ended: int) -> None:
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("a")
        own = str(os.getpid())
        assert own in temporary.name
        left = temporary.with_name(temporary.name.replace(own, str(ended)))
        elsewhere = tmp_path / f".a.another-machine.{ended}.tmp"
        other = tmp_path / ".mine.tmp"
        for path in (left, elsewhere, other):
            path.touch()
        with atomic_path(tmp_path / "b") as second:
            second.touch()
        # That of a process that runs, this one, is kept.
        assert temporary.exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a", "b", elsewhere.name, other.name}


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_signal_ends_a_stage_without_temporary_files(
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Tests that run in the background may have inherited that it is ignored.
    inherited = signal.signal(number, signal.SIG_DFL)
    before = [signal.getsignal(n) for n in ENDING]

    def stage(arguments: object) -> None:
        with atomic_path(tmp_path / "points.h5") as temporary:
            temporary.touch()
            os.kill(os.getpid(), number)
            time.sleep(5)
            pytest.fail("the signal was not heeded")

    monkeypatch.setitem(cli.STAGES, "points", (stage, "Stage points."))
    assert main(["points", str(tmp_path)]) == 75
    assert capsys.readouterr().err == f"aiv-rba points: ended by {number.name}; run it again\n"
    assert {path.name for path in tmp_path.iterdir()} == {"logs"}
    assert [signal.getsignal(n) for n in ENDING] == before
    signal.signal(number, inherited)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in unless_ignored(*ENDING)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_in_the_callback_of_a_weak_reference_is_not_lost() -> None:
    class Thing:
        pass

    def drop(things: list[Thing]) -> None:
        things.clear()
        time.sleep(5)

    things = [Thing()]
    weakref.finalize(things[0], lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), raised_as_interrupt():
        drop(things)


def test_the_workflows_kill_leaves_no_temporary_file(tmp_path: Path) -> None:
    """A process of its own, which makes so many points that it takes a while."""
    write_trained(tmp_path)
    results = Results(tmp_path)
    results.points.unlink()
    results.settings("points").parent.mkdir()
    results.settings("points").write_text("points: {per_group: 20000}")
    process = subprocess.Popen(
        [sys.executable, "-m", "aiv_rba.cli", "points", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.glob(".points.h5.*.tmp")):
        time.sleep(0.01)
    process.terminate()
    assert process.communicate()[1] == "aiv-rba points: ended by SIGTERM; run it again\n"
    assert process.returncode == 75
    assert not list(tmp_path.glob(".*.tmp"))
    assert not results.points.exists()
