"""Figures of the study, after Figs. 5, 6, 7, A.11 and A.13 of the paper.

Colours are those of Okabe and Ito (2008), each with a line style or a marker of its own; fields
have viridis and PuOr.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from aiv_rba.fields.flow import Flow
from aiv_rba.files.formats import Array
from aiv_rba.geometry import across
from studies.study.numbers import history_of
from studies.study.plan import WORDS, Comparison, Run, label

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
BLOCKS = {"no_slip": "wall", "tracks": "tracks", "navier_stokes": "equations"}
ERRORS = {
    "validation_u": "validation, u",
    "validation_v": "validation, v",
    "truth_velocity": "truth, velocity",
    "truth_pressure": "truth, pressure",
}
# Points of a field that are drawn, and phases of the cycle.
POINTS, PHASES = 4000, (0.0, 1 / 3, 2 / 3)
MORE_PHASES = (1 / 6, 1 / 2, 5 / 6)


def convergence(comparison: Comparison, twin: str, optimiser: str) -> bytes:
    """Errors against iterations and against seconds, means and ranges over seeds; Fig. 7."""
    variants = [v for v in comparison.variants if v.split("-")[0] == optimiser]
    figure, axes = plt.subplots(
        2, len(ERRORS), figsize=(13, 6), layout="constrained", sharey="col", squeeze=False
    )
    for line, by in zip(axes, ("step", "seconds"), strict=True):
        for axis, (column, title) in zip(line, ERRORS.items(), strict=True):
            for variant, colour, dash in zip(variants, cycle(COLOURS), cycle(DASHES)):
                histories = [history_of(Run(twin, variant, s)) for s in comparison.seeds]
                place, mean, low, high = _over_seeds(histories, by, column)
                axis.plot(place, mean, color=colour, linestyle=dash, label=label(variant))
                axis.fill_between(place, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.set(xlabel="iteration" if by == "step" else "training time (s)", yscale="log")
            axis.set_title(title if by == "step" else "")
        line[0].set_ylabel("relative $L^2$ error")
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, loc="outside lower center", ncols=4)
    return image(figure)


def _over_seeds(
    histories: Sequence[pd.DataFrame], by: str, column: str
) -> tuple[Array, Array, Array, Array]:
    """Places, mean, smallest and largest error over seeds, as far as all of them go."""
    end = min(float(history[by].iloc[-1]) for history in histories)
    start = max(float(history[by].iloc[0]) for history in histories)
    place = np.linspace(start, end, 60)
    values = np.array([np.interp(place, h[by], h[column]) for h in histories])
    return place, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def evolution(runs: Sequence[Run]) -> bytes:
    """Smallest, mean and largest multiplier of each block along the training; Fig. A.11."""
    figure, axes = plt.subplots(
        1, len(runs), figsize=(4.6 * len(runs), 3.6), layout="constrained", squeeze=False
    )
    for axis, run in zip(axes[0], runs, strict=True):
        history = history_of(run)
        for (block, name), colour in zip(BLOCKS.items(), COLOURS, strict=False):
            if f"lambda_{block}_mean" not in history:
                continue
            for which, dash in (("max", "-"), ("mean", "--"), ("min", ":")):
                axis.plot(
                    history["step"],
                    history[f"lambda_{block}_{which}"],
                    color=colour,
                    linestyle=dash,
                    label=f"{name}, {which}",
                )
        axis.set(title=f"{WORDS[run.optimiser]}: {run.label}", xlabel="iteration")
        axis.legend(frameon=False, fontsize="small")
    axes[0][0].set_ylabel("multiplier without offset")
    return image(figure)


def histograms(measured: dict[str, dict[str, list[float]]]) -> bytes:
    """Held-out measured velocities and inferred ones at the same places; Fig. 6(d)."""
    figure, axes = plt.subplots(
        1, len(measured), figsize=(4.6 * len(measured), 3.4), layout="constrained", squeeze=False
    )
    for axis, (name, found) in zip(axes[0], measured.items(), strict=True):
        edges = 1e3 * np.array(found["edges"])
        axis.stairs(found["measured"], edges, fill=True, color="0.8", label="measured")
        axis.stairs(found["predicted"], edges, color=COLOURS[0], lw=1.8, label="inferred")
        axis.set(xlabel=f"{name} (mm/s)", ylabel="held-out rows", yscale="symlog")
        axis.legend(frameon=False)
    return image(figure)


def fields(flow: Flow, phases: Sequence[float] = PHASES) -> bytes:
    """Velocity, pressure, vorticity and wall shear stress at some phases; Figs. 6(c) and A.13.

    Points in the middle third of the vessel, seen across it, and the wall from the same side.
    """
    case = flow.case
    side = across(case.axis)[0]
    inside = flow.mesh_positions * case.scales.length + np.array(case.scales.origin)
    depth = inside[:, across(case.axis)[1]]
    low, high = np.quantile(depth, [1 / 3, 2 / 3])
    kept = np.flatnonzero((depth >= low) & (depth <= high))
    kept = np.random.default_rng(0).permutation(kept)[:POINTS]
    inside, wall = inside[kept], flow.wall_points
    front = flow.wall_normals(wall)[:, across(case.axis)[1]] > 0
    drawn: list[tuple[str, Any, Any]] = []
    for phase in phases:
        time = phase * flow.period
        sampled = {
            "velocity (mm/s)": 1e3 * flow.velocity(inside, time)[:, case.axis],
            "pressure (Pa)": flow.pressure(inside, time),
            "vorticity (1/s)": np.linalg.norm(flow.vorticity(inside, time), axis=1),
        }
        stress = np.linalg.norm(flow.wall_shear_stress(wall[front], time), axis=1)
        drawn.append((f"t = {phase:.2f} T", sampled, stress))
    names = [*drawn[0][1], "WSS (mPa)"]
    figure, axes = plt.subplots(
        len(drawn), len(names), figsize=(14, 2.3 * len(drawn)), layout="constrained", squeeze=False
    )
    for column, name in enumerate(names):
        on_wall = name.startswith("WSS")
        values = [1e3 * stress if on_wall else sampled[name] for _, sampled, stress in drawn]
        most = float(np.quantile(np.abs(np.concatenate(values)), 0.995))
        signed = name.startswith(("velocity", "pressure"))
        points = wall[front] if on_wall else inside
        for axis, one in zip(axes[:, column], values, strict=True):
            shown = axis.scatter(
                1e3 * points[:, case.axis],
                1e3 * points[:, side],
                c=one,
                s=3,
                cmap="PuOr" if signed else "viridis",
                vmin=-most if signed else 0,
                vmax=most,
                rasterized=True,
            )
        axes[0, column].set_title(name)
        axes[-1, column].set_xlabel(f"{'xyz'[case.axis]} (mm)")
        figure.colorbar(shown, ax=axes[:, column])
    for axis, (title, _, _) in zip(axes[:, 0], drawn, strict=True):
        axis.set_ylabel(f"{title}\n{'xyz'[side]} (mm)")
    return image(figure)


def attention_maps(run: Run, flow: Flow) -> bytes:
    """Multipliers of tracks and groups: mismatches, and distance to the wall."""
    with np.load(run.multipliers) as file:
        maps = {name: file[name] for name in file.files}
    figure, axes = plt.subplots(1, 3, figsize=(14, 3.8), layout="constrained")
    if "tracks" in maps:
        values, flags = maps["tracks"].mean(axis=1), maps["mismatched"]
        edges = np.linspace(0, float(values.max()) or 1.0, 50)
        axes[0].hist(values[~flags], edges, color=COLOURS[0], label="matched", histtype="step")
        axes[0].hist(
            values[flags], edges, color=COLOURS[1], label="mismatched", hatch="//", alpha=0.6
        )
        axes[0].set(xlabel="multiplier of a row", ylabel="rows of the tracks", yscale="log")
        axes[0].legend(frameon=False)
    groups = maps["groups"].mean(axis=1)
    axes[1].scatter(maps["group_distance"], groups, s=4, color=COLOURS[2])
    axes[1].set(xlabel="distance to the wall (hydraulic radii)", ylabel="multiplier of a group")
    case = flow.case
    at = maps["group_centres"][:, 1:] * case.scales.length + np.array(case.scales.origin)
    shown = axes[2].scatter(
        1e3 * at[:, case.axis], 1e3 * at[:, across(case.axis)[0]], c=groups, s=8, cmap="viridis"
    )
    axes[2].set(
        xlabel=f"{'xyz'[case.axis]} (mm)",
        ylabel=f"{'xyz'[across(case.axis)[0]]} (mm)",
        title="multiplier of a group",
    )
    figure.colorbar(shown, ax=axes[2])
    return image(figure)


def image(figure: Figure) -> bytes:
    """The figure as PNG; it is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    plt.close(figure)
    return buffer.getvalue()
