"""Sheets through the lumen that end at its wall, and the inferred flow on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv
from scipy.spatial import cKDTree

from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, across
from aiv_rba.scales import Scales
from aiv_rba.stages.report.unrolled import Unrolled

# Points from the centre line to the wall.
OUT = 17
# The volume mesh leaves out a thread about the centre line.
INMOST = 2e-3
# How far, in widths of the vessel, a point may lie outside the chords of the wall.
OFF_THE_WALL = 0.01
# Places of the cross-sections, as shares of the length; the figures show the second and fourth.
STATIONS = (0.03, 0.27, 0.5, 0.73, 0.97)

# Arrays of the standard deviations of what is drawn.
SPREAD = {"velocity": "velocity_std", "pressure": "pressure_std"}


@dataclass(frozen=True)
class Sheet:
    """A structured sheet from the centre line, or an inner wall, to the outer wall.

    Attributes
    ----------
    points
        (I, J, 3), m.
    across
        (I, J): distance from the vessel's middle along the direction in which the vessel is cut
        lengthwise, m.
    """

    points: Array
    across: Array


@dataclass(frozen=True)
class Sheets:
    """A cut along the vessel and cross-sections of it.

    Attributes
    ----------
    lengthwise
        The two halves of a sheet that follows the centre line, across the widest direction.
    sections
        Cross-sections at `STATIONS`.
    """

    lengthwise: tuple[Sheet, ...]
    sections: tuple[Sheet, ...]

    @property
    def all(self) -> tuple[Sheet, ...]:
        """Every sheet."""
        return self.lengthwise + self.sections


@dataclass(frozen=True)
class SheetFlow:
    """The inferred flow on a sheet (I, J) at times (T,), SI units.

    Attributes
    ----------
    velocity, pressure, vorticity
        (T, I, J, 3), (T, I, J), and the magnitude (T, I, J).
    spread
        Standard deviations (T, I, J) of velocity and pressure, those of the velocity's components
        added in squares; empty if there are none.
    """

    velocity: Array
    pressure: Array
    vorticity: Array
    spread: dict[str, Array]


def sheets(patches: list[Unrolled], lumen: Lumen, scales: Scales) -> Sheets:
    """The sheets of a vessel, from its unrolled wall: their rims are those of the wall."""
    outer = patches[0].points
    centre = outer.copy()
    line = lumen.centre(patches[0].height) * scales.length
    centre[..., across(lumen.axis)] = line + np.array(scales.origin)[list(across(lumen.axis))]
    inner = patches[1].points if lumen.annular else centre
    turn, half = len(patches[0].angle) - 1, (len(patches[0].angle) - 1) // 2
    width = np.linalg.norm(outer - inner, axis=-1).mean(axis=1)[:turn]
    widest = int(np.argmax(width + np.roll(width, half)))
    plane = [np.cos(patches[0].angle[widest]), np.sin(patches[0].angle[widest])]

    def sheet(inmost: Array, rim: Array) -> Sheet:
        """Between the inmost line and the wall, (I, 3) each."""
        points = inmost[:, None] + np.linspace(INMOST, 1, OUT)[:, None] * (rim - inmost)[:, None]
        offset = points - centre.mean(axis=(0, 1))
        return Sheet(points, offset[..., across(lumen.axis)] @ np.array(plane))

    stations = [round(share * (outer.shape[1] - 1)) for share in STATIONS]
    return Sheets(
        tuple(sheet(inner[i], outer[i]) for i in (widest, (widest + half) % turn)),
        tuple(sheet(inner[:, j], outer[:, j]) for j in stations),
    )


@dataclass(frozen=True)
class Sampled:
    """A volume series: times (T,) in s, the largest speed (T,) in m/s, the flow on every sheet."""

    times: Array
    peak_speed: Array
    flows: list[SheetFlow]


def sample_series(path: Path, cut: Sheets) -> Sampled:
    """Sample a volume series on every sheet.

    All times share their mesh, so that each point is looked up once. A point that lies between
    the chords of the given wall and its curve takes the values next to it.
    """
    reader = pv.PVDReader(path)
    times = np.array(reader.time_values)
    mesh: Any = None
    peaks = []
    names = ["velocity", "pressure", "vorticity"]
    for number in range(len(times)):
        reader.set_active_time_point(number)
        found: Any = reader.read()[0]
        if mesh is None:
            mesh = pv.UnstructuredGrid(found.cells, found.celltypes, found.points)
            names += [name for name in SPREAD.values() if name in found.point_data]
        for name in names:
            values = found[name]
            vectors = values.ndim == 2 and name != "velocity"
            mesh.point_data[f"{name} {number}"] = (
                np.linalg.norm(values, axis=1) if vectors else values
            )
        peaks.append(np.linalg.norm(found["velocity"], axis=1).max())
    cloud = pv.PolyData(np.concatenate([sheet.points.reshape(-1, 3) for sheet in cut.all]))
    width = max(float(np.ptp(sheet.across)) for sheet in cut.lengthwise)
    probed: Any = cloud.sample(mesh, tolerance=OFF_THE_WALL * width)
    missed = np.asarray(probed["vtkValidPointMask"]) == 0
    _, nearest = cKDTree(mesh.points).query(cloud.points[missed])

    def on_cloud(name: str) -> Array:
        found = np.array(probed[name])
        found[missed] = mesh.point_data[name][nearest]
        return found

    values = {
        name: np.stack([on_cloud(f"{name} {number}") for number in range(len(times))])
        for name in names
    }
    flows, start = [], 0
    for sheet in cut.all:
        shape = sheet.points.shape[:2]
        part = slice(start, start + shape[0] * shape[1])
        here = {n: v[:, part].reshape(len(times), *shape, *v.shape[2:]) for n, v in values.items()}
        spread = {name: here[array] for name, array in SPREAD.items() if array in here}
        flows.append(SheetFlow(here["velocity"], here["pressure"], here["vorticity"], spread))
        start = part.stop
    return Sampled(times, np.array(peaks), flows)
