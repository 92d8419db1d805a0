"""A finished flow that answers at any points and times, in SI units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
import pyvista as pv
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from aiv_rba.errors import UserError
from aiv_rba.fields.derived import (
    Sample,
    at_time,
    nondimensional,
    sample,
    sample_series,
)
from aiv_rba.fields.hydraulics import SECTIONS, cross_sections, flow_rates, hydraulics
from aiv_rba.fields.mesh import mesh_of
from aiv_rba.fields.spread import QUANTITIES, StandardDeviations
from aiv_rba.fields.through_openings import ThroughOpenings
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import Array, check_same_case
from aiv_rba.files.results import Results
from aiv_rba.geometry import Region, lumen_of
from aiv_rba.jets import Order
from aiv_rba.problems.velocimetry.deviations import Deviations, load_deviations
from aiv_rba.problems.velocimetry.model import Model, load_model
from aiv_rba.ranks.devices import find_device
from aiv_rba.settings.ranks import Device

UNITS = {
    "velocity": "m/s",
    "pressure": "Pa",
    "vorticity": "1/s",
    "shear_rate": "1/s",
    "wall_shear_stress": "Pa",
    "viscous_stress_magnitude": "Pa",
    "normal": "1",
}
UNITS |= {f"{name}_std": UNITS[name] for name in QUANTITIES}
"""Units of the arrays on the meshes."""
LAYERS = 12
SMALL_FLOW = Path(__file__).parents[1] / "data" / "small_flow"


class Flow:
    """The flow in a vessel.

    Positions are in m in the coordinates of the files, times in s. In a periodic flow a time
    outside the period is that of the cycle before or after; in an unsteady one times are those of
    the recording and must lie in its window; a steady one needs none. Pressure has zero mean over
    the points of the volume mesh at every time, since the equations know its gradient only.

    Parameters
    ----------
    case, model
        The ingested case, and the network that was trained on it.
    deviations
        Samples of what the flow may be off by; None if there are none.
    layers
        Cells of the volume mesh from the middle of the lumen to its wall.

    Examples
    --------
    >>> flow = open_flow("results/perivascular")
    >>> flow.velocity(points, time=0.1)
    """

    def __init__(
        self,
        case: Case,
        model: Model,
        deviations: Deviations | None = None,
        layers: int = LAYERS,
    ) -> None:
        self.case = case
        self.model = model
        self.deviations = deviations
        self.layers = layers
        self.lumen = lumen_of(case)
        self.through_openings = ThroughOpenings(case, self.lumen, model.network)
        self._gauges: dict[float | None, float] = {}

    @property
    def period(self) -> float:
        """Period, s, of a periodic flow."""
        return self.case.scales.period

    @property
    def window(self) -> tuple[float, float]:
        """First and last time, s, of an unsteady flow."""
        return self.case.scales.start, self.case.scales.end

    def times(self, count: int) -> Array:
        """Equally spaced times (count,), s: over the period, or over the window with both ends.

        A steady flow has one, zero.
        """
        scales = self.case.scales
        return scales.start + scales.shares(count) * scales.period

    @cached_property
    def std(self) -> StandardDeviations:
        """Standard deviations of the answers: `flow.std.velocity(points, time)` and so on.

        Raises
        ------
        UserError
            If none were found when the network was trained.
        """
        if self.deviations is None:
            raise UserError(
                "found no standard deviations in the results, expected some: train with "
                "train.uncertainty.method: ensemble"
            )
        return StandardDeviations(
            self.case, self.model, self.deviations, self.through_openings, self.lumen, self._mesh
        )

    @cached_property
    def _mesh(self) -> pv.UnstructuredGrid:
        return mesh_of(self.lumen, self.layers)

    @property
    def mesh_positions(self) -> Array:
        """Points of the volume mesh (N, 3), nondimensional."""
        return np.asarray(self._mesh.points)

    @property
    def wall_points(self) -> Array:
        """Vertices of the wall (V, 3), m."""
        return self._to_si(self.case.wall.points)

    def inside(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether points (N, 3) lie in the lumen."""
        return self.lumen.inside(nondimensional(points, self.case.scales))

    def wall_distance(self, points: ArrayLike) -> Array:
        """Distance (N,) of points (N, 3) from the wall, in hydraulic radii, without sign."""
        at = nondimensional(points, self.case.scales)
        if isinstance(self.lumen, Region):
            return np.asarray(self.lumen.wall_distance(at) / self.case.radius)
        return np.asarray(np.abs(self.lumen.distance(at)) / self.case.radius)

    def velocity(self, points: ArrayLike, time: float | None = None) -> Array:
        """Velocity (N, 3), m/s, at points (N, 3)."""
        return self._sample(points, time, order=0).velocity

    def pressure(self, points: ArrayLike, time: float | None = None) -> Array:
        """Pressure (N,), Pa, at points (N, 3)."""
        return self._sample(points, time, order=0).pressure - self.mean_pressures([time])

    def vorticity(self, points: ArrayLike, time: float | None = None) -> Array:
        """Vorticity (N, 3), 1/s, at points (N, 3); Eq. 42."""
        return self._sample(points, time).vorticity

    def shear_rate(self, points: ArrayLike, time: float | None = None) -> Array:
        """Shear rate (N,), 1/s, at points (N, 3); Eq. 44."""
        return self._sample(points, time).shear_rate

    def wall_shear_stress(self, points: ArrayLike, time: float | None = None) -> Array:
        """Wall shear stress (N, 3), Pa, at points (N, 3) of the wall; Eq. 43.

        The normal is that of the nearest vertex of the wall.
        """
        viscosity = self.case.scales.viscosity
        return self._sample(points, time).wall_shear_stress(self.wall_normals(points), viscosity)

    def wall_normals(self, points: ArrayLike) -> Array:
        """Unit normals (N, 3), out of the lumen, of the vertices of the wall next to points."""
        wall = self.case.wall
        _, nearest = cKDTree(wall.points).query(nondimensional(points, self.case.scales))
        return np.asarray(wall.normals[nearest])

    def sample(self, points: ArrayLike, times: ArrayLike, order: Order = 1) -> Sample:
        """Velocity, pressure and their gradients at points (N, 3), each at its own time (N,).

        Of order 0 without gradients. The mean of the pressure is not taken away: it may differ
        from time to time.
        """
        scales = self.case.scales
        at = np.array([scales.time_of(time) for time in np.asarray(times, dtype=float)])
        positions = nondimensional(points, scales)
        return sample(self.model.network, scales, np.column_stack([at, positions]), order)

    def flow_rate(self, time: float | None = None, at: float | str | None = None) -> float:
        """Flow rate, m^3/s.

        Parameters
        ----------
        time
            Time, s; none in a steady flow.
        at
            Name of the opening out of which it is taken. In a tube also the axial coordinate, m, of
            the plane across the axis through which it is taken, along the axis. If it is left out,
            that through the vessel: in a tube the mean over 21 such planes, in any other vessel
            half the sum of the magnitudes of those of its openings.

        Raises
        ------
        UserError
            If there is no such opening, or the vessel has no axis.
        """
        scales, axis = self.case.scales, self.case.axis
        if at is None:
            return float(self._hydraulics([time], SECTIONS).flow_rate_m3_s.iloc[0])
        names = self.through_openings.names
        if isinstance(at, str) or isinstance(self.lumen, Region):
            if at not in names:
                raise UserError(f"at: found {at!r}, expected an opening: {', '.join(names)}")
            rates, _ = self.through_openings.at(np.array([scales.time_of(time)]))
            return float(rates[0, names.index(at)])
        height = (at - scales.origin[axis]) / scales.length
        section = cross_sections(self.lumen, np.array([height]))
        at_section = at_time(section.points.reshape(-1, 3), self.case.scales.time_of(time))
        found = sample(self.model.network, scales, at_section, order=0)
        rates, _ = flow_rates(found.velocity, found.pressure, scales, self.lumen, section)
        return float(rates[0])

    def pressure_drop(self, time: float | None = None) -> float:
        """Pressure drop, Pa, over the whole length of a tube.

        In any other vessel from the opening by which most enters to that by which most leaves.
        """
        return float(self._hydraulics([time], SECTIONS).pressure_drop_pa.iloc[0])

    def hydraulics(self, times: ArrayLike | None = None, sections: int = SECTIONS) -> pd.DataFrame:
        """Flow rate, pressure drop and resistance at times (N,), and what each opening does.

        In a tube also the spread of the flow rate over its sections. Flow rates of openings are
        those out of the lumen; their sum over the root mean square of the flow rate is the column
        ``mass_imbalance``. With standard deviations, where there are any. A steady flow needs no
        times.
        """
        wanted = _wanted(times)
        table = self._hydraulics(wanted, sections)
        if self.case.openings:
            at = np.array([self.case.scales.time_of(time) for time in wanted])
            table = table.assign(**self.through_openings.columns(at, self.mean_pressures(wanted)))
        if self.deviations is None:
            return table
        return table.join(self.std.hydraulics(table, sections))

    def _hydraulics(self, times: list[float | None], sections: int) -> pd.DataFrame:
        scales = self.case.scales
        at = np.array([scales.time_of(time) for time in times])
        if isinstance(self.lumen, Region):
            table = self.through_openings.hydraulics(at)
        else:
            table = hydraulics(self.model.network, scales, self.lumen, at, sections)
        if self.case.flow == "periodic":
            # Of any cycle.
            table["t_s"] = times
        return table

    def volume(self, time: float | None = None) -> pv.UnstructuredGrid:
        """Mesh of the lumen with velocity, pressure, vorticity and shear rate."""
        return next(self.meshes(time))[0]

    def wall(self, time: float | None = None) -> pv.PolyData:
        """The wall with wall shear stress, pressure, vorticity and normals."""
        return next(self.meshes(time))[1]

    def meshes(
        self, times: ArrayLike | None = None
    ) -> Iterator[tuple[pv.UnstructuredGrid, pv.PolyData]]:
        """The volume and the wall at each of the times (T,), faster than one by one.

        A steady flow needs no times. Arrays whose names end in ``_std`` are standard deviations.
        """
        scales, wall = self.case.scales, self.case.wall
        points, mesh = self.mesh_positions, self._mesh
        wanted = _wanted(times)
        at = np.array([scales.time_of(time) for time in wanted])
        everywhere = (
            sample_series(self.model.network, scales, place, at) for place in (points, wall.points)
        )
        spread: Iterator[tuple[dict[str, Array], dict[str, Array]]] = repeat(({}, {}))
        if self.deviations is not None:
            spread = zip(self.std.in_volume(wanted), self.std.on_vertices(wanted), strict=True)
        for time, inside, on_wall in zip(wanted, *everywhere, strict=True):
            gauge = self._gauges[time] = float(inside.pressure.mean())
            volume = pv.UnstructuredGrid(mesh.cells, mesh.celltypes, self._to_si(points))
            volume.point_data["velocity"] = inside.velocity
            volume.point_data["pressure"] = inside.pressure - gauge
            volume.point_data["vorticity"] = inside.vorticity
            volume.point_data["shear_rate"] = inside.shear_rate
            surface = pv.PolyData(self.wall_points, self._triangles)
            stress = on_wall.wall_shear_stress(wall.normals, scales.viscosity)
            surface.point_data["wall_shear_stress"] = stress
            surface.point_data["viscous_stress_magnitude"] = scales.viscosity * on_wall.shear_rate
            surface.point_data["pressure"] = on_wall.pressure - gauge
            surface.point_data["vorticity"] = on_wall.vorticity
            surface.point_data["normal"] = wall.normals
            for filled, deviations in zip((volume, surface), next(spread), strict=True):
                for name, values in deviations.items():
                    filled.point_data[f"{name}_std"] = values
            yield volume, surface

    @property
    def _triangles(self) -> NDArray[np.int64]:
        return np.insert(self.case.wall.triangles, 0, 3, axis=1)

    def _sample(self, points: ArrayLike, time: float | None, order: Order = 1) -> Sample:
        at = at_time(nondimensional(points, self.case.scales), self.case.scales.time_of(time))
        return sample(self.model.network, self.case.scales, at, order)

    def mean_pressures(self, times: Sequence[float | None]) -> Array:
        """Means (T,) of the pressure over the points of the volume mesh, Pa, at times (T,), s."""
        missing = list(dict.fromkeys(time for time in times if time not in self._gauges))
        if missing:
            scales = self.case.scales
            at = np.array([scales.time_of(time) for time in missing])
            series = sample_series(self.model.network, scales, self.mesh_positions, at, order=0)
            means = [float(found.pressure.mean()) for found in series]
            self._gauges.update(zip(missing, means, strict=True))
        return np.array([self._gauges[time] for time in times])

    def _to_si(self, points: Array) -> Array:
        scales = self.case.scales
        return np.asarray(points * scales.length + np.array(scales.origin))


def _wanted(times: ArrayLike | None) -> list[float | None]:
    """Times, s; one that is not given for a steady flow."""
    return [None] if times is None else np.atleast_1d(np.asarray(times, dtype=float)).tolist()


def open_flow(folder: Path | str, layers: int = LAYERS, device: Device = "auto") -> Flow:
    """The flow that was inferred in a folder of results.

    Parameters
    ----------
    folder
        Such as ``results/perivascular``.
    layers
        Cells of the volume mesh from the middle of the lumen to its wall.
    device
        Where the network is evaluated: "cpu", "cuda", or "auto" for a GPU where one is visible.

    Raises
    ------
    UserError
        If a file is missing or damaged, the network belongs to another case, or a GPU is asked
        for and none is visible.
    """
    results = Results(Path(folder))
    on = find_device(device, torch.cuda.device_count(), local=0)
    case, model = read_case(results.case), load_model(results.model, on)
    check_same_case(results.model, model.identity, case.identity)
    deviations = None
    # A case and a network are enough for a flow.
    if results.deviations.exists():
        deviations, identity = load_deviations(results.deviations)
        check_same_case(results.deviations, identity, case.identity)
    return Flow(case, model, deviations, layers)


def example_flow() -> Flow:
    """The small flow that comes with the package, to try things on.

    A pulsating flow in a tube of radius 0.5 mm along y, inferred from 900 noisy rows of synthetic
    tracks (tests/make_small_flow.py).
    """
    return open_flow(SMALL_FLOW)
