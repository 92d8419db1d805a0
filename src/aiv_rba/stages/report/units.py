"""Units in which numbers are easy to read."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Unit and its size in SI, from large to small.
LADDERS = {
    "length": (("m", 1.0), ("mm", 1e-3), ("µm", 1e-6)),
    "area": (("m²", 1.0), ("cm²", 1e-4), ("mm²", 1e-6), ("µm²", 1e-12)),
    "speed": (("m/s", 1.0), ("mm/s", 1e-3), ("µm/s", 1e-6), ("nm/s", 1e-9)),
    "pressure": (("kPa", 1e3), ("Pa", 1.0), ("mPa", 1e-3), ("µPa", 1e-6)),
    "flow rate": (
        ("L/s", 1e-3),
        ("mL/s", 1e-6),
        ("µL/s", 1e-9),
        ("nL/s", 1e-12),
        ("pL/s", 1e-15),
    ),
    "rate": (("1/s", 1.0),),
}
# A number of one to four digits before the point is easy to read.
SMALLEST = 0.5


@dataclass(frozen=True)
class Unit:
    """A unit and the factor from SI to it."""

    name: str
    factor: float

    def text(self, value: float, deviation: float | None = None) -> str:
        """A value in SI units, in this unit, with three significant digits.

        With a standard deviation of two digits, if there is one.
        """
        spread = "" if deviation is None else f" ± {deviation * self.factor:.2g}"
        # Digits, not powers of ten, also where the next larger unit is far away.
        rounded = float(f"{value * self.factor:.3g}")
        return f"{rounded:,.12g}{spread} {self.name}"


def unit_for(quantity: str, size: float) -> Unit:
    """The largest unit of a quantity in which `size` (SI) is not below `SMALLEST`."""
    ladder = LADDERS[quantity]
    if not (math.isfinite(size) and size > 0):
        name, value = next(rung for rung in ladder if rung[1] <= 1)
        return Unit(name, 1 / value)
    fitting = [rung for rung in ladder if abs(size) >= SMALLEST * rung[1]]
    name, value = fitting[0] if fitting else ladder[-1]
    return Unit(name, 1 / value)
