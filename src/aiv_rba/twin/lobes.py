"""Shapes bent round an artery: a lobe with round ends, a crescent with sharp ones."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Positive, Share
from aiv_rba.twin.geometry import Array, Duct, unstretch


@dataclass(frozen=True, config=STRICT)
class RoundArtery(Duct):
    """What lies bent round an artery: arc coordinate a, coordinate b across the gap."""

    artery: Positive = 0.6
    """Radius of the artery that the lobe is bent round."""
    gap: Positive = 0.8
    """Mean width of the gap at mid-lobe."""
    opening: Positive = 0.85
    """Half angle of the lobe round the artery, radians."""
    length: Positive = 12.0
    """Length that is measured; the irregularity has this period."""
    irregularity: Share = 0.15
    """Relative amplitude of the irregularity along the axis and round the section."""

    @property
    def width(self) -> float:
        """Mean width of the gap."""
        return self.gap

    def shape(self, a: Any, y: Any, lib: Any = np) -> tuple[Any, Any, Any, Any]:
        """Mean radius, gap, opening angle and turn of the lobe at arc coordinate a, height y."""
        k = 2 * np.pi / self.length
        e, sin = self.irregularity, lib.sin
        gap = self.gap * (
            1
            + e * sin(k * y + 0.4)
            + 0.6 * e * sin(2 * k * y + 1.9)
            + e * a * sin(k * y + 2.2)
            + 0.8 * e * (2 * a * a - 1) * sin(2 * k * y + 0.3)
        )
        radius = self.artery + self.gap / 2 + self.gap * e * (0.8 * sin(k * y + 3.0) + 0.5 * a)
        opening = self.opening * (1 + e * sin(k * y + 5.0) + 0.5 * e * sin(2 * k * y + 1.0))
        turn = 0.8 * e * sin(k * y + 1.2)
        return radius, gap, opening, turn

    def bend(self, a: Any, b: Any, y: Any, lib: Any = np) -> tuple[Any, Any]:
        """X and z of the point (a, b) of the section at y."""
        radius, gap, opening, turn = self.shape(a, y, lib)
        r = radius + gap / 2 * b
        phi = turn + opening * a
        return r * lib.sin(phi), r * lib.cos(phi) - self.artery - self.gap / 2

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """The point (a, b) of (x, y, z)."""
        z = z + self.artery + self.gap / 2
        _, _, opening, turn = self.shape(np.zeros_like(y), y)
        a = (np.arctan2(x, z) - turn) / opening
        radius, gap, _, _ = self.shape(a, y)
        return a, 2 * (np.hypot(x, z) - radius) / gap


@dataclass(frozen=True, config=STRICT)
class Lobe(RoundArtery):
    """A perivascular lobe with round ends.

    With the defaults every section can be seen whole from its centroid, so that copies of the
    wall shrunk towards the centre line stay inside.
    """

    kind: Literal["lobe"] = "lobe"
    """The shape."""

    @property
    def section(self) -> float:
        """Area of a section without irregularity."""
        return float(np.pi / 2 * self.opening * (self.artery + self.gap / 2) * self.gap)

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """Lowest and highest x and z, from which the bundled experiment's points were drawn."""
        reach = self.artery + 2 * self.gap
        return np.array([-reach, -reach]), np.array([reach, 2 * self.gap])


@dataclass(frozen=True, config=STRICT)
class Crescent(RoundArtery):
    """A lobe whose gap closes towards both ends as 1 - a^2, to a sharp edge."""

    kind: Literal["crescent"] = "crescent"
    """The shape."""
    artery: Positive = 2.0
    """Radius of the artery that the crescent is bent round."""
    gap: Positive = 0.6
    """Mean width of the gap at mid-crescent."""
    opening: Positive = 0.5
    """Half angle of the crescent round the artery, radians."""
    length: Positive = 9.0
    """Length that is measured; the irregularity has this period."""
    irregularity: Share = 0.1
    """Relative amplitude of the irregularity along the axis and round the section."""

    @property
    def section(self) -> float:
        """Area of a section without irregularity."""
        return float(4 / 3 * self.opening * (self.artery + self.gap / 2) * self.gap)

    def bend(self, a: Any, b: Any, y: Any, lib: Any = np) -> tuple[Any, Any]:
        """X and z of the disc point (a, b) of the section at y.

        The disc first becomes the lens |b| < 1 - a^2. Near its centre it stays round, since all
        rays with their different stretches meet there.
        """
        stretch = 1 + (_lens(a, b, lib) - 1) * (a * a + b * b)
        return super().bend(stretch * a, stretch * b, y, lib)

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Disc point (a, b) of (x, y, z); beyond the wall rays are stretched as on the wall."""
        a, b = super().unbend(x, y, z)
        s = np.hypot(a, b)
        factor = unstretch(s, _lens(a, b, np)) / np.maximum(s, 1e-300)
        return factor * a, factor * b


def _lens(a: Any, b: Any, lib: Any) -> Any:
    """Radius of the lens |b| < 1 - a^2 in the direction of (a, b)."""
    tiny = 1e-24
    r = lib.sqrt(a * a + b * b + tiny)
    return 2 * r / (lib.sqrt(b * b + tiny) + lib.sqrt(4 * a * a + b * b + tiny))
