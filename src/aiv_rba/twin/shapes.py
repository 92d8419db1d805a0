"""The shapes that a twin can have: every one repeats after its length."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, NonNegative, Positive, Share
from aiv_rba.twin.geometry import Array, Duct
from aiv_rba.twin.lobes import Crescent, Lobe


@dataclass(frozen=True, config=STRICT)
class Elliptic(Duct):
    """A vessel with elliptic sections whose centre, half axes and turn depend on the height.

    The general one: a subclass says what they are.
    """

    radius: Positive = 1.0
    """Mean of the half axes."""
    length: Positive = 12.0
    """Length that is measured, after which the shape repeats."""
    flattening: Annotated[float, Field(ge=0, lt=0.7)] = 0.0
    """Half axes are radius (1 + flattening) along x and radius (1 - flattening) along z."""

    @property
    def width(self) -> float:
        """Diameter."""
        return 2 * self.radius

    @property
    def section(self) -> float:
        """Area of the section where it is not changed."""
        return float(np.pi * self.radius**2 * (1 - self.flattening**2))

    def frame(self, y: Any, lib: Any) -> tuple[Any, Any, Any, Any]:
        """Centre's x and z, scale of the section, and its turn about y, at height y."""
        return 0.0, 0.0, 1.0, 0.0

    def bend(self, a: Any, b: Any, y: Any, lib: Any = np) -> tuple[Any, Any]:
        """X and z of the disc point (a, b) of the section at y."""
        x, z, scale, turn = self.frame(y, lib)
        p = self.radius * (1 + self.flattening) * scale * a
        q = self.radius * (1 - self.flattening) * scale * b
        c, s = lib.cos(turn), lib.sin(turn)
        return x + c * p - s * q, z + s * p + c * q

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Disc point (a, b) of (x, y, z)."""
        x_centre, z_centre, scale, turn = self.frame(y, np)
        c, s = np.cos(turn), np.sin(turn)
        x, z = x - x_centre, z - z_centre
        a = (c * x + s * z) / (self.radius * (1 + self.flattening) * scale)
        b = (c * z - s * x) / (self.radius * (1 - self.flattening) * scale)
        return a, b


@dataclass(frozen=True, config=STRICT)
class Tube(Elliptic):
    """A tube, round and straight by default."""

    kind: Literal["tube"] = "tube"
    """The shape."""
    irregularity: Share = 0.0
    """Relative amplitude of the radius along the axis; the section turns to and fro as much."""

    def frame(self, y: Any, lib: Any) -> tuple[Any, Any, Any, Any]:
        """Centre's x and z, scale of the section, and its turn about y, at height y."""
        k, e = 2 * np.pi / self.length, self.irregularity
        scale = 1 + 0.7 * e * lib.sin(k * y + 0.6) + 0.5 * e * lib.sin(2 * k * y + 2.4)
        return 0.0, 0.0, scale, 3 * e * lib.sin(k * y + 4.0)


@dataclass(frozen=True, config=STRICT)
class Stenosis(Elliptic):
    """A tube with one smooth narrowing, at the middle of its length unless moved."""

    kind: Literal["stenosis"] = "stenosis"
    """The shape."""
    narrowing: Share = 0.3
    """Share of the radius that is missing at the throat."""
    spread: Annotated[float, Field(gt=0, lt=0.3)] = 0.08
    """About the standard deviation of the narrowing along the axis, as a share of the length."""
    throat: Share = 0.5
    """Where the throat is, as a share of the length."""
    eccentricity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0: the throat is in the middle; 1: it touches the wall on one side."""
    side: float = 0.7
    """Direction in which the throat is moved, radians from x towards z."""

    def frame(self, y: Any, lib: Any) -> tuple[Any, Any, Any, Any]:
        """Centre's x and z, scale of the section, and its turn about y, at height y."""
        k = 2 * np.pi / self.length
        sharpness = 1 / (2 * np.pi * self.spread) ** 2
        depth = self.narrowing * lib.exp(
            sharpness * (lib.cos(k * (y - self.throat * self.length)) - 1)
        )
        shift = self.eccentricity * self.radius * (1 - self.flattening) * depth
        return np.cos(self.side) * shift, np.sin(self.side) * shift, 1 - depth, 0.0


@dataclass(frozen=True, config=STRICT)
class Bend(Elliptic):
    """A tube whose centre line swings out once over its length, mostly along x."""

    kind: Literal["bend"] = "bend"
    """The shape."""
    swing: NonNegative = 1.0
    """How far the centre line swings out."""
    side: float = 0.3
    """Direction of the swing, radians from x towards z."""
    irregularity: Share = 0.05
    """Relative amplitude of the radius along the axis; the section turns to and fro as much."""

    def frame(self, y: Any, lib: Any) -> tuple[Any, Any, Any, Any]:
        """Centre's x and z, scale of the section, and its turn about y, at height y."""
        k, e = 2 * np.pi / self.length, self.irregularity
        arc = self.swing * (1 - lib.cos(k * y)) / 2
        scale = 1 + e * lib.sin(k * y + 1.1)
        turn = 3 * e * lib.sin(k * y + 2.0)
        return np.cos(self.side) * arc, np.sin(self.side) * arc, scale, turn


@dataclass(frozen=True, config=STRICT)
class Annulus(Duct):
    """The space between a round outer wall and a round inner one that lies off the middle."""

    core: ClassVar[float] = 0.5

    kind: Literal["annulus"] = "annulus"
    """The shape."""
    outer: Positive = 1.6
    """Mean radius of the outer wall."""
    inner: Positive = 0.8
    """Mean radius of the inner wall."""
    length: Positive = 12.0
    """Length that is measured, after which the shape repeats."""
    eccentricity: Share = 0.2
    """Offset of the inner wall, as a share of the mean gap."""
    irregularity: Annotated[float, Field(ge=0, lt=0.4)] = 0.08
    """Relative amplitude of both radii and of the offset along the axis."""

    def __post_init__(self) -> None:
        """Check that there is a gap everywhere."""
        e = self.irregularity
        gap = self.outer * (1 - e) - self.inner * (1 + e)
        if gap <= self.eccentricity * (1 + e) * self.width:
            raise ValueError(
                f"the gap closes, with inner radius {self.inner:g}; expected a wider one"
            )

    @property
    def width(self) -> float:
        """Mean width of the gap."""
        return self.outer - self.inner

    @property
    def section(self) -> float:
        """Area of a section without irregularity."""
        return float(np.pi * (self.outer**2 - self.inner**2))

    def frame(self, y: Any, lib: Any) -> tuple[Any, Any, Any, Any]:
        """Centre's x and z of the inner wall, inner and outer radius, at height y."""
        k, e = 2 * np.pi / self.length, self.irregularity
        offset = self.eccentricity * self.width * (1 + e * lib.sin(k * y + 2.7))
        turn = 0.9 + 6 * e * lib.sin(k * y + 1.3)
        inner = self.inner * (1 + e * lib.sin(k * y + 0.2))
        outer = self.outer * (1 + 0.6 * e * lib.sin(k * y + 4.1) + 0.4 * e * lib.sin(2 * k * y))
        return offset * lib.cos(turn), offset * lib.sin(turn), inner, outer

    def bend(self, a: Any, b: Any, y: Any, lib: Any = np) -> tuple[Any, Any]:
        """X and z of the ring point (a, b), core < r < 1, of the section at y."""
        x, z, inner, outer = self.frame(y, lib)
        r = lib.sqrt(a * a + b * b)
        s = (r - self.core) / (1 - self.core)
        radius = inner + s * (outer - inner)
        return (1 - s) * x + radius * a / r, (1 - s) * z + radius * b / r

    def unbend(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Ring point (a, b) of (x, y, z)."""
        x_inner, z_inner, inner, outer = self.frame(y, np)
        # |(x, z) - (1 - s) centre| = inner + s (outer - inner), a quadratic in s.
        p, q, gap = x - x_inner, z - z_inner, outer - inner
        square = x_inner**2 + z_inner**2 - gap**2
        half = p * x_inner + q * z_inner - inner * gap
        rest = p**2 + q**2 - inner**2
        s = (-half - np.sqrt(half**2 - square * rest)) / square
        r = self.core + (1 - self.core) * s
        radius = inner + s * gap
        return r * (p + s * x_inner) / radius, r * (q + s * z_inner) / radius


Shape = Annotated[Lobe | Crescent | Tube | Stenosis | Bend | Annulus, Field(discriminator="kind")]
