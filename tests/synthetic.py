"""Small synthetic experiments with exact solutions: flows in a straight tube.

`Tube` is the mean Poiseuille profile plus one Womersley harmonic, in a round tube or, with an inner
radius, in the annulus between two coaxial tubes. `DecayingSwirl` comes to rest in a round tube.
Everything returned is in SI units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyvista as pv
import yaml
from scipy.special import jn_zeros, jv, yv

LENGTH_UNITS = {"m": 1.0, "mm": 1e-3, "um": 1e-6}
TIME_UNITS = {"s": 1.0, "ms": 1e-3}


@dataclass(frozen=True)
class Tube:
    """A straight tube and the flow in it.

    Attributes
    ----------
    radius, length
        Radius (the length scale L) and length, m.
    inner
        Radius of the inner wall over `radius`; 0 for a single lumen.
    speed
        Velocity scale U, m/s.
    pulsation
        Amplitude of the oscillating pressure gradient over the mean one.
    centre
        Centre of the inlet section, m.
    """

    axis: str = "y"
    radius: float = 5e-4
    length: float = 3e-3
    inner: float = 0.0
    speed: float = 1.5e-3
    density: float = 993.0
    viscosity: float = 6.9e-4
    period: float = 0.303
    pulsation: float = 1.0
    centre: tuple[float, float, float] = (2e-3, 1e-3, -1e-3)

    @property
    def settings(self) -> dict[str, Any]:
        """What an experiment says of the times of this flow."""
        return {"period": self.period}

    @property
    def measured(self) -> list[str]:
        """Components of the velocity that a camera along z sees; all where the vessel lies so."""
        return list("uvw" if self.axis == "z" else "uv")

    @property
    def along(self) -> int:
        """Index of the vessel axis."""
        return "xyz".index(self.axis)

    @property
    def omega(self) -> float:
        """Angular frequency, rad/s."""
        return 2 * np.pi / self.period

    @property
    def mean_gradient(self) -> float:
        """Mean of -dp/ds, Pa/m: a round tube then has the peak velocity `speed`."""
        return 4 * self.viscosity * self.speed / self.radius**2

    def _harmonic(self, r: np.ndarray) -> np.ndarray:
        """Complex amplitude of the axial velocity, zero on the walls."""
        wave = np.sqrt(-1j * self.omega * self.density / self.viscosity)
        walls = wave * self.radius * np.array([1.0, self.inner])
        if self.inner:
            a, b = np.linalg.solve(np.stack([jv(0, walls), yv(0, walls)], axis=1), [1.0, 1.0])
            profile = 1 - a * jv(0, wave * r) - b * yv(0, wave * r)
        else:
            profile = 1 - jv(0, wave * r) / jv(0, walls[0])
        return self.pulsation * self.mean_gradient * profile / (1j * self.omega * self.density)

    def _mean(self, r: np.ndarray) -> np.ndarray:
        q = np.asarray(r) / self.radius
        profile = 1 - q**2
        if self.inner:
            profile = profile - (1 - self.inner**2) * np.log(q) / np.log(self.inner)
        return self.speed * profile

    def axial_velocity(self, t: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Velocity along the axis at time `t` and distance `r` from it, m/s."""
        return self._mean(r) + (self._harmonic(r) * np.exp(1j * self.omega * t)).real

    def displacement(self, t: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Integral of `axial_velocity` over time, up to a constant, m."""
        phase = np.exp(1j * self.omega * np.asarray(t)) / (1j * self.omega)
        return self._mean(r) * t + (self._harmonic(r) * phase).real

    def pressure(self, t: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Pressure at the distance `s` from the inlet, zero at the inlet, Pa."""
        return -self.mean_gradient * (1 + self.pulsation * np.cos(self.omega * t)) * s

    def radius_of(self, points: np.ndarray) -> np.ndarray:
        """Distance of points (N, 3) from the axis, m."""
        across = [i for i in range(3) if i != self.along]
        return np.linalg.norm((points - np.array(self.centre))[:, across], axis=1)

    def velocity(self, t: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Velocity (N, 3) at times (N,) and points (N, 3), m/s."""
        flow = np.zeros_like(points)
        flow[:, self.along] = self.axial_velocity(t, self.radius_of(points))
        return flow

    def wall(self, fraction: float = 1.0, around: int = 24, stations: int = 20) -> pv.PolyData:
        """Wall at `fraction` of the radius, open at both ends, normals away from the axis, m."""
        theta = np.arange(around) * 2 * np.pi / around
        s = np.linspace(0.0, self.length, stations)
        points = np.empty((stations, around, 3))
        first, second = (self.along + 1) % 3, (self.along + 2) % 3
        points[..., self.along] = s[:, None]
        points[..., first] = fraction * self.radius * np.cos(theta)
        points[..., second] = fraction * self.radius * np.sin(theta)
        number = np.arange(stations * around).reshape(stations, around)
        a, b = number[:-1], np.roll(number[:-1], -1, axis=1)
        c, d = number[1:], np.roll(number[1:], -1, axis=1)
        triangles = np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)
        vertices = points.reshape(-1, 3) + np.array(self.centre)
        return pv.PolyData.from_regular_faces(vertices, triangles)

    def tracks(self, count: int = 60, rows: int = 10, seed: int = 0) -> pd.DataFrame:
        """Exact tracks of `count` tracers seen in three planes z = const, phase-merged, SI units.

        The tracers of a straight tube keep their distance from the axis, so every row is exact.
        """
        random = np.random.default_rng(seed)
        radius = self.radius
        r = radius * random.uniform(max(0.1, 1.08 * self.inner), 0.94, count)
        if self.axis == "z":
            across, plane = (0, 1), np.zeros(count, dtype=int)
            angle = random.uniform(0, 2 * np.pi, count)
            first, second = r * np.cos(angle), r * np.sin(angle)
        else:
            across, plane = (1 if self.axis == "x" else 0, 2), np.arange(count) % 3
            second = (plane - 1) * 0.4 * radius
            r = np.maximum(r, np.abs(second))
            first = random.choice([-1.0, 1.0], count) * np.sqrt(r**2 - second**2)
        t = random.uniform(0, self.period, (count, 1)) + self.period / 50 * np.arange(rows)
        path = self.displacement(t, r[:, None])
        path = path - path.min(axis=1, keepdims=True)
        inlet = random.uniform(0.02, 0.98, count) * (self.length - path.max(axis=1))
        points = np.empty((count, rows, 3))
        points[..., self.along] = inlet[:, None] + path
        points[..., across[0]] = first[:, None]
        points[..., across[1]] = second[:, None]
        columns = {"track": np.repeat(np.arange(count), rows), "plane": np.repeat(plane, rows)}
        points += np.array(self.centre)
        flow = self.velocity(t.ravel(), points.reshape(-1, 3))
        columns["t"] = np.mod(t, self.period).ravel()
        columns |= dict(zip("xyz", points.reshape(-1, 3).T, strict=True))
        columns |= dict(zip("uvw", flow.T, strict=True))
        return pd.DataFrame(columns)


@dataclass(frozen=True)
class SteadyTube(Tube):
    """Poiseuille flow whose tracks have no times."""

    pulsation: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """No period."""
        return {"flow": "steady"}

    def tracks(self, count: int = 60, rows: int = 10, seed: int = 0) -> pd.DataFrame:
        """Exact tracks, in order of time."""
        return super().tracks(count, rows, seed).drop(columns="t")


@dataclass(frozen=True)
class DecayingSwirl(Tube):
    """Axial flow and swirl that come to rest, seen in space: an unsteady exact solution.

    J0(a r) exp(-nu a^2 t) along the axis and J1(b r) exp(-nu b^2 t) around it, which vanish on the
    wall; the pressure balances the centrifugal force and does not change along the axis.

    Attributes
    ----------
    start, duration
        First time of the recording, when the largest axial velocity is `speed`, and its length, s.
    swirl
        Factor of J1 over `speed` then.
    """

    speed: float = 5e-3
    start: float = 12.0
    duration: float = 0.06
    swirl: float = 1.0

    @property
    def settings(self) -> dict[str, Any]:
        """The window is that of the tracks."""
        return {"flow": "unsteady"}

    @property
    def measured(self) -> list[str]:
        """All components: several cameras follow the particles in space."""
        return list("uvw")

    @property
    def wave_numbers(self) -> tuple[float, float]:
        """A and b, 1/m."""
        return jn_zeros(0, 1)[0] / self.radius, jn_zeros(1, 1)[0] / self.radius

    @property
    def rates(self) -> tuple[float, float]:
        """Rates of decay of the axial flow and of the swirl, 1/s."""
        a, b = self.wave_numbers
        return a**2 * self.viscosity / self.density, b**2 * self.viscosity / self.density

    def velocity(self, t: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Velocity (N, 3) at times (N,) of the recording and points (N, 3), m/s."""
        r, after = self.radius_of(points), np.asarray(t) - self.start
        (a, b), (slow, fast) = self.wave_numbers, self.rates
        turn = self.swirl * self.speed * jv(1, b * r) / r * np.exp(-fast * after)
        first, second = (self.along + 1) % 3, (self.along + 2) % 3
        offset = points - np.array(self.centre)
        flow = np.empty_like(points)
        flow[:, self.along] = self.speed * jv(0, a * r) * np.exp(-slow * after)
        flow[:, first], flow[:, second] = -turn * offset[:, second], turn * offset[:, first]
        return flow

    def flow_rate(self, t: float) -> float:
        """Flow rate along the axis, m^3/s."""
        a, slow = self.wave_numbers[0], self.rates[0]
        area = np.pi * self.radius**2
        mean = 2 * self.speed * jv(1, a * self.radius) / (a * self.radius)
        return float(area * mean * np.exp(-slow * (t - self.start)))

    def tracks(self, count: int = 60, rows: int = 10, seed: int = 0) -> pd.DataFrame:
        """Exact tracks: the particles keep their distance from the axis and run along helices."""
        random = np.random.default_rng(seed)
        r = self.radius * np.sqrt(random.uniform(0.01, 0.88, (count, 1)))
        step = self.duration / 40
        begin = random.uniform(0, self.duration - (rows - 1) * step, (count, 1))
        # The first and the last instant are seen.
        begin[0], begin[-1] = 0, self.duration - (rows - 1) * step
        after = begin + step * np.arange(rows)
        (a, b), (slow, fast) = self.wave_numbers, self.rates
        path = -self.speed * jv(0, a * r) * np.exp(-slow * after) / slow
        angle = -self.swirl * self.speed * jv(1, b * r) / r * np.exp(-fast * after) / fast
        angle = angle + random.uniform(0, 2 * np.pi, (count, 1))
        path = path - path.min(axis=1, keepdims=True)
        inlet = random.uniform(0.02, 0.98, (count, 1)) * (
            self.length - path.max(axis=1, keepdims=True)
        )
        points = np.empty((count, rows, 3))
        points[..., self.along] = inlet + path
        points[..., (self.along + 1) % 3] = r * np.cos(angle)
        points[..., (self.along + 2) % 3] = r * np.sin(angle)
        points = (points + np.array(self.centre)).reshape(-1, 3)
        t = self.start + after.ravel()
        columns = {"track": np.repeat(np.arange(count), rows), "t": t}
        columns |= dict(zip("xyz", points.T, strict=True))
        columns |= dict(zip("uvw", self.velocity(t, points).T, strict=True))
        return pd.DataFrame(columns)


def write_tube_experiment(
    folder: Path,
    *,
    tube: Tube | None = None,
    axis: str = "y",
    length_unit: str = "um",
    time_unit: str = "s",
    wall_unit: str = "um",
    wall: str = "stl",
    inner: float = 0.0,
    pulsation: float = 1.0,
    tracks: int = 60,
    noise: float = 0.0,
    seed: int = 0,
    ingest: dict[str, Any] | None = None,
    **sections: dict[str, Any],
) -> Path:
    """Write tracks.csv, the wall and experiment.yaml to `folder`; return the experiment's path.

    Parameters
    ----------
    folder
        Made if it is not there.
    tube
        The flow; one of the arguments below if it is left out.
    axis
        Vessel axis: "x", "y" or "z".
    length_unit, time_unit, wall_unit
        Units of the files; velocities are in length_unit / time_unit.
    wall
        Extension of the wall file: "stl", "ply", "vtp" or "vtk".
    inner
        Radius of the inner wall over the outer one; 0 for a single lumen.
    pulsation
        Amplitude of the oscillating pressure gradient over the mean one; 0 for steady flow.
    tracks
        Number of tracks, ten rows each.
    noise
        Standard deviation of the velocity noise over the rms velocity.
    seed
        Seed of the tracks and of the noise.
    ingest, sections
        Keys that replace those of the section of the same name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tube = tube or tube_of(axis=axis, inner=inner, pulsation=pulsation)
    table = tube.tracks(tracks, seed=seed)
    sizes = table[["u", "v", "w"]]
    rms = float(np.sqrt((sizes**2).to_numpy().sum(axis=1).mean()))
    errors = np.random.default_rng(seed + 1).normal(size=sizes.shape)
    table[["u", "v", "w"]] = sizes + noise * rms * errors
    length, time = LENGTH_UNITS[length_unit], TIME_UNITS[time_unit]
    table[["x", "y", "z"]] /= length
    if "t" in table:
        table["t"] /= time
    table[["u", "v", "w"]] /= length / time
    table = table.drop(columns=[name for name in "uvw" if name not in tube.measured])
    table.to_csv(folder / "tracks.csv", index=False, float_format="%.12g")

    walls = {"wall": tube.wall()}
    if inner:
        walls["inner_wall"] = tube.wall(inner)
    for name, mesh in walls.items():
        mesh.points = (mesh.points / LENGTH_UNITS[wall_unit]).astype(np.float32)
        mesh.save(folder / f"{name}.{wall}")
    experiment = {
        "name": "tube",
        # The velocities are those of an instant.
        "ingest": {
            "velocity_interval": 0.0,
            "tracks": str(folder / "tracks.csv"),
            **{name: str(folder / f"{name}.{wall}") for name in walls},
            "fluid": {"density": tube.density, "viscosity": tube.viscosity},
            **tube.settings,
            "length_scale": tube.radius,
            "velocity_scale": tube.speed,
            "axis": axis,
            "units": {
                "length": length_unit,
                "time": time_unit,
                "velocity": f"{length_unit}/{time_unit}",
                "wall": wall_unit,
            },
            **(ingest or {}),
        },
        "points": {"n_theta": 4, "n_y": 4, "n_r": 2, "n_t": 3, "wall_n_t": 3, "per_group": 6}
        | {"layers": 10, "time_levels": 21}
        | sections.pop("points", {}),
        "train": {
            "network": {"layers": 2, "width": 8},
            "optimiser": {"name": "gauss_newton", "iterations": 4},
            "checkpoint_every": 2,
        }
        | sections.pop("train", {}),
        "fields": {"times": 3, "layers": 4, "sections": 5} | sections.pop("fields", {}),
        **sections,
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return path


def tube_of(**changes: Any) -> Tube:
    """The tube that `write_tube_experiment` writes with the same arguments."""
    return replace(Tube(), **changes)
