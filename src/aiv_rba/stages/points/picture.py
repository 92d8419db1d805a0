"""Picture of the training groups, after Fig. A.12."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aiv_rba.files.case import Wall
from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.geometry import Lumen, across
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.cells import Cells, sample_wall

# Neighbours have different colours, and colour-blind readers can tell them apart (Okabe & Ito).
COLOURS = np.array(["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"])

# Most points of a part of the picture, enough to look like a surface.
DOTS = 50_000


def draw_tube(
    path: Path,
    lumen: Lumen,
    samples: Array,
    members: list[NDArray[np.int64]],
    interior: Cells,
    settings: PointsSettings,
) -> None:
    """Draw the wall's patches, unrolled, and the cells of the middle section."""
    figure, axes = plt.subplots(
        1, 3, figsize=(14, 4.4), width_ratios=(1.8, 1, 1), layout="constrained"
    )
    _wall(axes[0], lumen, samples, members, settings)
    middle = settings.n_y // 2
    i_r, i_theta = np.divmod(np.arange(settings.n_r * settings.n_theta), settings.n_theta)
    rows = (i_r * settings.n_theta + i_theta) * settings.n_y + middle
    every = _every(interior.counts[rows].sum())
    cells = [
        interior.positions(np.array([row]), np.arange(0, interior.counts[row], every)[None])[0]
        for row in rows
    ]
    for axis, section, title in (
        (axes[1], i_theta, f"{settings.n_theta} angular patches"),
        (axes[2], i_r, f"{settings.n_r} radial sections"),
    ):
        _section(axis, across(lumen.axis), np.concatenate(cells), _colours(section, cells))
        axis.set_title(f"{title}, y patch {middle + 1} of {settings.n_y}")
    _save(figure, path)


def draw_region(
    path: Path,
    wall: Wall,
    samples: Array,
    on_wall: list[NDArray[np.int64]],
    candidates: Array,
    members: list[NDArray[np.int64]],
    spacing: float,
) -> None:
    """Draw the wall's patches from two opposite sides, and the cells of a section.

    Parameters
    ----------
    path
        PNG file to write.
    wall
        The wall.
    samples, on_wall
        (N, 3) wall samples, and the numbers of those of each patch.
    candidates, members
        (C, 3) candidates for interior points, and the numbers of those of each cell,
        cell = i_r * patches + patch.
    spacing
        Distance of neighbouring candidates.
    """
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.4), layout="constrained")
    dots, _ = sample_wall(wall, DOTS, 0)
    patch = _numbers(on_wall, len(samples))[KDTree(samples).query(dots)[1]]
    for axis, side in zip(axes, (1, -1), strict=False):
        right, up, towards = _view(side)
        # The nearer is drawn later and hides what lies behind.
        order = np.argsort(dots @ towards)
        at = dots[order]
        axis.scatter(at @ right, at @ up, s=9, c=COLOURS[patch[order] % len(COLOURS)], lw=0)
        axis.set(aspect="equal", xticks=[], yticks=[])
        corner = ", ".join([f"{side}"] * 3)
        axis.set_title(f"{len(on_wall)} patches, seen from ({corner})")

    i_r, patch = np.divmod(_numbers(members, len(candidates)), len(on_wall))
    # Across the direction in which the vessel is shortest a section shows most of it.
    short = int(np.argmin(np.ptp(candidates, axis=0)))
    near = np.abs(candidates[:, short] - np.median(candidates[:, short])) < spacing
    for axis, number, title in (
        (axes[2], patch, f"{len(on_wall)} patches"),
        (axes[3], i_r, f"{len(members) // len(on_wall)} sections by the distance to the wall"),
    ):
        _section(axis, across(short), candidates[near], COLOURS[number[near] % len(COLOURS)])
        axis.set_title(title)
    _save(figure, path)


def _wall(
    axis: Axes,
    lumen: Lumen,
    samples: Array,
    members: list[NDArray[np.int64]],
    settings: PointsSettings,
) -> None:
    every = _every(len(samples))
    members = [member[::every] for member in members]
    angle, height, _ = lumen.polar(samples[np.concatenate(members)])
    i_theta, i_y = np.divmod(np.arange(len(members)), settings.n_y)
    # Two steps along the axis, so that no patch has the colour of one beside it.
    colours = _colours(i_theta + 2 * i_y, members)
    axis.scatter(height, np.degrees(angle), s=6, c=colours, lw=0)
    axis.set(
        xlabel=f"{'xyz'[lumen.axis]} / L",
        ylabel="angle about the centre line (deg)",
        title=f"Wall, unrolled: {settings.n_theta} x {settings.n_y} patches",
    )


def _view(side: int) -> tuple[Array, Array, Array]:
    """Unit vectors to the right, upwards and towards the eye, which is on the diagonal."""
    towards = np.full(3, side / np.sqrt(3))
    right = np.array([-1.0, 1.0, 0.0]) * side / np.sqrt(2)
    return right, np.cross(towards, right), towards


def _section(axis: Axes, sides: tuple[int, int], points: Array, colours: Any) -> None:
    first, second = sides
    axis.scatter(points[:, first], points[:, second], s=2, c=colours, lw=0)
    axis.set(aspect="equal", xlabel=f"{'xyz'[first]} / L", ylabel=f"{'xyz'[second]} / L")


def _every(points: int) -> int:
    """Which of so many points are drawn: every so manieth."""
    return -(-points // DOTS)


def _numbers(members: list[NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """For each of `count` points the number of the part that it is a member of."""
    numbers = np.empty(count, dtype=np.int64)
    for number, member in enumerate(members):
        numbers[member] = number
    return numbers


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def _colours(number: NDArray[np.int64], parts: Sequence[NDArray[Any]]) -> list[str]:
    """The colour of every point of the parts, by the number of the part."""
    return list(np.repeat(COLOURS[number % len(COLOURS)], [len(part) for part in parts]))
