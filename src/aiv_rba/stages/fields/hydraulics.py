"""Flow rate, pressure drop and hydraulic resistance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, across
from aiv_rba.scales import Scales
from aiv_rba.stages.fields.derived import Flow, at_time, sample

ANGLES = 96
RADII = 8


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


def cross_sections(lumen: Lumen, count: int) -> Sections:
    """Gauss points in the radius times the trapezoidal rule in the angle on `count` sections.

    The wall's radius at an angle is interpolated from its vertices; every section must be seen
    whole from its centre.
    """
    along = lumen.wall.points[:, lumen.axis]
    low, high = along.min(), along.max()
    heights = low + (high - low) * (np.arange(count) + 0.5) / count
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES - np.pi
    nodes, gauss = np.polynomial.legendre.leggauss(RADII)
    height, angle = (grid.ravel() for grid in np.meshgrid(heights, angles, indexing="ij"))
    inner = lumen.inner_radius(angle, height)[:, None]
    gap = lumen.outer_radius(angle, height)[:, None] - inner

    r = inner + gap * (nodes + 1) / 2
    weights = r * gap / 2 * gauss * (2 * np.pi / ANGLES)
    centre = lumen.centre(height)
    first, second = across(lumen.axis)
    points = np.empty((*r.shape, 3))
    points[..., lumen.axis] = height[:, None]
    points[..., first] = centre[:, :1] + r * np.cos(angle)[:, None]
    points[..., second] = centre[:, 1:] + r * np.sin(angle)[:, None]
    return Sections(points.reshape(count, -1, 3), weights.reshape(count, -1))


def hydraulics(
    flow: Flow, scales: Scales, lumen: Lumen, times: NDArray[np.float64], sections: int
) -> pd.DataFrame:
    """Flow rate, pressure drop and resistance at nondimensional times (N,), SI units.

    The flow rate is the mean over the sections; its spread over them measures how well mass is
    conserved. The pressure drop is that from the first to the last section, scaled from their
    distance to the whole length. Resistance is the cycle's mean drop over its mean flow rate.
    """
    quadrature = cross_sections(lumen, sections)
    axis, weights = lumen.axis, quadrature.weights
    rows = []
    for time in times:
        values = sample(flow, scales, at_time(quadrature.points.reshape(-1, 3), time))
        along = values.velocity[:, axis].reshape(weights.shape)
        flow_rate = np.sum(weights * along, axis=1) * scales.length**2
        pressure = np.average(values.pressure.reshape(weights.shape), axis=1, weights=weights)
        drop = (pressure[0] - pressure[-1]) * sections / max(sections - 1, 1)
        rows.append((time * scales.time, np.mean(flow_rate), np.std(flow_rate), drop))
    table = pd.DataFrame(
        rows, columns=["t_s", "flow_rate_m3_s", "flow_rate_spread_m3_s", "pressure_drop_pa"]
    )
    mean = table.mean()
    table["hydraulic_resistance_pa_s_m3"] = mean.pressure_drop_pa / mean.flow_rate_m3_s
    return table
