"""SI <-> nondimensional."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import pint
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.settings.types import FlowKind

PressureScaling = Literal["inertial", "viscous"]

# Share of the window by which a time may lie outside it: rounding.
ROUNDING = 1e-9

_registry: pint.UnitRegistry[Any] = pint.UnitRegistry()


def to_si(unit: str, dimension: str, key: str) -> float:
    """Factor from `unit` to the SI unit of `dimension`.

    Parameters
    ----------
    unit
        A unit such as ``"um"``, ``"mm/s"`` or ``"s"``, perhaps with a number: ``"0.65 um"``.
    dimension
        The dimension that it must have, such as ``"[length]"`` or ``"[length]/[time]"``.
    key
        The configuration key, for the error message.

    Raises
    ------
    UserError
        If `unit` is unknown or of another dimension.
    """
    try:
        quantity: pint.Quantity[Any] = _registry.Quantity(unit)
        fits = quantity.check(dimension)
    except Exception:
        raise UserError(f"{key}: unknown unit {unit!r}, expected a unit of {dimension}") from None
    if not fits:
        raise UserError(
            f"{key}: unit {unit!r} has dimension {quantity.dimensionality}, expected {dimension}"
        )
    return float(quantity.to_base_units().magnitude)


@dataclass(frozen=True)
class Scales:
    """Scales of one experiment; SI units.

    Lengths are measured from `origin` in units of `length`, speeds in units of `velocity`,
    times in units of `length / velocity`.

    With ``pressure_scaling="inertial"`` pressure is measured in rho U^2 and the momentum equation
    is Eq. 33. At small Reynolds number that pressure is huge and the momentum residual with it;
    ``"viscous"`` measures pressure in mu U / L, which is Eq. 33 times Re, so that the terms that
    balance stay of order one. Both read

        inertia (dv/dt + (v . grad) v) = -grad p + diffusion lap v.

    A periodic flow has a `period`. An unsteady one is known in a window of the recording alone,
    which begins at `start` and is as long as `period` says; nondimensional times count from there.
    In a steady one the only time is zero, and `period` is a unit of time without a meaning.
    """

    length: float
    velocity: float
    density: float
    viscosity: float
    period: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pressure_scaling: PressureScaling = "inertial"
    flow: FlowKind = "periodic"
    start: float = 0.0

    @property
    def time(self) -> float:
        """Unit of time L / U, s."""
        return self.length / self.velocity

    @property
    def nondimensional_period(self) -> float:
        """Period, or length of the window, in units of L / U."""
        return self.period / self.time

    @property
    def end(self) -> float:
        """End of the period or of the window, s."""
        return self.start + self.period

    def shares(self, count: int) -> NDArray[np.float64]:
        """Equally spaced times as shares of the period or window, (count,); one of a steady flow.

        The end of a period is the beginning of the next and is left out; a window has both ends.
        """
        if self.flow == "steady":
            return np.zeros(1)
        return np.arange(count) / max(count - (self.flow == "unsteady"), 1)

    def seconds(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nondimensional times in s: in the period, or of the recording."""
        return self.start + times * self.time

    def time_of(self, seconds: float | None) -> float:
        """Nondimensional time of one in s: in the period, or in the window of the recording.

        Raises
        ------
        UserError
            If the time lies outside the window, or there is none and the flow is not steady.
        """
        if self.flow == "steady":
            return 0.0
        if seconds is None:
            raise UserError(f"time: found none, expected one in s, since the flow is {self.flow}")
        if self.flow == "periodic":
            return float(seconds % self.period) / self.time
        elapsed = seconds - self.start
        if not -ROUNDING <= elapsed / self.period <= 1 + ROUNDING:
            raise UserError(
                f"time: found {seconds:g} s, expected one in the window of the recording, "
                f"{self.start:g} to {self.end:g} s"
            )
        return float(np.clip(elapsed, 0, self.period)) / self.time

    @property
    def reynolds(self) -> float:
        """Reynolds number rho U L / mu."""
        return self.density * self.velocity * self.length / self.viscosity

    @property
    def womersley(self) -> float:
        """Womersley number L sqrt(omega rho / mu) of a periodic flow, of the unit length."""
        omega = 2 * math.pi / self.period
        return self.length * math.sqrt(omega * self.density / self.viscosity)

    @property
    def pressure(self) -> float:
        """Unit of pressure, Pa."""
        if self.pressure_scaling == "inertial":
            return self.density * self.velocity**2
        return self.viscosity * self.velocity / self.length

    @property
    def shear_rate(self) -> float:
        """Unit of vorticity and shear rate U / L, 1/s."""
        return self.velocity / self.length

    @property
    def flow_rate(self) -> float:
        """Unit of flow rate U L^2, m^3/s."""
        return self.velocity * self.length**2

    @property
    def inertia(self) -> float:
        """Coefficient of the acceleration in the momentum equation."""
        return 1.0 if self.pressure_scaling == "inertial" else self.reynolds

    @property
    def diffusion(self) -> float:
        """Coefficient of the Laplacian in the momentum equation."""
        return 1.0 / self.reynolds if self.pressure_scaling == "inertial" else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for file attributes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        x, y, z = (float(value) for value in values["origin"])
        numbers = ("length", "velocity", "density", "viscosity", "period", "start")
        return cls(
            **{name: float(values[name]) for name in numbers},
            origin=(x, y, z),
            pressure_scaling=values["pressure_scaling"],
            flow=values["flow"],
        )
