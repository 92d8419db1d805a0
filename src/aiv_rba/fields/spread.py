"""Standard deviations of an inferred flow and of what follows from it, in SI units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import pyvista as pv
import torch
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from aiv_rba.fields.derived import TIMES_AT_ONCE, Sample, device_of, in_si, nondimensional
from aiv_rba.fields.hydraulics import (
    SECTIONS,
    cross_sections,
    drop_over_length,
    flow_rates,
    heights,
)
from aiv_rba.fields.openings import pressure_column, rate_column
from aiv_rba.fields.thinned import Thinned
from aiv_rba.fields.through_openings import ThroughOpenings
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, Region
from aiv_rba.jets import Order
from aiv_rba.problems.velocimetry.deviations import Deviations
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.time_modes import mean_over_time

# Positions whose samples are held at a time.
POSITIONS_AT_ONCE = {"cpu": 250, "cuda": 4_000}
# Points of the volume mesh over which the mean of the pressure is taken.
GAUGE = 400
# What standard deviations of the wall shear stress that come from the curvature are multiplied by:
# its errors in sharp tips are in no part of them (docs/uncertainty.md, "Calibration of the wall
# shear stress"; Levi et al. 2022).
STRESS_FACTOR = 1.15
# Quadrature of a section, coarser than that of the flow itself.
ANGLES, RADII = 24, 4

QUANTITIES = ("velocity", "pressure", "vorticity", "wall_shear_stress")
"""Fields that have standard deviations."""
VALUES = ("velocity", "pressure")
"""Those that need no gradients."""
INSIDE = (*VALUES, "vorticity")
ON_WALL = ("wall_shear_stress", "pressure", "vorticity")


class StandardDeviations:
    """Standard deviations of the flow in a vessel: the same questions as `Flow` answers.

    They are root mean squares of samples of what the flow may be off by, those of the wall shear
    stress times `STRESS_FACTOR` where the samples are of the curvature. Positions are in m, times
    in s. Those of a vector are those of its components; that of a pressure is that of the pressure
    less its mean over the lumen.

    Parameters
    ----------
    case, model, deviations
        The case, the network and the samples.
    through_openings
        What flows through the openings.
    lumen, mesh
        The lumen and the mesh of it, nondimensional.
    """

    def __init__(
        self,
        case: Case,
        model: Model,
        deviations: Deviations,
        through_openings: ThroughOpenings,
        lumen: Lumen | Region,
        mesh: pv.UnstructuredGrid,
    ) -> None:
        self.case = case
        self.model = model
        self.deviations = deviations
        self.through_openings = through_openings
        self.lumen = lumen
        self.mesh = mesh
        self._gauges: dict[tuple[str | None, float], Array] = {}

    def velocity(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the velocity (N, 3), m/s, at points (N, 3)."""
        return self.at(points, time, ("velocity",))["velocity"]

    def pressure(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the pressure (N,), Pa, at points (N, 3)."""
        return self.at(points, time, ("pressure",))["pressure"]

    def vorticity(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the vorticity (N, 3), 1/s, at points (N, 3)."""
        return self.at(points, time, ("vorticity",))["vorticity"]

    def wall_shear_stress(self, points: ArrayLike, time: float | None = None) -> Array:
        """Of the wall shear stress (N, 3), Pa, at points (N, 3) of the wall.

        The normal is that of the nearest vertex of the wall.
        """
        wall, scales = self.case.wall, self.case.scales
        positions = nondimensional(points, scales)
        _, nearest = KDTree(wall.points).query(positions)
        name = "wall_shear_stress"
        return self.on_wall(positions, wall.normals[nearest], self._times([time]), [name])[0][name]

    def flow_rate(self, time: float | None = None) -> float:
        """Of the flow rate, m^3/s."""
        rates, _ = self._rates_and_drops(self._times([time]), SECTIONS)
        return float(_rms(rates)[0])

    def pressure_drop(self, time: float | None = None) -> float:
        """Of the pressure drop, Pa."""
        _, drops = self._rates_and_drops(self._times([time]), SECTIONS)
        return float(_rms(drops)[0])

    def hydraulics(self, table: pd.DataFrame, sections: int = SECTIONS) -> pd.DataFrame:
        """Of flow rate, pressure drop, their means and resistance, for a table of `Flow`.

        And of the flow rate and the mean pressure of every opening.
        """
        times = self._times(table.t_s)
        rates, drops = self._rates_and_drops(times, sections)
        mean_rate, mean_rates, mean_drops = (
            mean_over_time(values, table.t_s.to_numpy(), self.case.flow)
            for values in (table.flow_rate_m3_s.to_numpy(), rates, drops)
        )
        # R = D / Q, to first order.
        resistance = table.hydraulic_resistance_pa_s_m3.iloc[0]
        off = (mean_drops - resistance * mean_rates) / mean_rate
        columns = {
            "flow_rate_std_m3_s": _rms(rates),
            "pressure_drop_std_pa": _rms(drops),
            "mean_flow_rate_std_m3_s": float(_rms(mean_rates)),
            "mean_pressure_drop_std_pa": float(_rms(mean_drops)),
            "hydraulic_resistance_std_pa_s_m3": float(_rms(off)),
        }
        if self.case.openings:
            rates, pressures = self._at_openings(times)
            pressures -= self._mean_pressures(times, None)[..., None]
            for number, name in enumerate(self.through_openings.names):
                columns[rate_column(name, "_std")] = _rms(rates[..., number])
                columns[pressure_column(name, "_std")] = _rms(pressures[..., number])
        return pd.DataFrame(columns, index=table.index)

    def in_volume(self, times: Iterable[float | None]) -> Iterator[dict[str, Array]]:
        """Of velocity, pressure and vorticity on the volume mesh, at times (T,), s."""
        points = np.asarray(self.mesh.points)
        thinned = Thinned.of_mesh(self.lumen, self.mesh, self._wall_area)
        for found in self.inside(points[thinned.chosen], self._times(times)):
            yield {name: thinned.everywhere(values) for name, values in found.items()}

    def on_vertices(self, times: Iterable[float | None]) -> Iterator[dict[str, Array]]:
        """Of wall shear stress, pressure and vorticity on the wall's vertices, at times (T,), s."""
        wall = self.case.wall
        thinned = Thinned.on_surface(wall.points, self._wall_area)
        at = wall.points[thinned.chosen], wall.normals[thinned.chosen]
        for found in self.on_wall(*at, self._times(times)):
            yield {name: thinned.everywhere(values) for name, values in found.items()}

    def inside(
        self,
        positions: Array,
        times: Array,
        names: Sequence[str] = INSIDE,
        source: str | None = None,
    ) -> list[dict[str, Array]]:
        """Of what is named, of `QUANTITIES`, at nondimensional positions (N, 3) and times (T,).

        With a `source`, what that kind of error alone contributes.
        """
        return self._series(positions, times, names, source)

    def on_wall(
        self,
        positions: Array,
        normals: Array,
        times: Array,
        names: Sequence[str] = ON_WALL,
        source: str | None = None,
    ) -> list[dict[str, Array]]:
        """Of what is named at positions (N, 3) of the wall, likewise, with normals (N, 3)."""
        return self._series(positions, times, names, source, normals)

    def at(
        self,
        points: ArrayLike,
        time: float | None = None,
        names: Sequence[str] = INSIDE,
    ) -> dict[str, Array]:
        """Of what is named at points (N, 3), at once."""
        positions = nondimensional(points, self.case.scales)
        return self.inside(positions, self._times([time]), names)[0]

    def _times(self, times: Iterable[float | None]) -> Array:
        return np.array([self.case.scales.time_of(time) for time in times])

    @cached_property
    def _wall_area(self) -> float:
        faces = self.case.wall.points[self.case.wall.triangles]
        sides = np.diff(faces, axis=1)
        return float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2)

    def _rates_and_drops(self, times: Array, sections: int) -> tuple[Array, Array]:
        """Samples (T, S) of flow rate, m^3/s, and pressure drop, Pa, at nondimensional times."""
        if isinstance(self.lumen, Region):
            main = self.through_openings.main
            at_openings = self._at_openings(times)
            return main.throughput(at_openings[0]), main.drop(at_openings[1])
        quadrature = cross_sections(self.lumen, heights(self.lumen, sections), ANGLES, RADII)
        rates, drops = [], []
        for velocity, pressure in self._samples_at(quadrature.points.reshape(-1, 3), times):
            rate, pressure = flow_rates(
                velocity, pressure, self.case.scales, self.lumen, quadrature
            )
            rates.append(rate.mean(axis=-1))
            drops.append(drop_over_length(pressure))
        return np.array(rates), np.array(drops)

    def _at_openings(self, times: Array) -> tuple[Array, Array]:
        """Samples (T, S, O) of flow rates and mean pressures of the openings, at times (T,)."""
        if not self.case.openings:
            return np.zeros((len(times), 1, 0)), np.zeros((len(times), 1, 0))
        quadrature = self.through_openings.coarse_quadrature
        rates, pressures = [], []
        for velocity, pressure in self._samples_at(quadrature.points, times):
            rates.append(quadrature.flow_rates(velocity, self.case.scales))
            pressures.append(quadrature.mean_pressures(pressure))
        return np.array(rates), np.array(pressures)

    def _samples_at(self, positions: Array, times: Array) -> Iterator[tuple[Array, Array]]:
        """Samples of velocity (S, N, 3) and pressure (S, N) at positions (N, 3), for each time."""
        whole: list[list[Sample]] = [[] for _ in times]
        for _, samples in self._samples(positions, times, order=0):
            for blocks, sample in zip(whole, samples, strict=True):
                blocks.append(sample)
        for blocks in whole:
            velocity, pressure = (
                np.concatenate([getattr(block, name) for block in blocks], axis=1)
                for name in ("velocity", "pressure")
            )
            yield velocity, pressure

    def _series(
        self,
        positions: Array,
        times: Array,
        names: Sequence[str],
        source: str | None,
        normals: Array | None = None,
    ) -> list[dict[str, Array]]:
        """Root mean squares of the samples of what is named, at each time."""
        viscosity = self.case.scales.viscosity
        factor = STRESS_FACTOR if self.deviations.method == "curvature" else 1.0
        if "pressure" in names:
            gauges = self._mean_pressures(times, source)

        def values(name: str, sample: Sample, part: slice, number: int) -> Array:
            """(S, n, ...)."""
            if name == "pressure":
                return np.asarray(sample.pressure - gauges[number][:, None])
            if name == "wall_shear_stress":
                assert normals is not None
                return factor * sample.wall_shear_stress(normals[part], viscosity)
            return np.asarray(getattr(sample, name))

        found: list[dict[str, list[Array]]] = [{name: [] for name in names} for _ in times]
        order: Order = 0 if set(names) <= {*VALUES} else 1
        for part, samples in self._samples(positions, times, source, order):
            for number, (into, sample) in enumerate(zip(found, samples, strict=True)):
                for name in names:
                    into[name].append(_rms(values(name, sample, part, number), axis=0))
        return [{name: np.concatenate(v) for name, v in into.items()} for into in found]

    def _mean_pressures(self, times: Array, source: str | None) -> Array:
        """Samples (T, S) of the pressure's mean over the volume mesh, Pa."""
        missing = [time for time in dict.fromkeys(times) if (source, time) not in self._gauges]
        if missing:
            points = np.asarray(self.mesh.points)
            points = points[:: -(-len(points) // GAUGE)]
            parts = [
                [sample.pressure for sample in samples]
                for _, samples in self._samples(points, np.array(missing), source, order=0)
            ]
            means = np.concatenate(parts, axis=2).mean(axis=2)
            self._gauges |= {(source, time): row for time, row in zip(missing, means, strict=True)}
        return np.array([self._gauges[source, time] for time in times])

    def _samples(
        self, positions: Array, times: Array, source: str | None = None, order: Order = 1
    ) -> Iterator[tuple[slice, list[Sample]]]:
        """Samples (S, n) at each time, for one block of n positions after the other.

        Of order 0 without gradients.
        """
        network = self.model.network
        device = device_of(network)
        at = torch.as_tensor(times, dtype=torch.float64)
        # The samples of many times take the place of those of many positions.
        share = min(1.0, TIMES_AT_ONCE / len(times))
        count = max(1, int(share * POSITIONS_AT_ONCE[device.type]))
        for start in range(0, len(positions), count):
            part = slice(start, start + count)
            here = torch.as_tensor(positions[part], dtype=torch.float64, device=device)
            jets = self.deviations.jets(network, here, at, source=source, order=order)
            found = jets.cpu().numpy()
            yield part, [in_si(found[:, t], self.model.scales) for t in range(len(at))]


def _rms(samples: Array, axis: int = -1) -> Array:
    return np.asarray(np.sqrt(np.mean(samples**2, axis=axis)))
