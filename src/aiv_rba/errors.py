"""Why a stage may end early: mistakes that a user can correct, and requests to stop."""

from __future__ import annotations

from collections.abc import Sequence


def first_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    return (str(error).splitlines() or [""])[0]


class UserError(Exception):
    """A mistake in the input. Its message is one line: where, what was found, what was expected."""

    code = 2
    """Exit code of a command that it ends."""

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each mistake."""
        return (str(self),)


class UserErrors(UserError):
    """Several mistakes in the input, a line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each mistake."""
        return tuple(str(self).split("\n"))


class RankError(UserError):
    """A mistake that only one rank meets; any other mistake stops all ranks at the same place."""


class LostRank(RankError):
    """Another rank has ended without a word, or does not answer."""

    code = 69
    """EX_UNAVAILABLE of sysexits.h."""


class NotFinite(UserError):
    """A residual, a derivative or a parameter is not a finite number, at a step from 1."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step}: {what}")
        self.step = step
        self.what = what


class Interrupted(Exception):
    """The stage was asked to stop and has saved what it had."""

    code = 75
    """EX_TEMPFAIL of sysexits.h: try again."""
