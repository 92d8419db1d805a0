"""Settings of stage ingest: tracks, wall, units, scales."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
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


Format = Literal[
    "auto",
    "csv",
    "trackpy",
    "trackmate",
    "openptv",
    "flowtracks",
    "myptv",
    "davis",
    "tecplot",
    "matlab",
    "npz",
    "parquet",
]
Component = Literal["u", "v", "w"]
Quantity = Literal[
    "t",
    "frame",
    "x",
    "y",
    "z",
    "z_plane",
    "u",
    "v",
    "w",
    "u_std",
    "v_std",
    "w_std",
    "track",
    "plane",
]


@dataclass(frozen=True, config=STRICT)
class Units:
    """Units of the files."""

    length: str = "um"
    """Unit of the positions in the tracks; with a number for pixels, such as 0.65 um."""
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadingSettings:
    """How files of tracks are read."""

    format: Format = "auto"
    """Format of the tracks; auto: by the extension and the first bytes."""
    columns: dict[Quantity, str] = field(default_factory=dict)
    """What the file calls a quantity, such as {t: Time, x: X_mm}; others have the names that are
    usual in the format."""
    separator: str = "auto"
    """What separates the columns of a text file: a character, or whitespace; auto: comma,
    semicolon, tab or whitespace, whichever splits the first line."""
    decimal: Literal[".", ","] = "."
    """Decimal separator of a text file."""
    encoding: str = "utf-8"
    """Encoding of a text file, such as latin-1 or utf-16."""
    frame_rate: Positive | None = None
    """Frames per second: the time is the number of the frame over it; none: times are read."""
    plane_depth: float | tuple[float, ...] | None = None
    """Depth of the plane in which tracks without z were seen, in units.length; a list of depths for
    a list of files."""
    velocities: Literal["columns", "differences"] = "columns"
    """Take velocities from the columns, or from central differences along each track; formats
    without velocities imply the latter."""
    units: Units = field(default_factory=Units)
    """Units of the files."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IngestSettings(ReadingSettings):
    """Stage ingest: tracks, wall, units, scales."""

    tracks: str | tuple[str, ...]
    """File of tracks, or the folder of the format openptv, or a list of them. The columns of a CSV
    file are t, x, y, z (or z_plane), u, v[, w], track[, plane][, frame][, u_std, v_std, w_std]."""
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
    phase: Literal["merged", "wrap"] = "merged"
    """Whether times lie in [0, period) already, or are absolute and are taken modulo the period."""
    velocity_interval: NonNegative | Auto = "auto"
    """Time in s over which a velocity is a mean, from the first to the last of the positions that
    it was computed from; 0: it is that of an instant; auto: two steps between rows of a track, as
    for central differences."""
    velocity_std: dict[Component, Positive] = field(default_factory=dict)
    """Standard deviation of the noise of measured components, in units.velocity, such as {u: 2.0};
    for others, that of the columns u_std, v_std and w_std or else an estimate."""
    outside: Literal["drop", "keep", "error"] = "drop"
    """What to do with track points outside the wall."""
    exclude: str | None = None
    """CSV file of rows or tracks to leave out, such as suspicious_rows.csv of an earlier run."""
    accept: tuple[WarningName, ...] = ()
    """Warnings about the input that are not to stop the run, since the input is right."""
    split: Split = field(default_factory=Split)
    """Training and validation rows."""

    @property
    def track_files(self) -> tuple[Path, ...]:
        """The files of the tracks."""
        names = (self.tracks,) if isinstance(self.tracks, str) else self.tracks
        return tuple(Path(name) for name in names)

    @property
    def tracks_named(self) -> str:
        """The files of the tracks, for messages."""
        return ", ".join(map(str, self.track_files))

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
        if self.phase == "wrap" and self.flow != "periodic":
            raise ValueError(
                f"found phase: wrap with flow: {self.flow}, expected it with flow: periodic only"
            )
        interval = 0 if self.velocity_interval == "auto" else self.velocity_interval
        if interval and self.flow == "steady":
            raise ValueError(
                "found velocity_interval with flow: steady, expected it with flow: periodic or "
                "flow: unsteady only"
            )
        if self.period is not None and interval > self.period / 2:
            raise ValueError(
                f"found velocity_interval {interval:g} s, expected at most half the period, "
                f"{self.period / 2:g} s"
            )
        if self.window is not None and self.window[0] >= self.window[1]:
            first, last = self.window
            raise ValueError(f"found window [{first:g}, {last:g}], expected the earlier time first")
        return self
