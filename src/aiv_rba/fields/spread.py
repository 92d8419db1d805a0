"""Standard deviations of an inferred flow and of what follows from it, in SI units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from aiv_rba.fields.derived import Sample, in_si, nondimensional
from aiv_rba.fields.hydraulics import (
    SECTIONS,
    cross_sections,
    drop_over_length,
    flow_rates,
    heights,
)
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen, apart
from aiv_rba.problems.velocimetry.deviations import Deviations
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.time_modes import mean_over_time

# Positions whose samples are held at a time.
POSITIONS_AT_ONCE = 250
# On a mesh they are computed on about so many lines from the centre to the wall, and interpolated
# between the nearest ones.
LINES, NEAREST = 400, 4
# Points of the volume mesh over which the mean of the pressure is taken.
GAUGE = 400
# Quadrature of a section, coarser than that of the flow itself.
ANGLES, RADII = 24, 4

QUANTITIES = ("velocity", "pressure", "vorticity", "wall_shear_stress")
"""Fields that have standard deviations."""
Quantities = Callable[[Sample, slice], dict[str, Array]]
"""From samples (S, n) at the positions in a slice to quantities (S, n, ...)."""


class StandardDeviations:
    """Standard deviations of the flow in a vessel: the same questions as `Flow` answers.

    They are root mean squares of samples of what the flow may be off by. Positions are in m, times
    in s. Those of a vector are those of its components; that of a pressure is that of the pressure
    less its mean over the lumen.

    Parameters
    ----------
    case, model, deviations
        The case, the network and the samples.
    lumen
        The lumen.
    layers
        (K, V, 3) copies of the vertices of the outer wall that make up the volume mesh.
    """

    def __init__(
        self, case: Case, model: Model, deviations: Deviations, lumen: Lumen, layers: Array
    ) -> None:
        self.case = case
        self.model = model
        self.deviations = deviations
        self.lumen = lumen
        self.layers = layers

    def velocity(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the velocity (N, 3), m/s, at points (N, 3)."""
        return self.at(points, time)["velocity"]

    def pressure(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the pressure (N,), Pa, at points (N, 3)."""
        return self.at(points, time)["pressure"]

    def vorticity(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the vorticity (N, 3), 1/s, at points (N, 3)."""
        return self.at(points, time)["vorticity"]

    def wall_shear_stress(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the wall shear stress (N, 3), Pa, at points (N, 3) of the wall.

        The normal is that of the nearest vertex of the wall.
        """
        wall, scales = self.case.wall, self.case.scales
        positions = nondimensional(points, scales)
        _, nearest = KDTree(wall.points).query(positions)
        found = self.on_wall(positions, wall.normals[nearest], self._times([time]))
        return found[0]["wall_shear_stress"]

    def flow_rate(self, time: float | None = None) -> float:
        """Of the mean flow rate, m^3/s."""
        rates, _ = self._rates_and_drops(self._times([time]), SECTIONS)
        return float(_rms(rates)[0])

    def pressure_drop(self, time: float | None = None) -> float:
        """Of the pressure drop over the whole length, Pa."""
        _, drops = self._rates_and_drops(self._times([time]), SECTIONS)
        return float(_rms(drops)[0])

    def hydraulics(self, table: pd.DataFrame, sections: int = SECTIONS) -> pd.DataFrame:
        """Of flow rate, pressure drop, their means and resistance, for a table of `Flow`."""
        rates, drops = self._rates_and_drops(self._times(table.t_s), sections)
        inferred = (table[name].to_numpy() for name in ("flow_rate_m3_s", "pressure_drop_pa"))
        mean_rate, mean_drop, mean_rates, mean_drops = (
            mean_over_time(values, table.t_s.to_numpy(), self.case.flow)
            for values in (*inferred, rates, drops)
        )
        # R = D / Q, to first order.
        off = (mean_drops - mean_drop / mean_rate * mean_rates) / mean_rate
        return pd.DataFrame(
            {
                "flow_rate_std_m3_s": _rms(rates),
                "pressure_drop_std_pa": _rms(drops),
                "mean_flow_rate_std_m3_s": float(_rms(mean_rates)),
                "mean_pressure_drop_std_pa": float(_rms(mean_drops)),
                "hydraulic_resistance_std_pa_s_m3": float(_rms(off)),
            },
            index=table.index,
        )

    def in_volume(self, times: Iterable[float | None]) -> Iterator[dict[str, Array]]:
        """Of velocity, pressure and vorticity on the volume mesh, at times (T,), s."""
        lines = _Lines.through(self.layers[-1], self._spacing)
        found = self.inside(self.layers[:, lines.chosen].reshape(-1, 3), self._times(times))
        for at_time in found:
            yield {
                name: lines.on_layers(values, len(self.layers)) for name, values in at_time.items()
            }

    def on_vertices(self, times: Iterable[float | None]) -> Iterator[dict[str, Array]]:
        """Of wall shear stress, pressure and vorticity on the wall's vertices, at times (T,), s."""
        wall = self.case.wall
        lines = _Lines.through(wall.points, self._spacing)
        at = wall.points[lines.chosen], wall.normals[lines.chosen]
        for found in self.on_wall(*at, self._times(times)):
            yield {name: lines.on_layers(values, 1) for name, values in found.items()}

    def inside(
        self, positions: Array, times: Array, source: str | None = None
    ) -> list[dict[str, Array]]:
        """Of velocity, pressure and vorticity at nondimensional positions (N, 3) and times (T,).

        With a `source`, what that kind of error alone contributes.
        """
        names = ("velocity", "pressure", "vorticity")
        return self._series(
            positions, times, lambda sample, part: {n: getattr(sample, n) for n in names}, source
        )

    def on_wall(
        self, positions: Array, normals: Array, times: Array, source: str | None = None
    ) -> list[dict[str, Array]]:
        """Of wall shear stress, pressure and vorticity, likewise, with normals (N, 3)."""
        viscosity = self.case.scales.viscosity

        def quantities(sample: Sample, part: slice) -> dict[str, Array]:
            return {
                "wall_shear_stress": sample.wall_shear_stress(normals[part], viscosity),
                "pressure": sample.pressure,
                "vorticity": sample.vorticity,
            }

        return self._series(positions, times, quantities, source)

    def at(self, points: ArrayLike, time: float | None = None) -> dict[str, Array]:
        """Of velocity, pressure and vorticity at points (N, 3), at once."""
        return self.inside(nondimensional(points, self.case.scales), self._times([time]))[0]

    def _times(self, times: Iterable[float | None]) -> Array:
        return np.array([self.case.scales.time_of(time) for time in times])

    @property
    def _spacing(self) -> float:
        """Distance of the lines on the wall."""
        faces = self.case.wall.points[self.case.wall.triangles]
        sides = np.diff(faces, axis=1)
        area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2
        return float(np.sqrt(area / LINES))

    def _rates_and_drops(self, times: Array, sections: int) -> tuple[Array, Array]:
        """Samples (T, S) of flow rate, m^3/s, and pressure drop, Pa, at nondimensional times."""
        scales = self.case.scales
        quadrature = cross_sections(self.lumen, heights(self.lumen, sections), ANGLES, RADII)
        whole: list[list[Sample]] = [[] for _ in times]
        positions = quadrature.points.reshape(-1, 3)
        for _, samples in self._samples(positions, times, derivatives=False):
            for blocks, sample in zip(whole, samples, strict=True):
                blocks.append(sample)
        rates, drops = [], []
        for blocks in whole:
            velocity, pressure = (
                np.concatenate([getattr(block, name) for block in blocks], axis=1)
                for name in ("velocity", "pressure")
            )
            rate, pressure = flow_rates(velocity, pressure, scales, self.lumen, quadrature)
            rates.append(rate.mean(axis=-1))
            drops.append(drop_over_length(pressure))
        return np.array(rates), np.array(drops)

    def _series(
        self, positions: Array, times: Array, quantities: Quantities, source: str | None
    ) -> list[dict[str, Array]]:
        """Root mean squares of what `quantities` makes of the samples, at each time."""
        gauges = self._mean_pressures(times, source)
        found: list[dict[str, list[Array]]] = [{} for _ in times]
        for part, samples in self._samples(positions, times, source):
            for into, sample, gauge in zip(found, samples, gauges, strict=True):
                relative = replace(sample, pressure=sample.pressure - gauge[:, None])
                for name, values in quantities(relative, part).items():
                    into.setdefault(name, []).append(_rms(values, axis=0))
        return [{name: np.concatenate(v) for name, v in into.items()} for into in found]

    def _mean_pressures(self, times: Array, source: str | None) -> Array:
        """Samples (T, S) of the pressure's mean over the volume mesh, Pa."""
        points = self.layers.reshape(-1, 3)
        points = points[:: -(-len(points) // GAUGE)]
        parts = [
            [sample.pressure for sample in samples]
            for _, samples in self._samples(points, times, source, derivatives=False)
        ]
        return np.asarray(np.concatenate(parts, axis=2).mean(axis=2))

    def _samples(
        self, positions: Array, times: Array, source: str | None = None, *, derivatives: bool = True
    ) -> Iterator[tuple[slice, list[Sample]]]:
        """Samples (S, n) at each time, for one block of n positions after the other.

        Without `derivatives` their gradients may be empty.
        """
        for start in range(0, len(positions), POSITIONS_AT_ONCE):
            part = slice(start, start + POSITIONS_AT_ONCE)
            here, at = (torch.as_tensor(v, dtype=torch.float64) for v in (positions[part], times))
            found = self.deviations.jets(
                self.model.network, here, at, source=source, derivatives=derivatives
            ).numpy()
            yield part, [in_si(found[:, t], self.model.scales) for t in range(len(at))]


@dataclass(frozen=True)
class _Lines:
    """Some of the points of a surface, and how to interpolate between them.

    Attributes
    ----------
    chosen
        (C,) numbers of the chosen points.
    near, weights
        (V, k): for every point of the surface the nearest chosen ones, by their place in `chosen`,
        and their weights, inverse squares of the distances.
    """

    chosen: IntArray
    near: IntArray
    weights: Array

    @classmethod
    def through(cls, points: Array, spacing: float) -> Self:
        """Lines through points (V, 3) that are `spacing` apart."""
        chosen = apart(points, spacing)
        nearest = list(range(1, min(NEAREST, len(chosen)) + 1))
        distance, near = map(np.asarray, KDTree(points[chosen]).query(points, k=nearest))
        inverse = 1 / np.maximum(distance, 1e-9 * spacing) ** 2
        return cls(chosen, near, inverse / inverse.sum(axis=1, keepdims=True))

    def on_layers(self, values: Array, layers: int) -> Array:
        """Values (layers * V, ...) at all points from those (layers * C, ...) on the lines."""
        on_lines = values.reshape(layers, len(self.chosen), *values.shape[1:])
        whole = np.einsum("vk,lvk...->lv...", self.weights, on_lines[:, self.near])
        return np.asarray(whole.reshape(-1, *values.shape[1:]))


def _rms(samples: Array, axis: int = -1) -> Array:
    return np.asarray(np.sqrt(np.mean(samples**2, axis=axis)))
