"""Options of a twin, and the sizes that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from aiv_rba.scales import Scales
from aiv_rba.settings.types import STRICT, Count, Positive, Seed
from aiv_rba.twin.axes import AxisName
from aiv_rba.twin.lobes import Lobe
from aiv_rba.twin.mesh import Discretisation, Ends
from aiv_rba.twin.shapes import Shape
from aiv_rba.twin.surface import GivenWall, hydraulic_radius
from aiv_rba.twin.tracers import Camera
from aiv_rba.twin.wave import DrawnWave, Wave, Waveform

# Water at body temperature, kg/m^3 and Pa s; period of a mouse's heart, s.
DENSITY, VISCOSITY, PERIOD = 993.3, 6.92e-4, 0.303
UNIT_LENGTH = (VISCOSITY / DENSITY * PERIOD) ** 0.5
PRESETS = {
    # Unit length and speed such that the Reynolds number and the period are one.
    "phantom": (UNIT_LENGTH, UNIT_LENGTH / PERIOD),
    "physiological": (50e-6, 50e-6),
}


@dataclass(frozen=True, config=STRICT)
class TwinFluid:
    """The fluid, water at body temperature unless asked for otherwise."""

    density: Positive = DENSITY
    """Density, kg/m^3."""
    viscosity: Positive = VISCOSITY
    """Dynamic viscosity, Pa s."""


@dataclass(frozen=True, config=STRICT)
class Truth:
    """Where the true fields are written."""

    points: Count = 4000
    """Points in the lumen."""
    wall_points: Count = 2000
    """Points on the wall."""
    at: Literal["wall", "vertices"] = "wall"
    """Wall points anywhere on the smooth wall, or only where the given wall has vertices."""


@dataclass(frozen=True, config=STRICT)
class Twin:
    """Options of one digital twin.

    The hydraulic radius R is twice the volume of the lumen over the area of its walls, the speed
    U is the rms over the cycle of the flow rate over the mean section. They follow from the
    Reynolds number U R / nu and the Womersley number R sqrt(2 pi / (nu period)).
    """

    seed: Seed = 0
    """Seed of tracers, noise, sample points, wall error and drawn waveform."""
    duct: Shape = field(default_factory=Lobe)
    """The vessel, in length units of the twin."""
    axis: AxisName = "y"
    """Vessel axis in the files; the camera looks along their z."""
    unit: Literal["um", "mm"] = "um"
    """Unit of length of the files; velocities are in this unit over seconds."""
    fluid: TwinFluid = field(default_factory=TwinFluid)
    """The fluid."""
    period: Positive = PERIOD
    """Period, s; of a steady flow, the time that is recorded."""
    reynolds: Positive = 0.27
    """Reynolds number; the default is that of the bundled experiment."""
    womersley: Positive = 1.3
    """Womersley number; the default is that of the bundled experiment."""
    length_scale: Positive | None = None
    """Unit of length of the twin, m, instead of the Womersley number's."""
    velocity_scale: Positive | None = None
    """Unit of speed of the twin, m/s, instead of the Reynolds number's."""
    wave: Waveform = field(default_factory=DrawnWave)
    """Flow rate over the cycle; at one unit of speed, a multiple of the vessel's section."""
    flow: Literal["periodic", "steady"] = "periodic"
    """What the experiment says of the flow; a steady one can also be said to be periodic."""
    ends: Ends = "periodic"
    """The vessel repeats after its length, or has open ends beyond buffers."""
    discretisation: Discretisation = field(default_factory=Discretisation)
    """Resolution of the CFD."""
    camera: Camera = field(default_factory=Camera)
    """Recording and tracking."""
    wall: GivenWall = field(default_factory=GivenWall)
    """The wall that is given."""
    truth: Truth = field(default_factory=Truth)
    """Points at which the truth is written."""

    def __post_init__(self) -> None:
        """Check that a flow which is said to be steady is so."""
        if self.flow == "steady" and not (isinstance(self.wave, Wave) and self.wave.steady):
            raise ValueError("flow: steady, expected a listed wave without amplitudes")

    @cached_property
    def _hydraulic(self) -> tuple[float, float]:
        return hydraulic_radius(self.duct)

    @property
    def radius(self) -> float:
        """Hydraulic radius, in length units of the twin."""
        return self._hydraulic[0]

    @cached_property
    def pulse(self) -> Wave:
        """The waveform of this seed."""
        return self.wave.drawn(self.seed)

    @cached_property
    def scales(self) -> Scales:
        """Units of length and speed of the twin."""
        radius, section = self._hydraulic
        kinematic = self.fluid.viscosity / self.fluid.density
        length = self.length_scale or (
            self.womersley * float(np.sqrt(kinematic * self.period / (2 * np.pi))) / radius
        )
        velocity = self.velocity_scale or (
            self.reynolds
            * kinematic
            / (radius * length)
            / (self.pulse.rms * self.duct.section / section)
        )
        return Scales(length, velocity, self.fluid.density, self.fluid.viscosity, self.period)

    @property
    def numbers(self) -> dict[str, float]:
        """Reynolds and Womersley number of the hydraulic radius."""
        radius, section = self._hydraulic
        speed = self.pulse.rms * self.duct.section / section
        return {
            "reynolds_hydraulic": self.scales.reynolds * radius * speed,
            "womersley_hydraulic": self.scales.womersley * radius,
        }

    @property
    def flow_rate(self) -> Callable[[float], float]:
        """Flow rate at a nondimensional time, in units of the twin."""
        section, period = self.duct.section, self.scales.nondimensional_period
        return lambda t: section * self.pulse(t, period)


def preset(name: str, seed: int) -> Twin:
    """The bundled experiment ("phantom") or the same at 50 um and 50 um/s ("physiological")."""
    length, velocity = PRESETS[name]
    return Twin(
        seed=seed,
        length_scale=length,
        velocity_scale=velocity,
        wave=Wave(),
        ends="open",
        truth=Truth(at="vertices"),
    )
