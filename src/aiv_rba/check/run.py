"""The check of a whole experiment, in seconds: all that is wrong, or what will be made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiv_rba.check.costs import Costs, costs, lines, size
from aiv_rba.check.inputs import Problems, find_problems
from aiv_rba.errors import UserErrors
from aiv_rba.files.experiment import read_document
from aiv_rba.machine import free_disk, memory
from aiv_rba.settings import PointsSettings, valid_sections
from aiv_rba.settings.types import FlowKind
from aiv_rba.stages.points.generate import check_counts
from aiv_rba.terminal import say


def check(
    paths: Sequence[Path], results: Path, exclude: Path | None = None, *, ranks: int = 1
) -> None:
    """Check an experiment, and say what will be made of it.

    Parameters
    ----------
    paths
        Experiment, then overlays.
    results
        Folder in which the experiment's folder, which has its name, will be made.
    exclude
        File to put into `ingest.exclude`, if any.
    ranks
        Ranks that will make the points and train, all on this machine.

    Raises
    ------
    UserErrors
        A line for each mistake: in a setting, a file that a stage will open, or a file that one
        will write; and where memory or disk do not suffice.
    """
    document = read_document(paths, exclude)
    problems = find_problems(document, " + ".join(map(str, paths)), results)
    folder = results / str(document.get("name"))
    needed = _check_costs(valid_sections(document), folder, ranks, problems)
    if problems.lines:
        raise UserErrors(problems.lines)
    assert needed is not None
    for line in lines(needed, str(folder)):
        say(line)


def _check_costs(
    sections: dict[str, Any], folder: Path, ranks: int, problems: Problems
) -> Costs | None:
    """Check what the settings need against what the machine has."""
    points: PointsSettings | None = sections.get("points")
    if points is None or "train" not in sections:
        return None
    with problems.noted():
        check_counts(points)
    needed = None
    with problems.noted():
        flow: FlowKind = sections["ingest"].flow if "ingest" in sections else "periodic"
        needed = costs(points, sections["train"], flow, ranks)
    if needed is None:
        return None
    groups = min(needed.points) // points.per_group
    has, free = memory(), free_disk(folder)
    fewer = "reduce points.per_group, n_theta, n_y or n_t"
    smaller = "reduce train.network.width or layers, or the points"
    for wrong, line in (
        (
            ranks > groups,
            f"points: {groups} groups for {ranks} ranks, expected at least one group per rank",
        ),
        (
            needed.collocation > has,
            f"points: need {size(needed.collocation)} of memory, expected at most {size(has)}, "
            f"which this machine has: {fewer}",
        ),
        (
            needed.training > has,
            f"train: needs {size(needed.training)} of memory, expected at most {size(has)}, "
            f"which this machine has: {smaller}",
        ),
        (
            needed.disk > free,
            f"points: need {size(needed.disk)} of disk, expected at most {size(free)}, which are "
            f"free in {folder}: {fewer}",
        ),
    ):
        if wrong:
            problems.lines.append(line)
    return needed
