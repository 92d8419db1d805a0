"""The vessel: its walls as they are used, what they enclose, and the wall function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError

from aiv_rba.errors import UserError
from aiv_rba.files.case import LumenKind, Opening, Wall, WallFunction
from aiv_rba.files.formats import Array
from aiv_rba.scales import Scales
from aiv_rba.stages.ingest.continuation import continued
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.smoothing import smoothed
from aiv_rba.stages.ingest.wall_function import fit_wall_function
from aiv_rba.stages.ingest.walls import used_points


@dataclass(frozen=True)
class Vessel:
    """A vessel, nondimensional.

    Attributes
    ----------
    enclosure
        The walls, smoothed where they are rough, and the space between them.
    function
        Smooth function that vanishes on the walls.
    """

    enclosure: Enclosure
    function: WallFunction

    @property
    def lumen(self) -> LumenKind:
        """Kind of the lumen, as in the case."""
        if self.enclosure.axis is None:
            return "general"
        return "annular" if self.enclosure.inner else "single"

    @property
    def axis(self) -> int:
        """Axis of a tube, or the axis along which a general lumen is the longest."""
        if self.enclosure.axis is not None:
            return self.enclosure.axis
        return int(np.argmax(np.ptp(self.enclosure.outer.points, axis=0)))

    @property
    def wall(self) -> Wall:
        """The outer wall (patch 0) and the inner ones (patch 1, 2, ...), vertices numbered on."""
        # A vertex that lies on openings only is none of the wall's.
        parts = [
            (wall.normals[np.unique(wall.triangles)], *used_points(wall.points, wall.triangles))
            for wall in self.enclosure.walls
        ]
        starts = np.cumsum([0, *(len(points) for _, points, _ in parts[:-1])])
        return Wall(
            points=np.concatenate([points for _, points, _ in parts]),
            normals=np.concatenate([normals for normals, _, _ in parts]),
            triangles=np.concatenate(
                [triangles + start for (_, _, triangles), start in zip(parts, starts, strict=True)]
            ),
            patch=np.concatenate(
                [np.full(len(triangles), number) for number, (_, _, triangles) in enumerate(parts)]
            ),
        )

    @property
    def openings(self) -> tuple[Opening, ...]:
        """The open ends and faces."""
        return self.enclosure.openings


def make_vessel(given: Enclosure, scales: Scales, names: Sequence[str]) -> Vessel:
    """Fit the wall function to walls, m, and smooth them where they are rough.

    Raises
    ------
    UserError
        If no wall function fits the walls, which have these names.
    """
    enclosure = given.scaled(np.array(scales.origin), scales.length)
    try:
        function = fit_wall_function(continued(enclosure), enclosure)
    except LinAlgError as error:
        raise UserError(
            f"{', '.join(names)}: found no smooth function that is zero on the wall and positive "
            f"in the lumen ({error}), expected vertices near a smooth surface: smooth the wall or "
            "mesh it anew"
        ) from None
    return Vessel(smoothed(enclosure, function), function)


def size_of(enclosure: Enclosure) -> tuple[tuple[float, float, float], float]:
    """Middle of the outer wall's bounding box, and hydraulic radius of the lumen, m."""
    middle, unit = enclosure.box
    x, y, z = middle.tolist()
    # VTK's tolerances suit lengths of order one.
    return (x, y, z), enclosure.scaled(middle, unit).radius * unit


def scaled(points: Array, scales: Scales) -> Array:
    scaled: Array = (points - np.array(scales.origin)) / scales.length
    return scaled
