"""Figures of the benchmarks, after Figs. 1 to 4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from aiv_rba.benchmarks.problems import Benchmark
from aiv_rba.store import atomic_path

STYLES = ("-", "--", "-.", ":")


def solution(trained: Benchmark, problem: str, path: Path) -> None:
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
        axis.set_xlabel("t" if problem == "allen_cahn" else "x")
        figure.colorbar(drawn, ax=axis)
    axes[0].set_ylabel("x" if problem == "allen_cahn" else "y")
    _save(figure, path)


def convergence(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Relative L2 error of the first seed against iterations and against time."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
    for number, (name, result) in enumerate(results.items()):
        history = result["history"]
        for axis, abscissa in zip(axes, ("step", "seconds"), strict=True):
            style = STYLES[number % len(STYLES)]
            axis.loglog(history[abscissa], history["error_u"], style, label=name)
    axes[0].set(xlabel="iteration", ylabel="relative L2 error")
    axes[1].set(xlabel="training time (s)")
    axes[0].legend(frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    plt.close(figure)
