"""A small case with collocation points for the training tests, made without the other stages."""

from pathlib import Path

import numpy as np
import yaml

from aiv_rba.files.case import Case, Tracks, Wall, WallFunction, write_case
from aiv_rba.files.formats import create_h5
from aiv_rba.files.results import Results
from aiv_rba.scales import Scales
from aiv_rba.settings.types import FlowKind

RADIUS, LENGTH = 0.5, 2.0
# The paper's network and soft no-slip, which has all three blocks of loss terms.
PLAIN = {
    "time": "input",
    "time_harmonics": 3,
    "no_slip": "soft",
    "first_layer": "xavier",
    "output_scales": [0.1, 1.0, 0.1, 100.0],
}
WEIGHTS = {
    "no_slip": [100.0, 100.0, 100.0],
    "tracks": [20.0, 20.0, 20.0],
    "momentum": [0.02, 0.02, 0.02],
    "mass": 60.0,
}


def parabola(radius: float) -> WallFunction:
    """(radius^2 - r^2) / 4, which needs no sources."""
    return WallFunction(
        np.zeros((0, 3)),
        np.zeros(0),
        radius**2 / 4,
        linear=np.zeros(3),
        quadratic=-np.diag([0.25, 0.0, 0.25]),
        unit=radius**2 / 4,
        slope=radius / 2,
        misfit=0.0,
    )


def write_training_case(
    folder: Path, *, groups: int = 23, wall_groups: int = 11, flow: FlowKind = "periodic"
) -> None:
    """Write case.h5 and points.h5: tracks of Poiseuille flow in a tube; odd counts on purpose."""
    rng = np.random.default_rng(5)
    rows = 61

    def inside(n, radius):
        angle = rng.uniform(0, 2 * np.pi, n)
        return np.stack(
            [
                rng.uniform(0, 1, n),
                radius * np.cos(angle),
                rng.uniform(-LENGTH / 2, LENGTH / 2, n),
                radius * np.sin(angle),
            ],
            axis=1,
        )

    points = inside(rows, RADIUS * np.sqrt(rng.uniform(0, 1, rows)))
    v = 1 - (points[:, 1] ** 2 + points[:, 3] ** 2) / RADIUS**2
    wall = inside(40, RADIUS)[:, 1:]
    wall[0, 1], wall[1, 1] = -LENGTH / 2, LENGTH / 2
    case = Case(
        tracks=Tracks(
            points,
            {"u": np.zeros(rows), "v": v + 0.01 * rng.standard_normal(rows)},
            np.arange(rows) // 5,
            np.zeros(rows, dtype=int),
            np.arange(rows),
            rng.uniform(size=rows) > 0.6,
        ),
        wall=Wall(
            wall, wall * [1 / RADIUS, 0, 1 / RADIUS], np.array([[0, 1, 2]]), np.zeros(1, int)
        ),
        scales=Scales(1e-3, 1e-3, 1e3, 1e-3, 1.0, flow=flow),
        axis=1,
        lumen="single",
        radius=RADIUS,
        wall_function=parabola(RADIUS),
        wall_error=0.0,
        noise={"u": 0.01, "v": 0.01},
        harmonics=1,
        chosen={},
        sources={},
        identity="training-case",
    )
    write_case(folder / "case.h5", case)
    batches = 4
    with create_h5(folder / "points.h5", "points", {"identity": case.identity}) as file:
        radius = RADIUS * np.sqrt(rng.uniform(0, 1, batches * groups))
        file["interior/points"] = inside(batches * groups, radius).reshape(batches, groups, 4)
        file["wall/points"] = inside(batches * wall_groups, RADIUS).reshape(batches, wall_groups, 4)


def write_config(folder: Path, **train) -> Path:
    """Write train.yaml with the given section; `WEIGHTS` and all steps if it says no other."""
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump({"train": {"global_weights": WEIGHTS, "settled": None} | train}))
    return path


def write_tiny_training(folder: Path, *, iterations: int, **train) -> Path:
    """Case, points and configuration of a training that takes no time; the folder itself."""
    write_training_case(folder)
    optimiser = {"name": "gauss_newton", "iterations": iterations, "rows": [5, 9, 9]}
    network = {"layers": 1, "width": 4} | PLAIN
    write_config(folder, network=network, optimiser=optimiser, **train)
    return folder


def arguments(folder: Path, run: str = "run") -> list[str]:
    """Command line of a training of one rank on the files of `folder`; it writes `folder/run`."""
    results = Results(folder / run)
    links = {results.case: "case.h5", results.points: "points.h5"}
    links[results.settings("train")] = "train.yaml"
    for link, name in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folder.resolve() / name)
    return ["train", str(results.folder), "--ranks", "1"]
