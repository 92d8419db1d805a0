"""Settings of stage points: collocation points and training groups."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Count, Seed


@dataclass(frozen=True, config=STRICT)
class PointsSettings:
    """Stage points: collocation points and training groups."""

    n_theta: Count = 12
    """Angular patches."""
    n_y: Count = 10
    """Axial patches."""
    n_r: Count = 3
    """Radial groups of the interior points."""
    n_t: Count = 5
    """Temporal groups of the interior points; in a steady flow so many groups in every place."""
    wall_n_t: Count = 5
    """Temporal groups of the wall points."""
    per_group: Count = 40
    """Points in every group: the number of mini-batches of an epoch."""
    layers: Count = 40
    """Equally spaced shrunk copies of the wall."""
    time_levels: Count = 101
    """Equally spaced times over the period or window with which the points are tiled."""
    bins: Literal["quantile", "uniform"] = "quantile"
    """Patches of equal numbers of wall points, or of equal angle and length."""
    seed: Seed = 0
    """Seed of the order within each group."""
