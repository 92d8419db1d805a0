"""Flow rate, pressure drop and hydraulic resistance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.fields.derived import NondimensionalFlow, sample_series
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, across
from aiv_rba.scales import Scales
from aiv_rba.time_modes import mean_over_time

ANGLES = 96
RADII = 8
SECTIONS = 21


@dataclass(frozen=True)
class Sections:
    """Quadrature of cross-sections.

    Attributes
    ----------
    points
        (S, Q, 3), nondimensional.
    weights
        (S, Q): areas, in units of L^2.
    """

    points: Array
    weights: Array


def heights(lumen: Lumen, count: int) -> Array:
    """Axial coordinates (count,) in the middles of equal parts of the lumen's length."""
    along = lumen.wall.points[:, lumen.axis]
    low, high = along.min(), along.max()
    return np.asarray(low + (high - low) * (np.arange(count) + 0.5) / count)


def cross_sections(lumen: Lumen, at: Array, angles: int = ANGLES, radii: int = RADII) -> Sections:
    """Gauss points in the radius times the trapezoidal rule in the angle, at heights (S,).

    The wall's radius at an angle is interpolated from its vertices; every section must be seen
    whole from its centre.
    """
    turn = 2 * np.pi * np.arange(angles) / angles - np.pi
    nodes, gauss = np.polynomial.legendre.leggauss(radii)
    height, angle = (grid.ravel() for grid in np.meshgrid(at, turn, indexing="ij"))
    inner = lumen.inner_radius(angle, height)[:, None]
    gap = lumen.outer_radius(angle, height)[:, None] - inner

    r = inner + gap * (nodes + 1) / 2
    weights = r * gap / 2 * gauss * (2 * np.pi / angles)
    centre = lumen.centre(height)
    first, second = across(lumen.axis)
    points = np.empty((*r.shape, 3))
    points[..., lumen.axis] = height[:, None]
    points[..., first] = centre[:, :1] + r * np.cos(angle)[:, None]
    points[..., second] = centre[:, 1:] + r * np.sin(angle)[:, None]
    return Sections(points.reshape(len(at), -1, 3), weights.reshape(len(at), -1))


def flow_rates(
    velocity: Array, pressure: Array, scales: Scales, lumen: Lumen, sections: Sections
) -> tuple[Array, Array]:
    """Flow rate, m^3/s, and mean pressure, Pa, (..., S) of S sections.

    Parameters
    ----------
    velocity, pressure
        (..., S Q, 3), m/s, and (..., S Q), Pa, at the points of the sections.
    scales, lumen, sections
        Scales of the case, the lumen, and the quadrature of its S sections.
    """
    weights = sections.weights
    along, pressure = (
        values.reshape(*values.shape[:-1], *weights.shape)
        for values in (velocity[..., lumen.axis], pressure)
    )
    rates = np.sum(weights * along, axis=-1) * scales.length**2
    means = np.sum(weights * pressure, axis=-1) / np.sum(weights, axis=-1)
    return rates, np.asarray(means)


def drop_over_length(pressure: Array) -> Array:
    """Pressure drop (...) over the whole length, from the mean pressures (..., S) of S sections.

    That from the first to the last section, scaled from their distance to the whole length.
    """
    sections = pressure.shape[-1]
    return np.asarray((pressure[..., 0] - pressure[..., -1]) * sections / max(sections - 1, 1))


def hydraulics(
    flow: NondimensionalFlow,
    scales: Scales,
    lumen: Lumen,
    times: NDArray[np.float64],
    sections: int = SECTIONS,
) -> pd.DataFrame:
    """Flow rate, pressure drop and resistance at nondimensional times (N,), SI units.

    The flow rate is the mean over the sections; its spread over them measures how well mass is
    conserved. Resistance is the mean drop over the mean flow rate of these times.
    """
    quadrature = cross_sections(lumen, heights(lumen, sections))
    rows = []
    series = sample_series(flow, scales, quadrature.points.reshape(-1, 3), times, order=0)
    for time, found in zip(times, series, strict=True):
        rates, pressure = flow_rates(found.velocity, found.pressure, scales, lumen, quadrature)
        drop = drop_over_length(pressure)
        rows.append((scales.seconds(time), np.mean(rates), np.std(rates), float(drop)))
    table = pd.DataFrame(
        rows, columns=["t_s", "flow_rate_m3_s", "flow_rate_spread_m3_s", "pressure_drop_pa"]
    )
    mean_drop, mean_rate = (
        mean_over_time(table[name].to_numpy(), table.t_s.to_numpy(), scales.flow)
        for name in ("pressure_drop_pa", "flow_rate_m3_s")
    )
    table["hydraulic_resistance_pa_s_m3"] = mean_drop / mean_rate
    return table
