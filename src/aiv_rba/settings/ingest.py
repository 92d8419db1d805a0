"""Settings of stage ingest: tracks, wall, units, scales."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Auto, FlowKind, Fraction, NonNegative, Positive, Seed
from aiv_rba.settings.warnings import WarningName


@dataclass(frozen=True, config=STRICT)
class Fluid:
    """Properties of the fluid."""

    density: Positive
    """Density, kg/m^3."""
    viscosity: Positive
    """Dynamic viscosity, Pa s."""


@dataclass(frozen=True, config=STRICT)
class Units:
    """Units of the files."""

    length: str = "um"
    """Unit of the positions in the tracks."""
    time: str = "s"
    """Unit of the times in the tracks."""
    velocity: str = "um/s"
    """Unit of the velocities in the tracks."""
    wall: str = "um"
    """Unit of the wall's coordinates."""


@dataclass(frozen=True, config=STRICT)
class Split:
    """Training and validation rows."""

    by: Literal["track", "point"] = "track"
    """Put whole tracks, or single points, on one side of the split."""
    train: Fraction = 0.6
    """Share used for training; the rest validates."""
    seed: Seed = 0
    """Seed of the split."""


Span = tuple[float, float]
Axis = Literal["x", "y", "z"]


@dataclass(frozen=True, config=STRICT)
class Box:
    """A box with faces across x, y and z."""

    x: Span
    """Its two ends along x."""
    y: Span
    """Its two ends along y."""
    z: Span
    """Its two ends along z."""

    @model_validator(mode="after")
    def _positive(self) -> Box:
        for name in "xyz":
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"expected a lower and a higher value of {name}")
        return self


@dataclass(frozen=True, config=STRICT)
class Cylinder:
    """A round cylinder along x, y or z."""

    axis: Axis
    """Its direction."""
    radius: Positive
    """Its radius."""
    from_: Annotated[float, Field(alias="from")]
    """Where it begins along its axis."""
    to: float
    """Where it ends."""
    centre: Span = (0.0, 0.0)
    """Coordinates of its axis: the two others of x, y, z, in this order."""

    @model_validator(mode="after")
    def _positive(self) -> Cylinder:
        if not self.from_ < self.to:
            raise ValueError("expected from below to")
        return self


@dataclass(frozen=True, config=STRICT)
class WallShape:
    """A region of a simple shape, in the unit of the wall."""

    box: Box | None = None
    """A box."""
    cylinder: Cylinder | None = None
    """A round cylinder."""

    @model_validator(mode="after")
    def _one(self) -> WallShape:
        if (self.box is None) == (self.cylinder is None):
            raise ValueError("expected the name of a file, a box or a cylinder")
        return self

    def __str__(self) -> str:
        return "the cylinder" if self.box is None else "the box"


def _kind_of_wall(value: Any) -> str:
    return "tagged-file" if isinstance(value, str) else "tagged-shape"


@dataclass(frozen=True, config=STRICT)
class IngestSettings:
    """Stage ingest: tracks, wall, units, scales."""

    tracks: str
    """CSV file of tracks: t, x, y, z (or z_plane), u, v[, w], track[, plane][, frame]."""
    wall: Annotated[
        Annotated[str, Tag("tagged-file")] | Annotated[WallShape, Tag("tagged-shape")],
        Discriminator(_kind_of_wall),
    ]
    """Outer wall: a triangulated surface (STL, PLY, OBJ, VTP, VTK), a label image (NIfTI, NRRD), or
    a region of a simple shape, `{box: {x: [a, b], y: [a, b], z: [a, b]}}` or
    `{cylinder: {axis: z, radius: r, centre: [x, y], from: a, to: b}}`."""
    fluid: Fluid
    """Properties of the fluid."""
    flow: FlowKind = "periodic"
    """Whether the flow repeats itself, does not depend on time, or does neither."""
    period: Positive | None = None
    """Period of a periodic flow, s, such as that of the heart."""
    window: tuple[float, float] | None = None
    """First and last time of the recording of an unsteady flow that are used, s; rows outside are
    dropped. Left out: those of the tracks."""
    length_scale: Positive | Auto = "auto"
    """Unit of length L, m; auto: the hydraulic radius of the lumen."""
    velocity_scale: Positive | Auto = "auto"
    """Unit of velocity U, m/s; auto: the rms of the measured axial velocity, or of the speed."""
    pressure_scaling: Literal["auto", "inertial", "viscous"] = "auto"
    """Measure pressure in rho U^2 (Eq. 33) or in mu U / L; auto: the latter where Re < 1."""
    inner_wall: str | tuple[str, ...] | None = None
    """File, or list of files, of inner walls: open ones that end where the outer wall ends, such as
    that of an annular lumen, and closed ones, the surfaces of bodies."""
    boundaries: dict[str, Literal["open", "wall"]] = field(default_factory=dict)
    """Faces by name, as the summary of the ingestion lists them, that are open or a wall; the
    others are what they look like: open where the wall ends, and all faces of a box and the ends
    of a cylinder are open."""
    wall_error: NonNegative | Auto = "auto"
    """Standard deviation of the wall's position, in the unit of the wall's file, such as half a
    voxel of the image that it was segmented from; auto: a quarter of how far its triangles lie off
    a curved wall through their vertices, and how far its vertices scatter about a smooth one."""
    vessel: Literal["auto", "tube", "general"] = "auto"
    """Treat the lumen as a tube along an axis, single or annular, whose sections are seen whole
    from their centres, or as one of any shape; auto: as a tube where it is one."""
    axis: Literal["auto", "x", "y", "z"] = "auto"
    """Axis of a tube in the coordinates of the files; auto: the one along which its ends lie."""
    units: Units = field(default_factory=Units)
    """Units of the files."""
    velocities: Literal["columns", "differences"] = "columns"
    """Take velocities from the columns, or from central differences along each track."""
    outside: Literal["drop", "keep", "error"] = "drop"
    """What to do with track points outside the wall."""
    exclude: str | None = None
    """CSV file of rows or tracks to leave out, such as suspicious_rows.csv of an earlier run."""
    accept: tuple[WarningName, ...] = ()
    """Warnings about the input that are not to stop the run, since the input is right."""
    split: Split = field(default_factory=Split)
    """Training and validation rows."""

    @property
    def inner_walls(self) -> tuple[str, ...]:
        """Files of the inner walls."""
        if self.inner_wall is None:
            return ()
        return (self.inner_wall,) if isinstance(self.inner_wall, str) else self.inner_wall

    @property
    def walls(self) -> tuple[str, ...]:
        """Files of all walls."""
        return (self.wall, *self.inner_walls) if isinstance(self.wall, str) else self.inner_walls

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        """Each kind of flow has its own key of time."""
        if self.flow == "periodic" and self.period is None:
            raise ValueError(
                "found no period, expected one in s, or flow: steady or flow: unsteady"
            )
        for key, kind in (("period", "periodic"), ("window", "unsteady")):
            if getattr(self, key) is not None and self.flow != kind:
                raise ValueError(
                    f"found {key} with flow: {self.flow}, expected it with flow: {kind} only"
                )
        if self.window is not None and self.window[0] >= self.window[1]:
            first, last = self.window
            raise ValueError(f"found window [{first:g}, {last:g}], expected the earlier time first")
        return self
