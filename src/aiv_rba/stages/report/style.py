"""How the figures of the report look."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from aiv_rba.files.formats import Array

# The page shows a figure of this width at its full width.
WIDTH = 11.5
INFERRED, TRUE = "#1f5fa8", "#d1495b"
DIFFERENCE = "RdBu_r"
STYLE: Any = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures have the style of the report."""
    with plt.rc_context(STYLE):
        yield


def image(figure: Figure) -> bytes:
    """The figure as WebP, a tenth of a PNG where fields are drawn; it is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=150, pil_kwargs={"quality": 90})
    plt.close(figure)
    return buffer.getvalue()


def symmetric(values: Array) -> tuple[float, float]:
    """A range about zero that leaves out the largest half percent."""
    most = float(np.quantile(np.abs(values), 0.995))
    return (-most, most) if most > 0 else (-1.0, 1.0)
