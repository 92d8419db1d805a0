"""What each opening of a vessel does over the cycle, from hydraulics.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aiv_rba.fields.openings import MainFlow, Quadrature, pressure_column, rate_column
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array


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
    rates_std, pressures_std
        (T,): their standard deviations; None if there are none.
    """

    name: str
    area: float
    rates: Array
    pressures: Array
    rates_std: Array | None
    pressures_std: Array | None

    def to_dict(self) -> dict[str, Any]:
        """Means over the cycle, for summary.json."""
        return {
            "name": self.name,
            "area_m2": self.area,
            "mean_flow_rate_m3_s": float(self.rates.mean()),
            "mean_pressure_pa": float(self.pressures.mean()),
        }


def opened(case: Case, table: pd.DataFrame) -> list[OpeningFlow]:
    """The openings of a case, with their columns of a table of hydraulics."""

    def column(name: str) -> Array | None:
        return table[name].to_numpy() if name in table else None

    return [
        OpeningFlow(
            opening.name,
            float(np.linalg.norm(Quadrature.of([opening], np.inf, 1).areas, axis=1).sum())
            * case.scales.length**2,
            table[rate_column(opening.name)].to_numpy(),
            table[pressure_column(opening.name)].to_numpy(),
            column(rate_column(opening.name, "_std")),
            column(pressure_column(opening.name, "_std")),
        )
        for opening in case.openings
    ]


def drops_between(openings: list[OpeningFlow]) -> str:
    """Between which openings the pressure drop of a vessel of any shape is, for people."""
    if len(openings) < 2:
        return ""
    main = MainFlow.of(np.stack([opening.rates for opening in openings], axis=1))
    return f" from {openings[main.inlet].name} to {openings[main.outlet].name}"


def imbalance_in(table: pd.DataFrame) -> float:
    """Root mean square over the cycle of the column ``mass_imbalance``."""
    return float(np.sqrt(np.mean(table.mass_imbalance**2)))
