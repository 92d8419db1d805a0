"""Settings of stage ingest: tracks, wall, units, scales."""

from __future__ import annotations

from dataclasses import field
from typing import Literal, Self

from pydantic import model_validator
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


@dataclass(frozen=True, config=STRICT)
class IngestSettings:
    """Stage ingest: tracks, wall, units, scales."""

    tracks: str
    """CSV file of tracks: t, x, y, z (or z_plane), u, v[, w], track[, plane][, frame]."""
    wall: str
    """Triangulated wall: STL, PLY, VTP or VTK."""
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
    inner_wall: str | None = None
    """Inner wall of an annular lumen; none for a single lumen."""
    wall_error: NonNegative | Auto = "auto"
    """Standard deviation of the wall's position, in the unit of the wall's file, such as half a
    voxel of the image that it was segmented from; auto: a quarter of how far its triangles lie off
    a curved wall through their vertices, and how far its vertices scatter about a smooth one."""
    axis: Literal["x", "y", "z"] = "y"
    """Vessel axis in the coordinates of the files."""
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
