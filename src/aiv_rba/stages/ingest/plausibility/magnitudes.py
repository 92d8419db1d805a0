"""Numbers of the experiment against those that are usual."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aiv_rba.files.warnings import InputWarning
from aiv_rba.settings import Fluid
from aiv_rba.stages.ingest.plausibility.evidence import Evidence

# Rms velocities in units of a given scale that are usual, and beyond which the scale is plainly
# wrong.
USUAL_VELOCITY, PLAIN_VELOCITY = (0.02, 50), (0.01, 100)
# Given length scales that are usual, in hydraulic radii.
USUAL_LENGTH = (0.1, 10)


@dataclass(frozen=True)
class Kind:
    """A kind of fluids: least and largest density, kg/m3, and dynamic viscosity, Pa s."""

    name: str
    density: tuple[float, float]
    viscosity: tuple[float, float]

    def includes(self, density: float, viscosity: float) -> bool:
        """Whether a fluid may be of this kind."""
        return (
            self.density[0] <= density <= self.density[1]
            and self.viscosity[0] <= viscosity <= self.viscosity[1]
        )


# Rounded outwards, from 0 to about 100 degrees Celsius at atmospheric pressure. CRC Handbook of
# Chemistry and Physics (densities and viscosities of gases, water, organic liquids and metals);
# Kenner (1989) and Merrill (1969) for blood; Cheng (2008) for glycerol and its mixtures with water.
FLUIDS = (
    Kind("water or a thin solution in it", (950, 1100), (2.5e-4, 3e-3)),
    Kind("blood", (1020, 1090), (1.5e-3, 0.1)),
    Kind("glycerol and water", (1000, 1220), (5e-4, 0.2)),
    Kind("glycerol", (1220, 1280), (0.01, 15)),
    Kind("a heavy salt solution", (1100, 2200), (5e-4, 0.03)),
    Kind("an oil", (750, 980), (4e-4, 100)),
    Kind("an organic liquid", (600, 1700), (1.5e-4, 0.06)),
    Kind("air or another gas", (0.05, 10), (7e-6, 4e-5)),
    Kind("a liquid metal", (6000, 14000), (8e-4, 4e-3)),
)
# Factors by which a number in another unit differs, and that unit.
UNITS = (
    (1.0, 1e-3, "the viscosity is in mPa s (cP)"),
    (1e3, 1.0, "the density is in g/cm3"),
    (1e3, 1e-3, "the density is in g/cm3 and the viscosity in mPa s (cP)"),
    (1.0, 0.1, "the viscosity is in poise"),
)


def check_fluid(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether there are fluids of the given density and viscosity."""
    fluid = evidence.config.fluid
    if kind_of(fluid.density, fluid.viscosity) is None:
        yield InputWarning(
            "fluid",
            f"no usual liquid or gas has the density {fluid.density:.4g} kg/m3 and the viscosity "
            f"{fluid.viscosity:.3g} Pa s{_guess(fluid)}: check ingest.fluid",
        )


def kind_of(density: float, viscosity: float) -> str | None:
    """Kind of a fluid with a density, kg/m3, and a dynamic viscosity, Pa s."""
    return next((kind.name for kind in FLUIDS if kind.includes(density, viscosity)), None)


def _guess(fluid: Fluid) -> str:
    """What the numbers would mean in another unit, if that is a fluid."""
    for density, viscosity, meaning in UNITS:
        kind = kind_of(fluid.density * density, fluid.viscosity * viscosity)
        if kind is not None:
            return f"; {kind} would, if {meaning}"
    kinematic = kind_of(fluid.density, fluid.viscosity * fluid.density)
    if kinematic is not None:
        return f"; {kinematic} would, if the viscosity is kinematic, in m2/s"
    return ""


def check_velocity_scale(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether velocities are of the size of a given velocity scale."""
    squares = [np.mean(values**2) for values in evidence.case.tracks.velocity.values()]
    size = float(np.sqrt(sum(squares)))
    # Where nothing moves, another warning says so.
    if size > 0 and not USUAL_VELOCITY[0] < size < USUAL_VELOCITY[1]:
        yield InputWarning(
            "velocity_scale",
            f"the rms velocity is {size:.2g} velocity scales: check ingest.units.velocity and "
            "ingest.velocity_scale",
            fatal=not PLAIN_VELOCITY[0] < size < PLAIN_VELOCITY[1],
        )


def check_length_scale(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether a given length scale is of the size of the vessel."""
    # The hydraulic radius is in units of the length scale.
    size = 1 / evidence.case.radius
    if not USUAL_LENGTH[0] < size < USUAL_LENGTH[1]:
        yield InputWarning(
            "length_scale",
            f"ingest.length_scale is {size:.2g} hydraulic radii of the vessel: check it, in m, "
            "and ingest.units.wall",
        )
