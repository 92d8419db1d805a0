"""Lines for people: on the terminal, and with their times in the log of the stage."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from aiv_rba.errors import UserError

_logger = logging.getLogger("aiv_rba")
# Share of the steps between lines of progress where no terminal can show a bar.
SHARE = 0.1


def say(line: str) -> None:
    """Show a line, and log it."""
    _logger.info(line)


def warn(line: str) -> None:
    """Show a line on stderr, and log it."""
    _logger.warning(line)


def fail(line: str) -> None:
    """Show on stderr why a command ends, and log it."""
    _logger.error(line)


def log_traceback() -> None:
    """Write the traceback of the exception that is being handled to the log only."""
    _logger.debug("traceback", exc_info=True)


class Screen(logging.Handler):
    """Lines above a progress bar, if there is one; warnings and errors on stderr.

    Attributes
    ----------
    quiet
        Whether nothing is shown but warnings and errors, as on all ranks but the first.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.quiet = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        if record.levelno >= logging.WARNING:
            # In one piece: ranks share the terminal, and would write between a line and its end.
            tqdm.write(f"{record.getMessage()}\n", file=sys.stderr, end="")
        elif not self.quiet:
            tqdm.write(record.getMessage(), file=sys.stdout)


@contextmanager
def on_screen() -> Iterator[Screen]:
    """Show lines on the terminal."""
    screen = Screen()
    _logger.setLevel(logging.DEBUG)
    with _attached(screen):
        yield screen


@contextmanager
def copied_to(path: Path) -> Iterator[None]:
    """Copy lines to a log, which grows by every run.

    Raises
    ------
    UserError
        If the log cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    with _attached(file):
        yield


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        handler.close()


class Progress:
    """One live bar in a terminal; elsewhere, and in the log, a line now and then.

    Parameters
    ----------
    what
        What makes progress.
    first, total
        Steps done before, and in all.
    quiet
        Whether nothing of it goes to the terminal, as on all ranks but the first.
    """

    def __init__(self, what: str, first: int, total: int, *, quiet: bool) -> None:
        self.what = what
        self.total = total
        self.done = first
        self.shown = int(first / total / SHARE)
        self.bar = tqdm(
            initial=first,
            total=total,
            desc=what,
            dynamic_ncols=True,
            mininterval=0.5,
            disable=quiet or not sys.stderr.isatty(),
            leave=False,
        )

    def step(self) -> None:
        """One step more."""
        self.done += 1
        self.bar.update()

    def show(self, state: str) -> None:
        """Show how things stand: beside the bar, or as a line every tenth of the way."""
        self.bar.set_postfix_str(state, refresh=False)
        line = f"{self.what}: {self.done} of {self.total}, {state}"
        part = int(self.done / self.total / SHARE)
        due = self.bar.disable and part > self.shown
        self.shown = part
        _logger.log(logging.INFO if due else logging.DEBUG, line)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
