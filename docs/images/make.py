"""Draw docs/images/truth.png: the tracks, the inferred flow and the true one side by side.

    make run
    .venv/bin/python docs/images/make.py results/perivascular data/perivascular/truth.h5

The truth is known at scattered points (data/README.md). The inferred flow is evaluated at the same
points, and both are interpolated to the pictures in the same way.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from aiv_rba.fields.derived import at_time, sample
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen
from aiv_rba.harmonics import fourier
from aiv_rba.problems.velocimetry.model import load_model
from aiv_rba.statistics import relative_l2

PHASE = 0.83  # the fastest flow of the bundled experiment
SHUTTER = 0.03  # part of the period from which measured rows are drawn
AXIAL, ACROSS, DEPTH = 1, 0, 2
OUT = Path(__file__).with_name("truth.png")


def main(results: Path, truth: Path) -> None:
    """Read one finished run and draw it."""
    case, model = read_case(results / "case.h5"), load_model(results / "model.pt")
    scales = case.scales
    with h5py.File(truth) as file:
        inside, wall = (
            (file[f"{name}/position"][:] - np.array(scales.origin)) / scales.length
            for name in ("points", "wall")
        )
        true_velocity = fourier(file["points/velocity"], PHASE)
        true_pressure = fourier(file["points/pressure"], PHASE)
        true_stress = fourier(file["wall/wall_shear_stress"], PHASE)
        normals = file["wall/normal"][:]
    time = PHASE * scales.nondimensional_period
    flow = sample(model.network, scales, at_time(inside, time))
    stress = sample(model.network, scales, at_time(wall, time)).wall_shear_stress(
        normals, scales.viscosity
    )
    rows = (
        ("axial velocity", "mm/s", 1e3 * flow.velocity[:, AXIAL], 1e3 * true_velocity[:, AXIAL]),
        ("depth velocity", "mm/s", 1e3 * flow.velocity[:, DEPTH], 1e3 * true_velocity[:, DEPTH]),
        ("pressure", "Pa", flow.pressure - flow.pressure.mean(), centred(true_pressure)),
        ("wall shear stress", "mPa", 1e3 * norm(stress), 1e3 * norm(true_stress)),
    )

    figure, axes = plt.subplots(
        4,
        3,
        figsize=(12, 5),
        layout="constrained",
        sharex=True,
        gridspec_kw={"height_ratios": [1, 1, 1, 1.5]},
    )
    for column, title in enumerate(("given: wall and noisy tracks", "inferred", "truth")):
        axes[0, column].set_title(title)
    for row, (name, unit, found, true) in zip(axes, rows, strict=True):
        on_wall = name == "wall shear stress"
        limit = np.quantile(abs(true), 0.995)
        colours = "inferno" if on_wall else "PuOr" if name == "pressure" else "RdBu_r"
        style = {"vmin": 0.0 if on_wall else -limit, "vmax": limit, "cmap": colours}
        for axis, values in zip(row[1:], (found, true), strict=True):
            if on_wall:
                angle = np.arctan2(wall[:, DEPTH] - centre(case, wall, DEPTH), across(case, wall))
                drawn = map_of(axis, wall[:, AXIAL], angle, values, periodic=True, **style)
            else:
                zero = np.zeros(len(wall)) if "velocity" in name else None
                drawn = mid_plane(axis, case, inside, wall, values, zero, **style)
        given(row[0], case, name, **style)
        error = 100 * relative_l2(found, true)
        row[1].text(0.99, 1.02, f"error {error:.1f} %", transform=row[1].transAxes, ha="right")
        row[0].set_ylabel("\n".join(name.rsplit(" ", 1)))
        figure.colorbar(drawn, ax=row, label=unit, pad=0.01)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        for side in axis.spines.values():
            side.set_visible(False)
    figure.savefig(OUT, dpi=110)
    print(OUT, f"{OUT.stat().st_size / 1024:.0f} KiB")


def norm(vectors: Array) -> Array:
    """Lengths of vectors (N, 3)."""
    return np.linalg.norm(vectors, axis=1)


def centred(values: Array) -> Array:
    """Values less their mean: pressure is known up to a constant."""
    return values - values.mean()


def centre(case: Case, points: Array, coordinate: int) -> Array:
    """Coordinate of the centre line at the axial positions of points."""
    order = np.argsort(case.wall.points[:, AXIAL])
    edges = np.linspace(*case.wall.points[order[[0, -1]], AXIAL], 40)
    where = np.digitize(case.wall.points[:, AXIAL], edges)
    middle = [
        np.mean([f(case.wall.points[where == i, coordinate]) for f in (np.min, np.max)])
        for i in range(1, 40)
    ]
    return np.interp(points[:, AXIAL], (edges[1:] + edges[:-1]) / 2, middle)


def across(case: Case, points: Array) -> Array:
    """Distance across the vessel from its centre line."""
    return points[:, ACROSS] - centre(case, points, ACROSS)


def given(axis: plt.Axes, case: Case, name: str, **style: object) -> None:
    """Measured rows of about this phase, or that there are none."""
    if name != "axial velocity":
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color="grey")
        return
    tracks, period = case.tracks, case.scales.nondimensional_period
    away = (tracks.points[:, 0] / period - PHASE + 0.5) % 1 - 0.5
    seen = abs(away) < SHUTTER / 2
    measured = 1e3 * case.scales.velocity * tracks.velocity["v"][seen]
    positions = tracks.points[seen, 1:]
    for side in (np.min, np.max):
        y = np.linspace(*np.quantile(case.wall.points[:, AXIAL], [0.005, 0.995]), 60)
        slab = [
            side(case.wall.points[abs(case.wall.points[:, AXIAL] - at) < 0.3, ACROSS]) for at in y
        ]
        axis.plot(y, slab, color="grey", linewidth=0.8)
    axis.scatter(positions[:, AXIAL], positions[:, ACROSS], c=measured, s=6, **style)
    axis.set_aspect("equal")


def mid_plane(
    axis: plt.Axes,
    case: Case,
    points: Array,
    wall: Array,
    values: Array,
    on_wall: Array | None,
    **style: object,
) -> object:
    """A field on the surface through the centre line, across the vessel."""
    if on_wall is not None:
        points, values = np.concatenate([points, wall]), np.concatenate([values, on_wall])
    low, high = case.wall.points.min(axis=0), case.wall.points.max(axis=0)
    y, x = np.meshgrid(
        np.linspace(low[AXIAL], high[AXIAL], 420), np.linspace(low[ACROSS], high[ACROSS], 90)
    )
    grid = np.zeros((y.size, 3))
    grid[:, AXIAL], grid[:, ACROSS] = y.ravel(), x.ravel()
    grid[:, DEPTH] = centre(case, grid, DEPTH)
    # Across the vessel a field changes over shorter lengths than along it.
    metric = np.array([1.0, 0.3, 1.0])
    linear = LinearNDInterpolator(points * metric, values)(grid * metric)
    nearest = NearestNDInterpolator(points * metric, values)(grid * metric)
    field = np.where(np.isnan(linear), nearest, linear)
    field[~Lumen.from_wall(case.wall, case.axis).inside(grid)] = np.nan
    axis.set_aspect("equal")
    return axis.pcolormesh(y, x, field.reshape(y.shape), rasterized=True, **style)


def map_of(
    axis: plt.Axes, along: Array, angle: Array, values: Array, *, periodic: bool, **style: object
) -> object:
    """A field on the unrolled wall."""
    turns = (-1, 0, 1) if periodic else (0,)
    points = np.concatenate([np.column_stack([along, angle + 2 * np.pi * k]) for k in turns])
    y, theta = np.meshgrid(
        np.linspace(along.min(), along.max(), 420), np.linspace(-np.pi, np.pi, 90)
    )
    scale = np.array([0.3, 1.0])
    field = LinearNDInterpolator(points * scale, np.tile(values, len(turns)))(
        np.column_stack([y.ravel(), theta.ravel()]) * scale
    )
    return axis.pcolormesh(y, theta, field.reshape(y.shape), rasterized=True, **style)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
