"""What flows through the openings of a vessel, from an inferred flow."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from aiv_rba.fields.derived import NondimensionalFlow, sample_series
from aiv_rba.fields.openings import (
    LARGEST,
    ORDER,
    TIMES,
    MainFlow,
    Quadrature,
    imbalance,
    pressure_column,
    rate_column,
)
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, Region
from aiv_rba.time_modes import mean_over_time


class ThroughOpenings:
    """What flows through the openings of a vessel.

    Parameters
    ----------
    case, lumen
        The case and its lumen.
    flow
        The flow, nondimensional.
    """

    def __init__(self, case: Case, lumen: Lumen | Region, flow: NondimensionalFlow) -> None:
        self.flow = flow
        self.scales = case.scales
        self.openings = case.openings
        self.radius = lumen.radius if isinstance(lumen, Region) else case.radius

    @property
    def names(self) -> list[str]:
        """Of the O openings."""
        return [opening.name for opening in self.openings]

    @cached_property
    def quadrature(self) -> Quadrature:
        """Quadrature of the openings."""
        return Quadrature.of(self.openings, LARGEST * self.radius)

    @cached_property
    def coarse_quadrature(self) -> Quadrature:
        """A coarser one, for standard deviations."""
        return Quadrature.of(self.openings, 2 * LARGEST * self.radius, ORDER - 1)

    @cached_property
    def main(self) -> MainFlow:
        """The main flow over the cycle or window."""
        times = self.scales.nondimensional_period * self.scales.shares(TIMES)
        return MainFlow.of(self.at(times)[0])

    def at(self, times: Array) -> tuple[Array, Array]:
        """Flow rates, m^3/s, and mean pressures, Pa, (T, O) at nondimensional times (T,)."""
        if not self.openings:
            return np.zeros((len(times), 0)), np.zeros((len(times), 0))
        rates, pressures = [], []
        for found in sample_series(self.flow, self.scales, self.quadrature.points, times, order=0):
            rates.append(self.quadrature.flow_rates(found.velocity, self.scales))
            pressures.append(self.quadrature.mean_pressures(found.pressure))
        return np.array(rates), np.array(pressures)

    def hydraulics(self, times: Array) -> pd.DataFrame:
        """Flow rate, pressure drop and resistance of a general lumen, as `hydraulics` of a tube.

        The flow rate is that through the vessel, the pressure drop that from its main inlet to its
        main outlet, and only a vessel with two openings has a resistance.
        """
        rates, pressures = self.at(times)
        table = pd.DataFrame(
            {
                "t_s": self.scales.seconds(times),
                "flow_rate_m3_s": self.main.throughput(rates),
                "pressure_drop_pa": self.main.drop(pressures),
            }
        )
        mean_drop, mean_rate = (
            mean_over_time(table[name].to_numpy(), table.t_s.to_numpy(), self.scales.flow)
            for name in ("pressure_drop_pa", "flow_rate_m3_s")
        )
        known = len(self.openings) == 2 and mean_rate != 0
        table["hydraulic_resistance_pa_s_m3"] = mean_drop / mean_rate if known else np.nan
        return table

    def columns(self, times: Array, gauges: Array) -> dict[str, Array]:
        """Flow rate and mean pressure of every opening, and the imbalance, at times (T,).

        Pressures are relative to the gauges (T,), Pa. The imbalance is the sum of the flow rates
        over the root mean square of the flow rate through the vessel.
        """
        rates, pressures = self.at(times)
        found = {}
        for number, name in enumerate(self.names):
            found[rate_column(name)] = rates[:, number]
            found[pressure_column(name)] = pressures[:, number] - gauges
        if self.openings:
            found["mass_imbalance"] = imbalance(rates, self.main)
        return found
