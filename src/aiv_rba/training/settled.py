"""Whether more training would gain anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiv_rba.problem import Residuals
from aiv_rba.settings import LoopSettings
from aiv_rba.training.averaging import SPIKE

# Steps over which history is averaged, of at least so many rows, and by which part held-out errors
# must still fall.
WINDOW, FEWEST = 20, 2
HELD_OUT = 5e-4
# Steps for which the tolerances must not have changed. A step draws a seventh of the tracks of the
# twins, and what the optimiser remembers of earlier draws grows slowly: with fewer steps the answer
# is that of a few draws, which no loss shows.
UNCHANGED = 50


def has_settled(
    history: Sequence[dict[str, float]], residuals: Residuals, settings: LoopSettings
) -> bool:
    """Whether held-out errors and the loss of the equations no longer fall.

    The mean of the last 20 steps is compared with that of the 20 before. Held-out errors are
    mostly noise, so a small part of them counts as a fall, if it is also twice its standard error:
    every step draws other points. The loss of the equations is compared with the whole
    loss, since a part that is negligible beside the misfit of the data may fall for ever. The
    tolerances must not have changed in the last 50 steps, and no loss of the last 20 may be far
    above the others: training then goes on until it has recovered.
    """
    if settings.settled is None or not settings.few_large_steps or not history:
        return False
    # Earlier rows may have been written at other intervals.
    window = settings.history_every * max(WINDOW // settings.history_every, FEWEST)
    last = history[-1]
    ages = [(row, last["step"] - row["step"]) for row in history]
    earlier = [row for row, age in ages if window <= age < 2 * window]
    recent = [row for row, age in ages if age < window]
    if last["step"] < 2 * window or min(len(earlier), len(recent)) < FEWEST:
        return False

    def fall(names: Sequence[str]) -> tuple[float, float]:
        """Fall of the sum of these columns, and its standard error."""
        before, after = (
            np.array([sum(row[name] for name in names) for row in rows])
            for rows in (earlier, recent)
        )
        error = np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
        return float(before.mean() - after.mean()), float(error)

    losses = np.array([row["loss"] for row in recent])
    if (losses > SPIKE * np.median(losses)).any():
        return False
    tolerances = {row.get("softening") for row, age in ages if age <= UNCHANGED}
    if len(tolerances) > 1:
        return False
    for name in (name for name in last if name.startswith("validation_")):
        fallen, error = fall([name])
        if fallen > max(HELD_OUT * last[name], 2 * error):
            return False
    fallen, _ = fall(residuals.terms[residuals.governing])
    return bool(fallen <= settings.settled * last["loss"])
