"""Settings of stage points: collocation points and training groups."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Auto, Count, Seed


@dataclass(frozen=True, config=STRICT)
class PointsSettings:
    """Stage points: collocation points and training groups."""

    n_theta: Count = 12
    """Angular patches of the wall of a tube."""
    n_y: Count = 10
    """Axial patches of the wall of a tube."""
    patches: Count | Auto = "auto"
    """Patches of the wall of a general vessel; auto: n_theta times n_y."""
    n_r: Count = 3
    """Groups of the interior points in depth: along the radius of a tube, by the distance to the
    wall in a general vessel."""
    n_t: Count = 5
    """Temporal groups of the interior points; in a steady flow so many groups in every place."""
    wall_n_t: Count = 5
    """Temporal groups of the wall points."""
    per_group: Count = 40
    """Points in every group: the number of mini-batches of an epoch."""
    layers: Count = 40
    """Equally spaced shrunk copies of the wall of a tube; a general vessel is filled with as many
    candidates for a point as these copies would give."""
    time_levels: Count = 101
    """Equally spaced times over the period or window with which the points are tiled."""
    bins: Literal["quantile", "uniform"] = "quantile"
    """Patches of a tube of equal numbers of wall points, or of equal angle and length."""
    seed: Seed = 0
    """Seed of the order within each group."""

    @property
    def wall_patches(self) -> int:
        """Patches of the wall."""
        return self.n_theta * self.n_y if self.patches == "auto" else self.patches
