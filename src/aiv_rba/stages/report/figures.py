"""Figures of the report, as PNG bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pyvista as pv

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from vtkmodules.vtkCommonCore import vtkLogger

from aiv_rba.files.case import Wall
from aiv_rba.geometry import Lumen

# Off screen there is no X server, and VTK warns of it.
vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)

TERM_STYLES = {"no_slip": "-", "tracks": "--", "momentum": "-.", "mass": ":"}
BLOCKS = {"no_slip": "no-slip", "tracks": "tracks", "navier_stokes": "Navier-Stokes"}


@dataclass(frozen=True)
class Field:
    """One row of the table of rendered fields.

    Attributes
    ----------
    series, array
        Where it is in the VTK series.
    label, factor
        What the colour bar says, and the factor from SI to its unit.
    colours
        Colour map; symmetric about zero where the field is signed.
    signed
        Show a scalar, or a vector's component along the vessel, with its sign; else magnitudes.
    """

    series: str
    array: str
    label: str
    factor: float
    colours: str
    signed: bool


FIELDS = (
    Field("volume", "velocity", "axial velocity (mm/s)", 1e3, "RdBu_r", True),
    Field("volume", "pressure", "pressure (Pa)", 1, "PuOr_r", True),
    Field("volume", "vorticity", "vorticity (1/s)", 1, "viridis", False),
    Field("wall", "wall_shear_stress", "wall shear stress (mPa)", 1e3, "inferno", False),
)


def rendered(folder: Path, phases: tuple[float, ...]) -> bytes:
    """Fields (rows) at phases of the cycle (columns), rendered off screen; after Fig. 6c."""
    readers = {name: pv.PVDReader(folder / f"{name}.pvd") for name in ("volume", "wall")}
    figure, axes = plt.subplots(
        len(FIELDS),
        len(phases),
        figsize=(4.4 * len(phases), 1.5 * len(FIELDS)),
        squeeze=False,
        layout="constrained",
    )
    for row, field in zip(axes, FIELDS, strict=True):
        meshes = [_at_phase(readers[field.series], phase) for phase in phases]
        values = [_shown(mesh, field) for _, mesh in meshes]
        limits = _limits(values, field.signed)
        pictures = []
        for (_, mesh), shown in zip(meshes, values, strict=True):
            mesh.point_data["shown"] = shown
            pictures.append(_picture(mesh, field, limits))
        for axis, (phase, _), picture in zip(row, meshes, _cropped(pictures), strict=True):
            axis.imshow(picture)
            axis.set_title(f"t = {phase:.2f} T", fontsize=9)
            axis.axis("off")
        colours = plt.cm.ScalarMappable(Normalize(*limits), field.colours)
        bar = figure.colorbar(colours, ax=row, aspect=8)
        bar.set_label(field.label.replace(" (", "\n("), fontsize=8)
    return _png(figure)


def _at_phase(reader: pv.PVDReader, phase: float) -> tuple[float, pv.DataSet]:
    times = np.array(reader.time_values)
    period = times[-1] + (times[1] - times[0] if len(times) > 1 else 1.0)
    number = int(np.argmin(np.abs(times / period - phase)))
    reader.set_active_time_point(number)
    mesh: Any = reader.read()[0]
    return float(times[number] / period), mesh


def _along(mesh: pv.DataSet) -> int:
    """The axis along which the vessel is longest."""
    return int(np.argmax(np.ptp(np.reshape(mesh.bounds, (3, 2)), axis=1)))


def _shown(mesh: pv.DataSet, field: Field) -> Any:
    values = field.factor * np.asarray(mesh[field.array])
    if values.ndim == 1:
        return values
    return values[:, _along(mesh)] if field.signed else np.linalg.norm(values, axis=1)


def _limits(values: list[Any], signed: bool) -> tuple[float, float]:
    together = np.concatenate(values)
    if signed:
        most = float(np.quantile(np.abs(together), 0.995)) or 1e-12
        return -most, most
    low, high = np.quantile(together, [0.005, 0.995])
    return float(low), float(high if high > low else low + 1e-12)


def _picture(mesh: pv.DataSet, field: Field, limits: tuple[float, float]) -> Any:
    plotter: Any = pv.Plotter(off_screen=True, window_size=[1400, 900])
    extent = np.ptp(np.reshape(mesh.bounds, (3, 2)), axis=1)
    axis = _along(mesh)
    options: dict[str, Any] = {
        "scalars": "shown",
        "cmap": field.colours,
        "clim": limits,
        "show_scalar_bar": False,
        "ambient": 0.3,
    }
    if field.series == "volume":
        # A cut along the vessel and a few across it show the inside.
        plotter.add_mesh(mesh.slice(normal=np.eye(3)[(axis + 1) % 3]), **options)
        for share in (0.02, 0.34, 0.66, 0.98):
            origin = np.array(mesh.center)
            origin[axis] = mesh.bounds[2 * axis] + share * extent[axis]
            plotter.add_mesh(mesh.slice(normal=np.eye(3)[axis], origin=origin), **options)
        plotter.add_mesh(
            mesh.extract_surface(algorithm="dataset_surface"), color="grey", opacity=0.08
        )
    else:
        plotter.add_mesh(mesh, **options)
    along, up = np.eye(3)[axis], np.eye(3)[(axis + 1) % 3]
    view = np.cross(along, up) * 0.8 + up * 0.6 + 0.5 * along
    plotter.camera_position = [
        mesh.center + view * extent.max() * 2,
        mesh.center,
        np.cross(view, along),
    ]
    camera = plotter.camera
    camera.enable_parallel_projection()
    plotter.reset_camera()
    camera.zoom(1.5)
    picture = plotter.screenshot(return_img=True)
    plotter.close()
    return picture


def _cropped(pictures: list[Any]) -> list[Any]:
    """The pictures without the white margin that all of them share."""
    drawn = np.any([(picture < 250).any(axis=-1) for picture in pictures], axis=0)
    rows, columns = (np.flatnonzero(drawn.any(axis=1 - i)) for i in (0, 1))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return [picture[part] for picture in pictures]


def wall_map(folder: Path, phases: tuple[float, ...], wall: Wall, lumen: Lumen) -> bytes:
    """Wall shear stress unrolled: angle about the centre line against axial coordinate."""
    reader = pv.PVDReader(folder / "wall.pvd")
    shown = [_at_phase(reader, phase) for phase in phases]
    stress = [1e3 * np.linalg.norm(mesh["wall_shear_stress"], axis=1) for _, mesh in shown]
    limits = _limits(stress, signed=False)
    figure, axes = plt.subplots(
        1, len(phases), figsize=(4.2 * len(phases), 3), squeeze=False, layout="constrained"
    )
    angle = np.degrees(lumen.polar(wall.points)[0])
    # Triangles across the cut at 180 degrees would smear over the whole map.
    triangles = wall.triangles[wall.patch == 0]
    triangles = triangles[np.ptp(angle[triangles], axis=1) < 180]
    for axis, (phase, mesh), magnitude in zip(axes[0], shown, stress, strict=True):
        height = np.asarray(mesh.points)[:, lumen.axis] * 1e3
        drawn = axis.tripcolor(
            height,
            angle,
            triangles,
            magnitude,
            shading="gouraud",
            cmap="inferno",
            vmin=limits[0],
            vmax=limits[1],
            rasterized=True,
        )
        axis.set(
            xlabel=f"{'xyz'[lumen.axis]} (mm)",
            ylabel="angle about the centre line (deg)",
            title=f"t = {phase:.2f} T",
        )
    figure.colorbar(drawn, ax=axes[0], label="wall shear stress (mPa)")
    return _png(figure)


def hydraulics(table: pd.DataFrame) -> bytes:
    """Flow rate and pressure drop over the cycle."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    flow, spread = table.flow_rate_m3_s * 1e12, table.flow_rate_spread_m3_s * 1e12
    left.plot(table.t_s, flow, "o-")
    left.fill_between(table.t_s, flow - spread, flow + spread, alpha=0.3, label="spread")
    left.axhline(0, color="grey", lw=0.8)
    left.set(xlabel="time (s)", ylabel="flow rate (nL/s)")
    left.legend(frameon=False)
    right.plot(table.t_s, table.pressure_drop_pa, "s-", color="tab:orange")
    right.axhline(0, color="grey", lw=0.8)
    right.set(xlabel="time (s)", ylabel="pressure drop (Pa)")
    return _png(figure)


def training(history: pd.DataFrame) -> bytes:
    """Losses, multipliers and validation error against the step; after Figs. 7 and A.11."""
    figure, (losses, multipliers, errors) = plt.subplots(
        1, 3, figsize=(14, 3.6), layout="constrained"
    )
    for name in history.columns:
        block = next((b for b in TERM_STYLES if name.startswith(b)), None)
        if block:
            losses.semilogy(history.step, history[name], TERM_STYLES[block], lw=1, label=name)
    losses.set(xlabel="step", ylabel="weighted loss term")
    for block, label in BLOCKS.items():
        if f"lambda_{block}_max" in history:
            line = multipliers.semilogy(history.step, history[f"lambda_{block}_mean"], label=label)
            low, high = history[f"lambda_{block}_min"], history[f"lambda_{block}_max"]
            multipliers.fill_between(history.step, low, high, alpha=0.2, color=line[0].get_color())
    multipliers.set(xlabel="step", ylabel="multiplier: min, mean, max")
    for name, style in (("u", "-"), ("v", "--"), ("w", ":")):
        if f"validation_{name}" in history:
            errors.semilogy(history.step, history[f"validation_{name}"], style, label=name)
    errors.set(xlabel="step", ylabel="relative L2 on validation rows")
    for axis, size, columns in ((losses, 6, 2), (multipliers, 9, 1), (errors, 9, 1)):
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False, fontsize=size, ncol=columns)
    return _png(figure)


def histograms(data: dict[str, dict[str, list[float]]]) -> bytes:
    """Measured and predicted velocities on the validation rows; after Fig. 6d."""
    figure, axes = plt.subplots(
        1, len(data), figsize=(5 * len(data), 3.2), squeeze=False, layout="constrained"
    )
    for axis, (name, histogram) in zip(axes[0], data.items(), strict=True):
        edges = np.array(histogram["edges"]) * 1e3
        axis.stairs(histogram["measured"], edges, fill=True, alpha=0.4, label="measured")
        axis.stairs(histogram["predicted"], edges, lw=1.5, label="predicted")
        axis.set(xlabel=f"{name} (mm/s)", ylabel="validation rows")
        axis.legend(frameon=False)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    plt.close(figure)
    return buffer.getvalue()
