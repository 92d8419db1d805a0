"""Whether more training would gain anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiv_rba.problem import Residuals
from aiv_rba.settings import LoopSettings

# Steps over which history is averaged, and by which part held-out errors must still fall.
WINDOW = 30
HELD_OUT = 5e-4


def has_settled(
    history: Sequence[dict[str, float]], residuals: Residuals, settings: LoopSettings
) -> bool:
    """Whether held-out errors and the loss of the equations no longer fall.

    The mean of the last 30 steps is compared with that of the 30 before. Held-out errors are
    mostly noise, so a small part of them counts as a fall, if it is also twice its standard error:
    every step draws other points. The loss of the equations is compared with the whole
    loss, since a part that is negligible beside the misfit of the data may fall for ever. The
    tolerances must not have changed in the last 30 steps.
    """
    rows = max(WINDOW // settings.history_every, 2)
    if settings.settled is None or not settings.few_large_steps or len(history) < 2 * rows:
        return False

    def fall(names: Sequence[str]) -> tuple[float, float]:
        """Fall of the sum of these columns, and its standard error."""
        values = np.array([sum(row[name] for name in names) for row in history[-2 * rows :]])
        halves = values.reshape(2, rows)
        before, after = halves.mean(axis=1)
        return before - after, float(np.sqrt(halves.var(axis=1, ddof=1).sum() / rows))

    last = history[-1]
    if last.get("softening") != history[-rows].get("softening"):
        return False
    for name in (name for name in last if name.startswith("validation_")):
        fallen, error = fall([name])
        if fallen > max(HELD_OUT * last[name], 2 * error):
            return False
    fallen, _ = fall(residuals.terms[residuals.governing])
    return bool(fallen <= settings.settled * last["loss"])
