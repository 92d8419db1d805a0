"""The points of the design curves: what each experiment changes of the base one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiv_rba.twin.options import Twin
from aiv_rba.twin.tracers import Camera

# Shares of the vessel's depth at which the base experiment has its outer planes.
OUTER = (0.3, 0.7)
# Three planes in other places than the base experiment's.
PLACES = {"close": (0.4, 0.5, 0.6), "wide": (0.15, 0.5, 0.85), "one side": (0.15, 0.3, 0.45)}


@dataclass(frozen=True)
class Point:
    """An experiment.

    Attributes
    ----------
    at
        Where it lies on the axis of its curve.
    camera, wall
        Options of the twin that differ from those of the base experiment.
    viscosity
        Viscosity that the experimenter states over the true one.
    quick
        Whether the quick set has it.
    """

    at: float | str
    camera: Mapping[str, Any] = field(default_factory=dict)
    wall: Mapping[str, Any] = field(default_factory=dict)
    viscosity: float = 1.0
    quick: bool = False

    def of(self, base: Twin) -> Twin:
        """Its twin."""
        return replace(
            base,
            camera=replace(base.camera, **self.camera),
            wall=replace(base.wall, **self.wall),
        )


@dataclass(frozen=True)
class Curve:
    """Experiments that change one thing.

    Attributes
    ----------
    name, label
        Name of its folders, and what its axis shows.
    base
        Where the base experiment lies on the axis.
    points
        The other experiments.
    logarithmic
        Whether the axis is.
    """

    name: str
    label: str
    base: float | str
    points: tuple[Point, ...]
    logarithmic: bool = False

    def folder(self, point: Point) -> str:
        """Name of the folder of a point."""
        at = point.at if isinstance(point.at, str) else f"{point.at:g}"
        return f"{self.name}_{at}".replace(" ", "_")


def ends_quick(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points, of which the quick set has the first and the last."""
    every = list(points)
    for end in (0, -1):
        every[end] = replace(every[end], quick=True)
    return tuple(every)


def curves(camera: Camera) -> tuple[Curve, ...]:
    """The curves round an experiment with this camera, whose planes lie at shares of the depth."""
    u, v, frames = camera.noise_u, camera.noise_v, camera.frames

    def noise(factor: float) -> dict[str, float]:
        return {"noise_u": u * factor, "noise_v": v * factor}

    return (
        Curve(
            "noise",
            "noise of u, percent of its rms",
            100 * u,
            ends_quick(Point(at, noise(at / 100 / u)) for at in (0, 5, 10, 20, 30)),
        ),
        Curve(
            "outliers",
            "mismatched rows, percent",
            100 * camera.outliers,
            ends_quick(Point(at, {"outliers": at / 100}) for at in (0, 5, 10)),
        ),
        Curve(
            "rows",
            "rows of the tracks",
            camera.rows,
            ends_quick(Point(at, {"rows": at}) for at in (1_000, 3_000, 10_000, 50_000)),
            logarithmic=True,
        ),
        Curve(
            "planes",
            "planes",
            len(camera.depths),
            ends_quick(Point(at, {"depths": equally_spaced(at)}) for at in (1, 2, 4, 5)),
        ),
        Curve(
            "places",
            "places of the three planes",
            "base",
            ends_quick(Point(at, {"depths": depths}) for at, depths in PLACES.items()),
        ),
        Curve(
            "frames",
            "frames a cycle, same noise",
            frames,
            ends_quick(Point(at, {"frames": at}) for at in (10.7, 20.7, 40.7, 150.7)),
            logarithmic=True,
        ),
        Curve(
            "positions",
            "frames a cycle, same error of position",
            frames,
            ends_quick(
                Point(at, {"frames": at, **noise(at / frames)}) for at in (10.7, 20.7, 40.7, 150.7)
            ),
            logarithmic=True,
        ),
        Curve(
            "wall",
            "error of the wall, percent of the hydraulic radius",
            0.0,
            ends_quick(Point(at, wall={"error": at / 100}) for at in (1, 2, 3, 5)),
        ),
        Curve(
            "viscosity",
            "error of the viscosity, percent",
            0.0,
            ends_quick(Point(at, viscosity=1 + at / 100) for at in (-10, 10)),
        ),
    )


def equally_spaced(planes: int) -> tuple[float, ...]:
    """Depths of planes between the outer ones of the base experiment; one lies in the middle."""
    low, high = OUTER
    if planes == 1:
        return ((low + high) / 2,)
    return tuple(low + (high - low) * n / (planes - 1) for n in range(planes))
