"""Figures of a comparison, after Figs. 1 to 4, 8, 9 and A.10."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter

from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.problems.scalar import ScalarProblem
from aiv_rba.validation.checks import Results

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def solution(trained: ScalarProblem, path: Path) -> None:
    """Exact solution, prediction and absolute error at the test points."""
    shape = [len(axis) for axis in trained.axes]
    exact, predicted = (
        values.cpu().numpy().reshape(shape).T for values in (trained.exact, trained.predict())
    )
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained", sharey=True)
    panels = ((exact, "exact"), (predicted, "predicted"), (abs(predicted - exact), "error"))
    for axis, (values, title) in zip(axes, panels, strict=True):
        colours = "viridis" if title == "error" else "RdBu_r"
        drawn = axis.pcolormesh(*trained.axes, values, cmap=colours, rasterized=True)
        axis.set_title(title)
        axis.set_xlabel(trained.coordinates[0])
        figure.colorbar(drawn, ax=axis)
    axes[0].set_ylabel(trained.coordinates[1])
    _save(figure, path)


def convergence(results: Results, path: Path) -> None:
    """Relative L2 error against iterations and against time; Figs. 2, 4 and 8."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    for (name, result), style in zip(results.items(), _styles(), strict=False):
        history = result["history"]
        for axis, abscissa in zip(axes, ("step", "seconds"), strict=True):
            axis.loglog(history[abscissa], history["error_u"], **style, label=name)
            axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set(xlabel="iteration", ylabel="relative $L^2$ error")
    axes[1].set(xlabel="training time (s)")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside right upper")
    _save(figure, path)


def attention(
    maps: dict[str, dict[int, tuple[Array, Array]]], coordinates: str, path: Path
) -> None:
    """Multipliers over the domain, a row per method and a column per iteration; Fig. 9."""
    columns = max(len(steps) for steps in maps.values())
    size = (3.2 * columns + 0.8, 2.5 * len(maps))
    figure, axes = plt.subplots(
        len(maps),
        columns,
        figsize=size,
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    first, second = tuple(coordinates)
    for row, (name, steps) in zip(axes, maps.items(), strict=True):
        for axis, (step, (points, values)) in zip(row, steps.items(), strict=False):
            drawn = axis.tripcolor(*points.T, values, shading="gouraud", rasterized=True)
            axis.set_title(f"iteration {step:,}", fontsize="medium")
            figure.colorbar(drawn, ax=axis)
        for axis in row[len(steps) :]:
            axis.set_axis_off()
        row[0].set_ylabel(f"{name}\n{second}")
    for axis in axes[-1]:
        axis.set_xlabel(first)
    _save(figure, path)


def multipliers(results: Results, path: Path) -> None:
    """Smallest, mean and largest multiplier against iterations; Fig. A.10."""
    size = (3.6 * len(results) + 0.6, 3.2)
    figure, axes = plt.subplots(1, len(results), figsize=size, layout="constrained", squeeze=False)
    for axis, (name, result) in zip(axes[0], results.items(), strict=True):
        history = result["history"]
        for which, style in zip(("max", "mean", "min"), _styles(), strict=False):
            axis.plot(history["step"], history[f"lambda_equation_{which}"], **style, label=which)
        axis.set(title=name, xlabel="iteration")
    axes[0][0].set_ylabel("multiplier of the equation")
    axes[0][0].legend(frameon=False)
    _save(figure, path)


def _styles() -> Iterator[dict[str, str]]:
    """Colours that colour-blind people tell apart (Okabe & Ito 2008), then other dashes."""
    for dash in ("-", "--", ":", "-."):
        for colour in OKABE_ITO:
            yield {"color": colour, "linestyle": dash}


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    plt.close(figure)
