"""Whether the standard deviations and the verdicts on twins are right.

Reads what `python -m studies.generalise` wrote. Prints how often the truth lies within intervals of
one and of two standard deviations, draws this for intervals of every width, and checks that the
better verdicts are those of the smaller errors: it ends with 1 if they are not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiv_rba.files.formats import Array
from aiv_rba.stages.score.quality import GRADES

RESULTS = {
    "judge": Path("results/generalise.json"),
    "choose": Path("results/generalise_choose.json"),
}
# The manual shows the judged half.
PICTURES = {
    "judge": Path("docs/images/calibration.png"),
    "choose": Path("results/calibration_choose.png"),
}
# Intervals of one and two standard deviations: how often they are to hold the truth, and how often
# they may hold it, in percent.
WITHIN = {68.27: (60.0, 76.0), 95.45: (92.0, 98.0)}
TITLES = {
    "u": "u",
    "v": "v",
    "w": "w",
    "pressure": "pressure",
    "wss": "wall shear stress",
    "flow_rate": "flow rate",
}
PANELS = (("u", "v", "w"), ("pressure", "wss", "flow_rate"))
# Colours that colour-blind people can tell apart (Okabe & Ito 2008), and markers.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "marker": "o"},
    {"color": "#D55E00", "marker": "s"},
    {"color": "#009E73", "marker": "^"},
)
ALL, GOOD = "all twins", "verdict good"
FULL: dict[str, Any] = {"linewidth": 1.8, "markersize": 6}
DASHED: dict[str, Any] = {"linewidth": 0.8, "linestyle": "--", "markersize": 3}
# Errors and standard deviations that are shown side by side.
SIZES = {"velocity": "velocity", "pressure": "pressure", "wss": "WSS", "flow_rate": "flow rate"}
Twins = dict[str, dict[str, Any]]


def finished(twins: Twins) -> Twins:
    """Twins that have standard deviations and a known truth."""
    return {name: twin for name, twin in twins.items() if "coverage" in twin.get("uncertainty", {})}


def verdict(twin: dict[str, Any]) -> str:
    """The verdict on a twin."""
    return str(twin["quality"]["verdict"])


def at_levels(coverage: dict[str, list[float]], field: str) -> list[float]:
    """How often the truth of a field lies within one and two standard deviations, percent."""
    levels = 100 * np.array(coverage["nominal"])
    return [100 * coverage[field][int(np.argmin(np.abs(levels - level)))] for level in WITHIN]


def mean_coverage(twins: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """The mean over twins, for every field."""
    found = [twin["uncertainty"]["coverage"] for twin in twins]
    return {
        name: np.mean([coverage[name] for coverage in found], axis=0).tolist()
        for name in ("nominal", *TITLES)
    }


def right(coverage: dict[str, list[float]]) -> list[str]:
    """Fields of which the truth lies within both intervals about as often as it is to."""
    return [
        field
        for field in TITLES
        if all(
            low <= share <= high
            for share, (low, high) in zip(at_levels(coverage, field), WITHIN.values(), strict=True)
        )
    ]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def means_table(groups: dict[str, Twins]) -> str:
    """Mean coverage of every field, for groups of twins, and which fields are right."""
    means = {title: mean_coverage(twins.values()) for title, twins in groups.items()}
    header = ["field", *(f"{title}, {level} %" for title in means for level in WITHIN)]
    rows = [
        [
            TITLES[field],
            *(f"{share:.1f}" for mean in means.values() for share in at_levels(mean, field)),
        ]
        for field in TITLES
    ]
    wanted = " and ".join(f"{low:.0f} to {high:.0f}" for low, high in WITHIN.values())
    told = [
        f"Within {wanted} percent, {title}: {named(right(mean))}." for title, mean in means.items()
    ]
    return "\n\n".join([markdown(header, rows), *told])


def named(fields: Sequence[str]) -> str:
    """Fields as words."""
    return ", ".join(TITLES[field] for field in fields) or "none"


def twins_table(twins: Twins) -> str:
    """Verdict, standard deviations and errors of every twin, and coverage of its velocity."""
    header = [
        *("twin", "verdict"),
        *(f"{title}, std / error" for title in SIZES.values()),
        *(f"{name} within one / two" for name in "uvw"),
        "fields within the limits",
    ]
    return markdown(header, [row(name, twin) for name, twin in twins.items()])


def row(name: str, twin: dict[str, Any]) -> list[str]:
    """The row of one twin, in percent."""
    uncertainty, errors = twin["uncertainty"], twin["truth"]
    pairs = [(uncertainty["relative"].get(field), errors.get(field)) for field in SIZES]
    coverage = uncertainty["coverage"]
    return [
        *(name, verdict(twin)),
        *(" / ".join("" if x is None else f"{100 * x:.2g}" for x in pair) for pair in pairs),
        *(" / ".join(f"{x:.0f}" for x in at_levels(coverage, component)) for component in "uvw"),
        named(right(coverage)),
    ]


def ranked_wrongly(twins: Twins) -> list[str]:
    """Pairs of twins of which the one with the better verdict has the larger error of velocity."""
    order = sorted(twins, key=lambda name: GRADES.index(verdict(twins[name])))
    found = []
    for better, worse in combinations(order, 2):
        grades = verdict(twins[better]), verdict(twins[worse])
        errors = [100 * twins[name]["truth"]["velocity"] for name in (better, worse)]
        if grades[0] != grades[1] and errors[0] >= errors[1]:
            found.append(
                f"{better} is {grades[0]} with an error of velocity of {errors[0]:.2g} percent, "
                f"{worse} is {grades[1]} with {errors[1]:.2g} percent"
            )
    return found


def draw(groups: dict[str, Twins], path: Path) -> None:
    """Draw how often intervals hold the truth against how often they are to."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for axes, fields in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
        axes.plot([45, 100], [45, 100], color="0.5", linewidth=0.8, label="exactly right")
        for level, limits in WITHIN.items():
            axes.vlines(level, *limits, color="0.85", linewidth=7, zorder=0)
        for field, look in zip(fields, LOOKS, strict=True):
            axes.plot([], [], linestyle="none", label=TITLES[field], **look)
        for title, twins in groups.items():
            style = FULL if title == GOOD else DASHED
            lines(axes, mean_coverage(twins.values()), fields, style)
        for title in groups:
            style = FULL if title == GOOD else DASHED
            axes.plot([], [], color="black", label=f"mean, {title}", **style)
        axes.set(xlim=(45, 100), ylim=(0, 102), xlabel="nominal coverage, percent")
        axes.legend(frameon=False, loc="lower right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("truth within the interval, percent")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def lines(
    axes: Axes, coverage: dict[str, list[float]], fields: Sequence[str], style: dict[str, Any]
) -> None:
    """One line per field, each with its colour and marker."""
    nominal, *shares = (percent(coverage[name]) for name in ("nominal", *fields))
    for values, look in zip(shares, LOOKS, strict=True):
        axes.plot(nominal, values, **look, **style)


def percent(shares: Sequence[float]) -> Array:
    """Shares in percent."""
    return 100 * np.array(shares)


def main() -> int:
    """Print, draw and check; returns 1 if the verdicts rank the twins wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=RESULTS, default="judge")
    parser.add_argument("--out", type=Path, help="picture that is drawn")
    arguments = parser.parse_args()
    every = json.loads(RESULTS[arguments.half].read_text())["twins"]
    twins = finished(every)
    if not twins:
        sys.exit("found no twins with standard deviations, expected some: run make generalise")
    good = {name: twin for name, twin in twins.items() if verdict(twin) == "good"}
    groups = {ALL: twins} | ({GOOD: good} if good else {})
    print(means_table(groups), twins_table(twins), sep="\n\n", end="\n\n")
    for name in sorted(every.keys() - twins.keys()):
        print(f"{name} is left out: it failed, or has no standard deviations.\n")
    picture = arguments.out or PICTURES[arguments.half]
    draw(groups, picture)
    print(picture)
    wrong = ranked_wrongly(twins)
    print("\n".join(wrong) if wrong else "The verdict ranks them rightly.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
