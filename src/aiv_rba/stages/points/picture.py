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
from numpy.typing import NDArray

from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.geometry import Lumen, across
from aiv_rba.settings import PointsSettings
from aiv_rba.stages.points.shrink_copy import Cells

# Neighbours have different colours, and colour-blind readers can tell them apart (Okabe & Ito).
COLOURS = np.array(["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"])


def draw(
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
    cells = [
        interior.positions(np.array([row]), np.arange(interior.counts[row])[None])[0]
        for row in rows
    ]
    for axis, section, title in (
        (axes[1], i_theta, f"{settings.n_theta} angular patches"),
        (axes[2], i_r, f"{settings.n_r} radial sections"),
    ):
        _section(axis, lumen, cells, section)
        axis.set_title(f"{title}, y patch {middle + 1} of {settings.n_y}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def _wall(
    axis: Axes,
    lumen: Lumen,
    samples: Array,
    members: list[NDArray[np.int64]],
    settings: PointsSettings,
) -> None:
    angle, height, _ = lumen.polar(np.concatenate([samples[member] for member in members]))
    i_theta, i_y = np.divmod(np.arange(len(members)), settings.n_y)
    # Two steps along the axis, so that no patch has the colour of one beside it.
    colours = _colours(i_theta + 2 * i_y, members)
    axis.scatter(height, np.degrees(angle), s=6, c=colours, lw=0)
    axis.set(
        xlabel=f"{'xyz'[lumen.axis]} / L",
        ylabel="angle about the centre line (deg)",
        title=f"Wall, unrolled: {settings.n_theta} x {settings.n_y} patches",
    )


def _section(axis: Axes, lumen: Lumen, cells: list[Array], number: NDArray[np.int64]) -> None:
    first, second = across(lumen.axis)
    points = np.concatenate(cells)
    axis.scatter(points[:, first], points[:, second], s=2, c=_colours(number, cells), lw=0)
    axis.set(aspect="equal", xlabel=f"{'xyz'[first]} / L", ylabel=f"{'xyz'[second]} / L")


def _colours(number: NDArray[np.int64], parts: Sequence[NDArray[Any]]) -> list[str]:
    """The colour of every point of the parts, by the number of the part."""
    return list(np.repeat(COLOURS[number % len(COLOURS)], [len(part) for part in parts]))
