"""The vessel: its walls as they are used, what they enclose, and the wall function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aiv_rba.files.case import LumenKind, Opening, Wall, WallFunction
from aiv_rba.files.formats import Array
from aiv_rba.scales import Scales
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.continuation import continued
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.smoothing import smoothed
from aiv_rba.stages.ingest.wall_function import fit_wall_function
from aiv_rba.stages.ingest.walls import Surface, read_wall


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
        return "single" if self.enclosure.inner is None else "annular"

    @property
    def wall(self) -> Wall:
        """The outer wall (patch 0) and the inner one (patch 1), vertices numbered on."""
        return _joined(self.enclosure.walls)

    @property
    def openings(self) -> tuple[Opening, ...]:
        """The open ends, each named after the side on which it lies."""
        return self.enclosure.openings


def read_walls(config: IngestSettings) -> list[Surface]:
    """The walls that the experiment names, m.

    Raises
    ------
    UserError
        At the first thing that is wrong with one of them.
    """
    axis = "xyz".index(config.axis)
    walls = [read_wall(Path(config.wall), config.units.wall, axis)]
    if config.inner_wall is not None:
        walls.append(read_wall(Path(config.inner_wall), config.units.wall, axis, inner=True))
    return walls


def make_vessel(config: IngestSettings, walls: list[Surface], scales: Scales) -> Vessel:
    """Check how the walls lie to each other, fit the wall function, smooth rough walls.

    Raises
    ------
    UserError
        If the walls do not enclose a lumen.
    """
    axis = "xyz".index(config.axis)
    walls = [replace(wall, points=scaled(wall.points, scales)) for wall in walls]
    enclosure = Enclosure(*walls)
    enclosure.check_nested(axis, f"{config.inner_wall} in {config.wall}")
    function = fit_wall_function(continued(enclosure, axis), axis, enclosure)
    return Vessel(Enclosure(*(smoothed(wall, function) for wall in walls)), function)


def size_of(walls: list[Surface]) -> tuple[tuple[float, float, float], float]:
    """Middle of the outer wall's bounding box, and hydraulic radius of the lumen, m."""
    low, high = walls[0].points.min(axis=0), walls[0].points.max(axis=0)
    x, y, z = ((low + high) / 2).tolist()
    # VTK's tolerances suit lengths of order one.
    unit = float(np.linalg.norm(high - low))
    scaled = [replace(w, points=(w.points - np.array([x, y, z])) / unit) for w in walls]
    return (x, y, z), Enclosure(*scaled).radius * unit


def scaled(points: Array, scales: Scales) -> Array:
    scaled: Array = (points - np.array(scales.origin)) / scales.length
    return scaled


def _joined(walls: list[Surface]) -> Wall:
    offsets = [0, len(walls[0].points)]
    return Wall(
        points=np.concatenate([wall.points for wall in walls]),
        normals=np.concatenate([wall.normals for wall in walls]),
        triangles=np.concatenate(
            [wall.triangles + offset for wall, offset in zip(walls, offsets, strict=False)]
        ),
        patch=np.concatenate(
            [np.full(len(wall.triangles), number) for number, wall in enumerate(walls)]
        ),
    )
