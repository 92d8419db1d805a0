"""Flow rate, pressure drop and hydraulic resistance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.fields.derived import Flow, at_time, sample
from aiv_rba.geometry import Lumen, across
from aiv_rba.scales import Scales
from aiv_rba.store import Array

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
    height, radius_at = _wall_radius(lumen)
    low, high = height
    heights = low + (high - low) * (np.arange(count) + 0.5) / count
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES - np.pi
    nodes, gauss = np.polynomial.legendre.leggauss(RADII)
    first, second = across(lumen.axis)
    points, weights = [], []
    for h in heights:
        outer, inner = radius_at(h, angles)
        r = inner[:, None] + (outer - inner)[:, None] * (nodes + 1) / 2
        weight = r * (outer - inner)[:, None] / 2 * gauss * (2 * np.pi / ANGLES)
        at = np.empty((*r.shape, 3))
        centre = lumen.centre(np.array([h]))[0]
        at[..., lumen.axis] = h
        at[..., first] = centre[0] + r * np.cos(angles)[:, None]
        at[..., second] = centre[1] + r * np.sin(angles)[:, None]
        points.append(at.reshape(-1, 3))
        weights.append(weight.ravel())
    return Sections(np.array(points), np.array(weights))


def _wall_radius(lumen: Lumen):  # type: ignore[no-untyped-def]
    from scipy.interpolate import LinearNDInterpolator

    def interpolator(patch: int) -> LinearNDInterpolator:
        vertices = np.unique(lumen.wall.triangles[lumen.wall.patch == patch])
        angle, height, radius = lumen.polar(lumen.wall.points[vertices])
        turns = (-2 * np.pi, 0.0, 2 * np.pi)
        at = np.concatenate([np.stack([angle + turn, height], axis=1) for turn in turns])
        return LinearNDInterpolator(at, np.tile(radius, 3), rescale=True)

    outer = interpolator(0)
    inner = interpolator(1) if lumen.annular else None
    heights = lumen.wall.points[:, lumen.axis]

    def radius_at(height: float, angles: Array) -> tuple[Array, Array]:
        at = np.stack([angles, np.full_like(angles, height)], axis=1)
        return outer(at), inner(at) if inner is not None else np.zeros_like(angles)

    return (heights.min(), heights.max()), radius_at


def hydraulics(
    flow: Flow, scales: Scales, lumen: Lumen, times: NDArray[np.float64], sections: int
) -> pd.DataFrame:
    """Flow rate, pressure drop and resistance at nondimensional times (N,), SI units.

    The flow rate is the mean over the sections; its spread over them measures how well mass is
    conserved. The pressure drop is that from the first to the last section, scaled from their
    distance to the whole length. Resistance is the cycle's mean drop over its mean flow rate.
    """
    quadrature = cross_sections(lumen, sections)
    axis = lumen.axis
    rows = []
    for time in times:
        flow_rate, pressure = [], []
        for points, weights in zip(quadrature.points, quadrature.weights, strict=True):
            values = sample(flow, scales, at_time(points, time))
            flow_rate.append(np.sum(weights * values.velocity[:, axis]) * scales.length**2)
            pressure.append(np.sum(weights * values.pressure) / np.sum(weights))
        drop = (pressure[0] - pressure[-1]) * sections / max(sections - 1, 1)
        rows.append((time * scales.time, np.mean(flow_rate), np.std(flow_rate), drop))
    table = pd.DataFrame(
        rows, columns=["t_s", "flow_rate_m3_s", "flow_rate_spread_m3_s", "pressure_drop_pa"]
    )
    mean = table.mean()
    table["hydraulic_resistance_pa_s_m3"] = mean.pressure_drop_pa / mean.flow_rate_m3_s
    return table
