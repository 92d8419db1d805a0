"""Wall shear stress, unrolled, beside the truth and the difference where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen
from aiv_rba.stages.report.phases import Phase
from aiv_rba.stages.report.style import DIFFERENCE, WIDTH, image, styled, symmetric
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.units import unit_for
from aiv_rba.stages.report.unrolled import Unrolled

STRESS = "inferno"


def wall_map(patch: Unrolled, phases: list[Phase], lumen: Lumen, truth: TrueFields | None) -> bytes:
    """Magnitude of the wall shear stress: angle about the centre line against the axis.

    With the truth every phase has a row: inferred, truth, difference; without it the phases are
    side by side. Every phase has its own colours, so that a slow one can be seen.
    """
    axis = lumen.axis
    stress = [np.linalg.norm(patch.stress[phase.number], axis=-1) for phase in phases]
    with styled():
        if truth is None:
            return _side_by_side(patch, phases, axis, stress)
        true = [
            np.linalg.norm(
                patch.stress[phase.number] - truth.on_wall(patch, lumen, phase.share), axis=-1
            )
            for phase in phases
        ]
        figure, axes = plt.subplots(
            len(phases),
            3,
            figsize=(WIDTH, 0.7 + 1.7 * len(phases)),
            squeeze=False,
            layout="constrained",
            sharex=True,
            sharey=True,
        )
        for line, phase, inferred, known in zip(axes, phases, stress, true, strict=True):
            line[0].set_ylabel(f"{phase.name}\nangle (deg)")
            limits = (0.0, float(max(inferred.max(), known.max())) or 1.0)
            for panel, values in zip(line, (inferred, known), strict=False):
                shown = _panel(panel, patch, axis, values, limits, STRESS)
            figure.colorbar(shown[0], ax=line[:2], label=f"stress ({shown[1]})", pad=0.01)
            difference = inferred - known
            shown = _panel(line[2], patch, axis, difference, symmetric(difference), DIFFERENCE)
            figure.colorbar(shown[0], ax=line[2], label=f"difference ({shown[1]})", pad=0.02)
        for panel, name in zip(axes[0], ("inferred", "truth", "difference"), strict=True):
            panel.set_title(name, fontweight="bold")
        for panel in axes[-1]:
            panel.set_xlabel(_axis_label(patch, axis))
        return image(figure)


def _side_by_side(patch: Unrolled, phases: list[Phase], axis: int, stress: list[Array]) -> bytes:
    width = WIDTH * max(len(phases), 2) / max(len(phases), 3)
    figure, axes = plt.subplots(
        1, len(phases), figsize=(width, 3), squeeze=False, layout="constrained", sharey=True
    )
    for panel, phase, values in zip(axes[0], phases, stress, strict=True):
        limits = (0.0, float(values.max()) or 1.0)
        drawn, unit = _panel(panel, patch, axis, values, limits, STRESS)
        figure.colorbar(drawn, ax=panel, label=f"wall shear stress ({unit})")
        panel.set(title=phase.name, xlabel=_axis_label(patch, axis))
    axes[0, 0].set_ylabel("angle (deg)")
    return image(figure)


def _panel(
    axes: Axes,
    patch: Unrolled,
    axis: int,
    values: Array,
    limits: tuple[float, float],
    colours: str,
) -> tuple[Any, str]:
    """Draw one map; the drawn mesh and the unit of its colours."""
    unit = unit_for("pressure", limits[1])
    drawn = axes.pcolormesh(
        patch.points[0, :, axis] * _metre(patch, axis).factor,
        np.degrees(patch.angle),
        values * unit.factor,
        shading="gouraud",
        cmap=colours,
        vmin=limits[0] * unit.factor,
        vmax=limits[1] * unit.factor,
        rasterized=True,
    )
    axes.set(yticks=(-180, -90, 0, 90, 180))
    return drawn, unit.name


def _metre(patch: Unrolled, axis: int) -> Any:
    return unit_for("length", float(np.ptp(patch.points[0, :, axis])) / 4)


def _axis_label(patch: Unrolled, axis: int) -> str:
    return f"{'xyz'[axis]} ({_metre(patch, axis).name})"
