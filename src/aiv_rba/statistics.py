"""What measured and inferred velocities say about an inferred flow."""

from __future__ import annotations

import numpy as np

from aiv_rba.store import Array


def amplitude_bias(predicted: Array, measured: Array) -> tuple[float, float]:
    """By how much the measured flow exceeds the predicted one, and its standard error.

    sum(measured predicted) / sum(predicted^2) - 1 over the rows (N,) that lie within three
    standard deviations of the prediction. Equations that the network cannot meet shrink the flow;
    errors on held-out rows hardly show that, this does.
    """
    difference = measured - predicted
    spread = 1.4826 * np.median(np.abs(difference))
    kept = np.abs(difference) <= 3 * spread
    squares = np.sum(predicted[kept] ** 2)
    bias = np.sum(measured[kept] * predicted[kept]) / squares - 1
    return float(bias), float(spread / np.sqrt(squares))
