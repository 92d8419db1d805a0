"""Figures of the study, after Figs. 6, 7, A.11 and A.13 of the paper.

Colours are those of Okabe and Ito (2008), each with a line style or a marker of its own; fields
have viridis and PuOr.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from aiv_rba.fields.flow import Flow
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.files.truth import open_truth
from aiv_rba.geometry import across
from aiv_rba.harmonics import fourier
from aiv_rba.problems.velocimetry.light_sheet import depth_of
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
# Phases of the cycle at which fields are drawn.
PHASES = (0.0, 1 / 3, 2 / 3)
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


def fields(flow: Flow, truth: Path, phases: Sequence[float] = PHASES) -> bytes:
    """Inferred and true fields side by side at some phases; Figs. 6(c) and A.13."""
    found = _inferred_and_true(flow, truth, phases)
    figure, axes = plt.subplots(
        len(phases),
        2 * len(found),
        figsize=(22, 2.3 * len(phases)),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for number, (name, points, values) in enumerate(found):
        pairs = axes[:, 2 * number : 2 * number + 2]
        most = float(np.quantile(np.abs(values), 0.995))
        signed = name.startswith(("velocity", "pressure"))
        colours = {"cmap": "PuOr", "vmin": -most} if signed else {"cmap": "viridis", "vmin": 0}
        for axis, one in zip(pairs.flat, values.reshape(-1, len(points)), strict=True):
            drawn = _scatter(axis, flow.case, points, one, s=5, vmax=most, **colours)
            axis.label_outer()
        for axis, which in zip(pairs[0], ("inferred", "true"), strict=True):
            axis.set_title(f"{which} {name}")
        figure.colorbar(drawn, ax=pairs)
    for axis, phase in zip(axes[:, 0], phases, strict=True):
        axis.set_ylabel(f"t = {phase:.2f} T\n{axis.get_ylabel()}")
    return image(figure)


def _inferred_and_true(
    flow: Flow, truth: Path, phases: Sequence[float]
) -> list[tuple[str, Array, Array]]:
    """Names of fields, points (N, 3) of the truth, and values (P, 2, N), inferred and true.

    The points are those in the middle third of the depth of the vessel, and those of its wall that
    face the camera.
    """
    axis, depth = flow.case.axis, _seen_and_depth(flow.case)[1]
    with open_truth(truth) as file:
        inside, wall = file["points/position"][:], file["wall/position"][:]
        low, high = np.quantile(inside[:, depth], [1 / 3, 2 / 3])
        middle = (inside[:, depth] >= low) & (inside[:, depth] <= high) & flow.inside(inside)
        front = file["wall/normal"][:, depth] > 0
        names = ("velocity", "pressure", "vorticity")
        modes = [file[f"points/{name}"][:][:, middle] for name in names]
        modes.append(file["wall/wall_shear_stress"][:][:, front])
    inside, wall = inside[middle], wall[front]

    def drawn(velocity: Array, pressure: Array, vorticity: Array, stress: Array) -> list[Array]:
        return [
            1e3 * velocity[:, axis],
            # Pressure is known up to a constant.
            pressure - pressure.mean(),
            np.linalg.norm(vorticity, axis=1),
            1e3 * np.linalg.norm(stress, axis=1),
        ]

    pairs = []
    for phase in phases:
        time = phase * flow.period
        inferred = drawn(
            flow.velocity(inside, time),
            flow.pressure(inside, time),
            flow.vorticity(inside, time),
            flow.wall_shear_stress(wall, time),
        )
        true = drawn(*(fourier(field, phase) for field in modes))
        pairs.append(list(zip(inferred, true, strict=True)))
    titles = ("velocity (mm/s)", "pressure (Pa)", "vorticity (1/s)", "WSS (mPa)")
    points = (inside, inside, inside, wall)
    values = map(np.array, zip(*pairs, strict=True))
    return list(zip(titles, points, values, strict=True))


def attention_maps(run: Run, flow: Flow) -> bytes:
    """Multipliers of rows of the tracks, by mismatches and by place, and of groups."""
    with np.load(run.multipliers) as file:
        maps = {name: file[name] for name in file.files}
    with_tracks = "tracks" in maps
    figure, axes = plt.subplots(
        1 + with_tracks, 2, figsize=(13, 4 * (1 + with_tracks)), layout="constrained", squeeze=False
    )
    if with_tracks:
        _track_maps(axes[0], flow.case, maps)
    groups = maps["groups"].mean(axis=1)
    by_distance, by_place = axes[-1]
    by_distance.scatter(maps["group_distance"], groups, s=4, color=COLOURS[2])
    by_distance.set(xlabel="distance to the wall (hydraulic radii)", ylabel="multiplier of a group")
    at = _positions(flow.case, maps["group_centres"])
    drawn = _scatter(by_place, flow.case, at, groups, s=8, cmap="viridis")
    figure.colorbar(drawn, ax=by_place, label="multiplier of a group")
    return image(figure)


def _track_maps(axes: Sequence[Any], case: Case, maps: dict[str, Array]) -> None:
    """Histogram of the multipliers of matched and mismatched rows, and where these rows are."""
    values, flags = maps["tracks"].mean(axis=1), maps["mismatched"].astype(bool)
    histogram, by_place = axes
    edges = np.linspace(0, float(values.max()) or 1.0, 50)
    histogram.hist(values[~flags], edges, color=COLOURS[0], label="matched", histtype="step")
    histogram.hist(
        values[flags], edges, color=COLOURS[1], label="mismatched", hatch="//", alpha=0.6
    )
    histogram.set(xlabel="multiplier of a row", ylabel="rows of the tracks", yscale="log")
    histogram.legend(frameon=False)
    at = _positions(case, maps["track_points"])
    # A few mismatched rows would take the whole scale.
    most = float(np.quantile(values, 0.99)) or 1.0
    for kind, marker, size, name in ((~flags, ".", 8, "matched"), (flags, "x", 16, "mismatched")):
        # Rows with large multipliers lie above the others.
        order = np.flatnonzero(kind)[np.argsort(values[kind])]
        drawn = _scatter(
            by_place,
            case,
            at[order],
            values[order],
            s=size,
            marker=marker,
            label=name,
            cmap="viridis",
            vmin=0,
            vmax=most,
        )
    by_place.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    by_place.figure.colorbar(drawn, ax=by_place, label="multiplier of a row", extend="max")


def _positions(case: Case, points: Array) -> Array:
    """Positions (N, 3), m, of nondimensional points (N, 4)."""
    return np.asarray(points[:, 1:] * case.scales.length + np.array(case.scales.origin))


def _seen_and_depth(case: Case) -> tuple[int, int]:
    """The coordinate across the vessel that the cameras see, and the one that they do not."""
    first, second = across(case.axis)
    return (second, first) if depth_of(case.tracks) == first else (first, second)


def _scatter(axis: Any, case: Case, points: Array, values: Array, **style: Any) -> Any:
    """Draw values at points (N, 3), m, as the cameras see them; returns what has the colours."""
    seen = _seen_and_depth(case)[0]
    axis.set(xlabel=f"{'xyz'[case.axis]} (mm)", ylabel=f"{'xyz'[seen]} (mm)")
    return axis.scatter(
        1e3 * points[:, case.axis], 1e3 * points[:, seen], c=values, rasterized=True, **style
    )


def image(figure: Figure) -> bytes:
    """The figure as PNG; it is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    plt.close(figure)
    return buffer.getvalue()
