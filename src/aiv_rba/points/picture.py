"""Picture of the training groups, after Fig. A.12."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from aiv_rba import config
from aiv_rba.geometry import Lumen, across
from aiv_rba.points.shrink_copy import Cells
from aiv_rba.store import Array, atomic_path


def draw(
    path: Path,
    lumen: Lumen,
    samples: Array,
    members: list[NDArray[np.int64]],
    interior: Cells,
    settings: config.Points,
) -> None:
    """Draw the wall's patches and, at mid-length, the radial sections."""
    figure = plt.figure(figsize=(12, 5), layout="constrained")
    colours = plt.get_cmap("cividis")
    axes = figure.add_subplot(1, 2, 1, projection="3d")
    first, second = across(lumen.axis)
    for patch, member in enumerate(members):
        i_theta, i_y = divmod(patch, settings.n_y)
        # Neighbours differ: a checkerboard of two shades, angle by colour.
        shade = i_theta / settings.n_theta * 0.75 + 0.25 * (i_y % 2)
        p = samples[member]
        axes.scatter(p[:, first], p[:, second], p[:, lumen.axis], s=3, color=colours(shade))
    box = np.ptp(lumen.wall.points, axis=0)
    axes.set_box_aspect((box[first], box[second], box[lumen.axis]))
    names = [f"{'xyz'[i]}/L" for i in (first, second, lumen.axis)]
    axes.set(xlabel=names[0], ylabel=names[1], zlabel=names[2])
    axes.set_title(f"Wall: {settings.n_theta} x {settings.n_y} patches")

    section = figure.add_subplot(1, 2, 2)
    middle = settings.n_y // 2
    for i_r in range(settings.n_r):
        rows = (i_r * settings.n_theta + np.arange(settings.n_theta)) * settings.n_y + middle
        p = np.concatenate([interior.points[row, : interior.counts[row]] for row in rows])
        label = f"radial section {i_r + 1}"
        colour = colours(i_r / max(settings.n_r - 1, 1))
        section.scatter(p[:, first], p[:, second], s=2, color=colour, label=label)
    section.set(aspect="equal", xlabel=names[0], ylabel=names[1])
    section.set_title("Shrunk copies in the middle axial band")
    section.legend(loc="upper right", markerscale=5, frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)
