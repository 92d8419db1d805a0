"""What each opening of a vessel does over the cycle, from hydraulics.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aiv_rba.fields.openings import MainFlow, Quadrature, pressure_column, rate_column
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.time_modes import mean_over_time


@dataclass(frozen=True)
class OpeningFlow:
    """An opening and what flows through it.

    Attributes
    ----------
    name
        Of the opening.
    area
        m^2.
    rates, pressures
        (T,): flow rates out of the vessel, m^3/s, and mean pressures, Pa.
    mean_rate, mean_pressure
        Their means over time.
    rates_std, pressures_std
        (T,): their standard deviations; None if there are none.
    """

    name: str
    area: float
    rates: Array
    pressures: Array
    mean_rate: float
    mean_pressure: float
    rates_std: Array | None
    pressures_std: Array | None

    def to_dict(self) -> dict[str, Any]:
        """Means over time, for summary.json."""
        return {
            "name": self.name,
            "area_m2": self.area,
            "mean_flow_rate_m3_s": self.mean_rate,
            "mean_pressure_pa": self.mean_pressure,
        }


def opened(case: Case, table: pd.DataFrame) -> list[OpeningFlow]:
    """The openings of a case, with their columns of a table of hydraulics."""

    def column(name: str) -> Array | None:
        return table[name].to_numpy() if name in table else None

    found = []
    for opening in case.openings:
        areas = Quadrature.of([opening], np.inf, 1).areas * case.scales.length**2
        rates, pressures = (
            table[name].to_numpy()
            for name in (rate_column(opening.name), pressure_column(opening.name))
        )
        mean_rate, mean_pressure = (
            float(mean_over_time(values, table.t_s.to_numpy(), case.flow))
            for values in (rates, pressures)
        )
        found.append(
            OpeningFlow(
                opening.name,
                float(np.linalg.norm(areas, axis=1).sum()),
                rates,
                pressures,
                mean_rate,
                mean_pressure,
                column(rate_column(opening.name, "_std")),
                column(pressure_column(opening.name, "_std")),
            )
        )
    return found


def drops_between(openings: list[OpeningFlow]) -> str:
    """Between which openings the pressure drop of a vessel of any shape is, for people."""
    if len(openings) < 2:
        return ""
    main = MainFlow.of(np.stack([opening.rates for opening in openings], axis=1))
    return f" from {openings[main.inlet].name} to {openings[main.outlet].name}"


def imbalance_in(table: pd.DataFrame) -> float:
    """Root mean square over time of the column ``mass_imbalance``."""
    return float(np.sqrt(np.mean(table.mass_imbalance**2)))
