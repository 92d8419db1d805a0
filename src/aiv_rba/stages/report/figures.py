"""Curves of the report: flow rate and pressure drop, training, histograms; as pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy.interpolate import make_interp_spline

from aiv_rba.files.formats import Array
from aiv_rba.harmonics import fourier, modes_of
from aiv_rba.scales import Scales
from aiv_rba.stages.report.opened import OpeningFlow
from aiv_rba.stages.report.phases import Phase
from aiv_rba.stages.report.style import INFERRED, TRUE, WIDTH, image, styled
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.units import unit_for

TERM_STYLES = {"no_slip": "-", "tracks": "--", "momentum": "-.", "mass": ":"}
BLOCKS = {"no_slip": "no-slip", "tracks": "tracks", "navier_stokes": "Navier-Stokes"}


def hydraulics(
    table: pd.DataFrame, scales: Scales, phases: list[Phase], truth: TrueFields | None
) -> bytes:
    """Flow rate and pressure drop over all times, with the truth where it is known.

    The bands are two standard deviations wide to each side or, where there are none, the spread of
    the flow rate over the sections.
    """
    times = table.t_s.to_numpy()
    flow, drop = table.flow_rate_m3_s.to_numpy(), table.pressure_drop_pa.to_numpy()
    fine = np.linspace(0, 1, 241)
    seconds = scales.start + fine * scales.period
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3), layout="constrained")
        panels = (
            (left, "flow rate", "flow rate", flow, "flow_rate_std_m3_s"),
            (right, "pressure drop", "pressure", drop, "pressure_drop_std_pa"),
        )
        for axes, label, quantity, values, column in panels:
            band, of_band = np.zeros_like(values), "\u00b1 2 standard deviations"
            if column in table:
                band = 2 * table[column].to_numpy()
            elif quantity == "flow rate":
                band, of_band = table.flow_rate_spread_m3_s.to_numpy(), "spread over the sections"
            unit = unit_for(quantity, float(np.abs(values).max()))
            if truth is not None:
                of = truth.flow_rate if quantity == "flow rate" else truth.pressure_drop
                true = of(fine)
                if np.isfinite(true).all():
                    axes.plot(
                        seconds,
                        true * unit.factor,
                        color=TRUE,
                        lw=3.5,
                        alpha=0.6,
                        label="truth",
                    )
            smooth, width = (
                _smooth(v, fine, periodic=scales.flow == "periodic") * unit.factor
                for v in (values, band)
            )
            axes.plot(seconds, smooth, color=INFERRED, label="inferred")
            axes.plot(times, values * unit.factor, "o", ms=4, color=INFERRED)
            if band.any():
                axes.fill_between(
                    seconds,
                    smooth - width,
                    smooth + width,
                    alpha=0.25,
                    color=INFERRED,
                    lw=0,
                    label=of_band,
                )
            _frame(axes, scales, phases)
            axes.set_ylabel(f"{label} ({unit.name})")
            axes.legend()
        return image(figure)


def openings(
    table: pd.DataFrame, found: list[OpeningFlow], scales: Scales, phases: list[Phase]
) -> bytes:
    """Flow rates out of the openings with their sum, and mean pressures, over all times.

    The bands are two standard deviations wide to each side.
    """
    times, fine = table.t_s.to_numpy(), np.linspace(0, 1, 241)
    seconds = scales.start + fine * scales.period
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.6), layout="constrained")
        panels = (
            (left, "flow rate out of the vessel", "flow rate", "rates"),
            (right, "mean pressure", "pressure", "pressures"),
        )
        for axes, label, quantity, name in panels:
            periodic = scales.flow == "periodic"
            curves = {opening.name: getattr(opening, name) for opening in found}
            bands = {opening.name: getattr(opening, f"{name}_std") for opening in found}
            unit = unit_for(quantity, max(float(np.abs(v).max()) for v in curves.values()))
            for number, (opening, values) in enumerate(curves.items()):
                smooth = _smooth(values, fine, periodic=periodic) * unit.factor
                colour = f"C{number}"
                axes.plot(seconds, smooth, color=colour, label=opening)
                axes.plot(times, values * unit.factor, "o", ms=4, color=colour)
                if bands[opening] is not None:
                    width = 2 * _smooth(bands[opening], fine, periodic=periodic) * unit.factor
                    low, high = smooth - width, smooth + width
                    axes.fill_between(seconds, low, high, alpha=0.25, color=colour, lw=0)
            if name == "rates":
                total = np.sum(list(curves.values()), axis=0)
                smooth = _smooth(total, fine, periodic=periodic) * unit.factor
                axes.plot(seconds, smooth, color="0.2", lw=1, ls=(0, (4, 2)), label="sum")
            _frame(axes, scales, phases)
            axes.set_ylabel(f"{label} ({unit.name})")
            axes.legend(ncols=2 if len(curves) > 3 else 1)
        return image(figure)


def _frame(axes: Axes, scales: Scales, phases: list[Phase]) -> None:
    """The axis of time with the phases, and zero."""
    axes.axhline(0, color="0.6", lw=0.8)
    for phase in phases:
        axes.axvline(phase.time, color="0.6", lw=0.8, ls=(0, (4, 3)))
        if phase.name != "as asked for":
            axes.annotate(
                phase.name,
                (phase.time, 1.01),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=8.5,
                color="0.35",
            )
    axes.set(xlabel="time (s)", xlim=(scales.start, scales.end))


def _smooth(values: Array, shares: Array, *, periodic: bool) -> Array:
    """Between equally spaced times: by Fourier modes of a period, or by a spline over a window."""
    if not periodic:
        at, degree = np.linspace(0, 1, len(values)), min(3, len(values) - 1)
        return np.asarray(make_interp_spline(at, values, k=degree)(shares))
    modes = modes_of(values)
    return np.array([fourier(modes, share) for share in shares])


def training(history: pd.DataFrame) -> bytes:
    """Losses, multipliers and validation error against the step; after Figs. 7 and A.11."""
    with styled():
        figure, (losses, multipliers, errors) = plt.subplots(
            1, 3, figsize=(WIDTH, 3.4), layout="constrained"
        )
        for name in history.columns:
            block = next((b for b in TERM_STYLES if name.startswith(b)), None)
            if block:
                losses.semilogy(history.step, history[name], TERM_STYLES[block], lw=1, label=name)
        losses.set(xlabel="step", ylabel="weighted loss term")
        for block, label in BLOCKS.items():
            if f"lambda_{block}_max" in history:
                line = multipliers.semilogy(
                    history.step, history[f"lambda_{block}_mean"], label=label
                )
                low, high = history[f"lambda_{block}_min"], history[f"lambda_{block}_max"]
                multipliers.fill_between(
                    history.step, low, high, alpha=0.2, color=line[0].get_color()
                )
        multipliers.set(xlabel="step", ylabel="multiplier: min, mean, max")
        for name, style in (("u", "-"), ("v", "--"), ("w", ":")):
            if f"validation_{name}" in history:
                errors.semilogy(history.step, history[f"validation_{name}"], style, label=name)
        errors.set(xlabel="step", ylabel="relative L2 on held-out tracks")
        for axis, size, columns in ((losses, 7, 2), (multipliers, 9, 1), (errors, 9, 1)):
            if axis.get_legend_handles_labels()[0]:
                axis.legend(fontsize=size, ncol=columns)
        return image(figure)


def histograms(data: dict[str, dict[str, list[float]]]) -> bytes:
    """Measured and predicted velocities on the validation rows; after Fig. 6d."""
    with styled():
        figure, axes = plt.subplots(
            1,
            len(data),
            figsize=(WIDTH * min(1, 0.5 * len(data)), 3),
            squeeze=False,
            layout="constrained",
        )
        for axis, (name, histogram) in zip(axes[0], data.items(), strict=True):
            edges = np.array(histogram["edges"])
            unit = unit_for("speed", float(np.abs(edges).max()))
            edges = edges * unit.factor
            axis.stairs(
                histogram["measured"], edges, fill=True, alpha=0.3, color="0.4", label="measured"
            )
            axis.stairs(histogram["predicted"], edges, lw=1.6, color=INFERRED, label="inferred")
            axis.set(xlabel=f"{name} ({unit.name})", ylabel="held-out rows")
            axis.legend()
        return image(figure)
