"""How soft the equations are: soft at first, then as stiff as the flow that is inferred bears.

A network that cannot resolve the equations meets them by a smaller flow, the more so the stiffer
they are. The amplitude bias on the tracks shows this; it needs no truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

# Amplitude bias that is tolerated beyond its standard error.
LARGEST_BIAS = 0.002
# From which step, how often, by which factor of the tolerances, and by the mean bias of how many
# rows of the history, since every step draws other rows. Before, the flow is still growing.
STIFFENED_FROM, STIFFENED_EVERY, STIFFENING, FEW = 15, 5, 0.75, 2
SOFTENED_FROM, SOFTENED_EVERY, SOFTENING, MANY = 50, 10, 1.25, 4


def next_softening(
    step: int,
    bias: float,
    deviation: float,
    history: Sequence[dict[str, float]],
    largest: float,
) -> float:
    """Tolerances of the equations over those of the settings, from the history alone.

    They start as large as they may be. While the flow is not inferred too slow they fall to those
    of the settings; once it has been, they rise as long as it is, and fall no more.

    Parameters
    ----------
    step
        Steps so far.
    bias, deviation
        Amplitude bias of the main component on the tracks now, and its standard error.
    history
        Earlier rows, with ``step``, ``amplitude_bias`` and ``softening``.
    largest
        Where it starts; it is at least one.
    """
    if not history:
        return largest
    softening = history[-1]["softening"]
    biases = [row["amplitude_bias"] for row in history] + [bias]
    path = [row["softening"] for row in history]
    too_slow = LARGEST_BIAS + deviation

    def due(first: int, every: int) -> bool:
        # A multiple of these steps has been passed since the last row, however far back it lies.
        return step >= first and step // every > history[-1]["step"] // every

    if due(SOFTENED_FROM, SOFTENED_EVERY) and np.mean(biases[-MANY:]) > too_slow:
        return min(softening * SOFTENING, largest)
    has_softened = any(later > earlier for earlier, later in pairwise(path))
    stiffens = due(STIFFENED_FROM, STIFFENED_EVERY) and not has_softened
    if stiffens and np.mean(biases[-FEW:]) <= too_slow:
        return max(softening * STIFFENING, 1.0)
    return softening
