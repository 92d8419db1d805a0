"""Mistakes in the input are found by name and with their figure, and right input is left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pyvista as pv
import yaml

from aiv_rba.errors import UserError
from aiv_rba.files.case import read_case
from aiv_rba.files.results import Results
from aiv_rba.settings import check_experiment, load_stage
from aiv_rba.stages.ingest import run
from aiv_rba.stages.ingest.plausibility.coverage import ERRORS, FEW_ROWS
from aiv_rba.stages.ingest.plausibility.displacement import (
    Slope,
    exchanged,
    linked_steps,
    slopes,
)
from aiv_rba.stages.ingest.plausibility.magnitudes import kind_of
from aiv_rba.stages.ingest.plausibility.wall import wall_speed
from aiv_rba.stages.ingest.tracks import TrackTable
from tests.synthetic import write_tube_experiment

Change = Callable[[Path], None]
RADIUS = 500.0  # of the tube, um
# Both scales are chosen from the data, which then have no figure to disagree with.
AUTO = {"length_scale": "auto", "velocity_scale": "auto"}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes half of the time, and no check looks at it."""
    monkeypatch.setattr(run, "draw", lambda path, *_: path.write_bytes(b""))


@pytest.fixture(scope="module")
def tube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A right experiment with the noise of the twins."""
    folder = tmp_path_factory.mktemp("tube")
    write_tube_experiment(folder, tracks=400, noise=0.1, ingest=AUTO)
    return folder


def copied(tube: Path, folder: Path) -> Path:
    """The experiment in a folder of its own."""
    for file in ("tracks.csv", "wall.stl"):
        (folder / file).write_bytes((tube / file).read_bytes())
    text = (tube / "experiment.yaml").read_text()
    (folder / "experiment.yaml").write_text(text.replace(str(tube), str(folder)))
    return folder


def ingest(folder: Path) -> list[dict[str, Any]]:
    """Warnings in the record of the ingestion."""
    results = Results(folder)
    run.ingest(load_stage(folder / "experiment.yaml", "ingest"), results)
    found: list[dict[str, Any]] = json.loads(results.record("ingest").read_text())["warnings"]
    return found


def table(edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    """Change the table of tracks.csv."""

    def change(folder: Path) -> None:
        edit(pd.read_csv(folder / "tracks.csv")).to_csv(folder / "tracks.csv", index=False)

    return change


def times(factor: float, *columns: str) -> Change:
    """Multiply columns of tracks.csv."""
    return table(lambda rows: rows.assign(**{name: rows[name] * factor for name in columns}))


def wall(edit: Callable[[pv.PolyData], pv.PolyData]) -> Change:
    """Change wall.stl, given in um, about its middle."""

    def change(folder: Path) -> None:
        mesh = pv.read(folder / "wall.stl").clean(tolerance=1e-6)
        middle = np.array(mesh.center)
        mesh.points -= middle
        mesh = edit(mesh)
        mesh.points += middle
        mesh.save(folder / "wall.stl")

    return change


def config(**keys: Any) -> Change:
    """Change keys of the section."""

    def change(folder: Path) -> None:
        path = folder / "experiment.yaml"
        document = yaml.safe_load(path.read_text())
        for key, value in keys.items():
            old = document["ingest"].get(key)
            document["ingest"][key] = old | value if isinstance(old, dict) else value
        path.write_text(yaml.safe_dump(document))

    return change


def both(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes] and None


def scattered(mesh: pv.PolyData, share: float) -> pv.PolyData:
    """A wall whose vertices are off by themselves, by so much of the radius."""
    off = np.random.default_rng(0).normal(size=mesh.points.shape) * [1, 0, 1]
    mesh.points += share * RADIUS * off
    return mesh


def frozen(rows: pd.DataFrame) -> pd.DataFrame:
    """Every fifth track keeps its first velocity."""
    kept = rows.groupby("track")[["u", "v"]].transform("first")
    return rows.assign(**kept.where(rows["track"] % 5 == 0, rows[["u", "v"]]))


def lost(rows: pd.DataFrame) -> pd.DataFrame:
    """Every fifth track has no velocity."""
    return rows.assign(**rows[["u", "v"]].where(rows["track"] % 5 != 0, 0.0))


def unlinked(number: int) -> Change:
    """A third of the tracks belong to none."""
    return table(lambda r: r.assign(track=r["track"].where(r["track"] % 3 != 0, number)))


def without(key: str) -> Change:
    """Take a key out of the section."""

    def change(folder: Path) -> None:
        path = folder / "experiment.yaml"
        document = yaml.safe_load(path.read_text())
        del document["ingest"][key]
        path.write_text(yaml.safe_dump(document))

    return change


def recorded(rows: pd.DataFrame) -> pd.DataFrame:
    """Times of a recording of one period: what goes on after its end is another track."""
    wrapped = rows.groupby("track")["t"].diff() < 0
    after = wrapped.groupby(rows["track"]).cumsum()
    return rows.assign(track=2 * rows["track"] + after)


RIGHT: dict[str, Change] = {
    "periodic": lambda folder: None,
    "unsteady": both(without("period"), config(flow="unsteady"), table(recorded)),
    "without tracks": table(lambda r: r.assign(track=range(len(r)))),
    "velocities from positions": config(velocities="differences"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_input_has_no_warning(name: str, tube: Path, tmp_path: Path) -> None:
    folder = copied(tube, tmp_path)
    RIGHT[name](folder)
    assert ingest(folder) == []


def test_right_input_of_a_steady_flow_has_no_warning(tmp_path: Path) -> None:
    write_tube_experiment(tmp_path, tracks=400, noise=0.1, pulsation=0.0, ingest=AUTO)
    both(without("period"), config(flow="steady"))(tmp_path)
    assert ingest(tmp_path) == []
    times(1e3, "v")(tmp_path)
    with pytest.raises(UserError, match="stopped by velocity_displacement"):
        ingest(tmp_path)


FATAL: dict[str, tuple[Change, str, str]] = {
    "velocities in m/s": (times(1e-6, "u", "v"), "velocity_displacement", "v is 1e-06"),
    "velocities in nm/s": (times(1e3, "u", "v"), "velocity_displacement", "v is 1000 times"),
    "velocities in mm/s": (times(1e-3, "u", "v"), "velocity_displacement", "v is 0.001 times"),
    "positions and wall in mm": (
        config(units={"length": "mm", "wall": "mm"}),
        "velocity_displacement",
        "check ingest.units.velocity",
    ),
    "times in ms": (times(1e-3, "t"), "velocity_displacement", "v is 0.001 times"),
    "columns exchanged": (
        table(lambda r: r.rename(columns={"u": "v", "v": "u"})),
        "velocity_columns",
        "u follows the displacement along y",
    ),
    "sign of v": (times(-1, "v"), "velocity_sign", "v run against the displacement"),
    "wall elsewhere": (
        wall(lambda m: m.translate([1.2 * RADIUS, 0, 0])),
        "rows_outside",
        "% of the rows (",
    ),
    "nothing moves": (
        both(times(0, "u", "v"), config(velocity_scale=1e-3)),
        "zero_velocities",
        "the velocities u, v of all rows are zero",
    ),
    "velocity scale in um/s": (config(velocity_scale=1e3), "velocity_scale", "velocity scales"),
}

MILD: dict[str, tuple[Change, set[str], str]] = {
    "wall shifted along x": (
        wall(lambda m: m.translate([0.2 * RADIUS, 0, 0])),
        {"wall_speed"},
        "does not vanish on the wall",
    ),
    "wall shifted along z": (
        wall(lambda m: m.translate([0, 0, 0.2 * RADIUS])),
        {"wall_speed"},
        "does not vanish on the wall",
    ),
    "wall turned about z": (
        wall(lambda m: m.rotate_z(10, inplace=False)),
        {"rows_outside", "wall_speed"},
        "does not vanish on the wall",
    ),
    "wall too wide": (
        wall(lambda m: m.scale([1.2, 1, 1.2])),
        {"wall_speed"},
        "vanishes before the wall",
    ),
    "wall too narrow": (
        wall(lambda m: m.scale([1 / 1.2, 1, 1 / 1.2])),
        {"rows_outside", "wall_speed"},
        "does not vanish on the wall",
    ),
    "viscosity in cP": (config(fluid={"viscosity": 0.69}), {"fluid"}, "in mPa s (cP)"),
    "density in g/cm3": (config(fluid={"density": 0.993}), {"fluid"}, "in g/cm3"),
    "kinematic viscosity": (config(fluid={"viscosity": 7e-7}), {"fluid"}, "kinematic"),
    "velocities frozen": (table(frozen), {"repeated_velocities"}, "repeat the velocity"),
    "velocities lost": (table(lost), {"zero_velocities"}, "20 % of the rows are zero"),
    "unlinked rows, -2": (unlinked(-2), {"unlinked_rows"}, "34 % of the rows have the track id -2"),
    "unlinked rows, 0": (unlinked(0), {"unlinked_rows"}, "have the track id 0"),
    "period twice too long": (config(period=0.606), {"period_coverage"}, "no row lies in 50 %"),
    "length scale in um": (config(length_scale=RADIUS), {"length_scale"}, "hydraulic radii"),
    "one plane": (
        table(lambda r: r[r["plane"] == 1]),
        {"depth_coverage", "few_rows"},
        "only 0 % of the width of the vessel along z",
    ),
    "few rows": (table(lambda r: r[:2990]), {"few_rows"}, "there are only 2,990 rows"),
    "wall scattered": (
        wall(lambda m: scattered(m, 0.15)),
        {"wall_function", "wall_speed"},
        "a training with exact no-slip refuses more than 14 %",
    ),
}

ENDED: dict[str, tuple[Change, str]] = {
    "positions in mm": (times(1e-3, "x", "y", "z"), "no row lies inside"),
    "positions in nm": (times(1e3, "x", "y", "z"), "no row lies inside"),
    "wall in mm": (config(units={"wall": "mm"}), "no row lies inside"),
    "times in us": (times(1e3, "t"), "expected 0 <= t < 0.303 s, the period"),
    "period half": (config(period=0.1515), "expected 0 <= t < 0.1515 s, the period"),
    "nothing moves": (times(0, "u", "v"), "every velocity v is zero"),
    "three tracks": (
        table(lambda r: r[:30]),
        "found 20 of 30 rows to train on by ingest.split, expected at least 24",
    ),
    "five phases": (
        table(lambda r: r.assign(t=0.303 / 5 * (r["t"] * 5 / 0.303 // 1))),
        "distinct times of the training rows: found 5, expected at least 6",
    ),
    "vertices off by half the radius": (
        wall(lambda m: scattered(m, 0.5)),
        r"no smooth function that is zero on the wall .* or as large on the wall\)",
    ),
}


@pytest.mark.parametrize("name", FATAL)
def test_plain_mistakes_stop_the_run(
    name: str, tube: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change, expected, text = FATAL[name]
    folder = copied(tube, tmp_path)
    change(folder)
    with pytest.raises(UserError, match=rf"stopped by (\w+, )*{expected}.*ingest.accept: \["):
        ingest(folder)
    shown = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(line.startswith(f"warning: {expected}: ") and text in line for line in shown), shown
    assert not Results(folder).case.exists()


@pytest.mark.parametrize("name", MILD)
def test_doubts_are_recorded(name: str, tube: Path, tmp_path: Path) -> None:
    change, expected, text = MILD[name]
    folder = copied(tube, tmp_path)
    change(folder)
    found = ingest(folder)
    assert {warning["name"] for warning in found} == expected
    assert any(text in warning["text"] for warning in found), found
    assert not any(warning["fatal"] for warning in found)
    summary = (folder / "ingest.txt").read_text()
    assert all(f"- {warning['name']}: {warning['text']}" in summary for warning in found)


@pytest.mark.parametrize("name", ENDED)
def test_some_mistakes_end_the_ingestion_whatever_is_accepted(
    name: str, tube: Path, tmp_path: Path
) -> None:
    change, text = ENDED[name]
    folder = copied(tube, tmp_path)
    change(folder)
    with pytest.raises(UserError, match=text):
        ingest(folder)


def test_a_body_in_a_stream_is_not_judged_by_the_speed_on_it(tube: Path, tmp_path: Path) -> None:
    folder = copied(tube, tmp_path)
    ingest(folder)
    case = read_case(Results(folder).case)
    found = wall_speed(case)
    assert found is not None
    assert abs(found[0]) < 0.05
    wide = replace(case.openings[0], points=10 * case.openings[0].points)
    assert wall_speed(replace(case, openings=(wide,))) is None


def test_the_warning_of_few_rows_says_what_the_documentation_says() -> None:
    text = Path("docs/how-much-data.md").read_text()
    found = re.findall(r"^\| rows of the tracks \| (\d+) \| ([\d.]+) \|", text, re.MULTILINE)
    errors = {int(rows): float(velocity) for rows, velocity in found}
    assert ERRORS.items() <= errors.items()
    assert FEW_ROWS in ERRORS


def test_an_accepted_warning_is_shown_and_does_not_stop(
    tube: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copied(tube, tmp_path)
    times(-1, "v")(folder)
    config(accept=["velocity_sign"])(folder)
    (found,) = ingest(folder)
    assert (found["name"], found["fatal"], found["accepted"]) == ("velocity_sign", True, True)
    assert "warning: velocity_sign: v run against" in caplog.text
    assert "(accepted)" in (folder / "ingest.txt").read_text()


def test_accepting_does_not_make_another_case(tube: Path, tmp_path: Path) -> None:
    folder = copied(tube, tmp_path)
    config(accept=["rows_outside"])(folder)
    ingest(folder)
    first = (folder / "ingest.txt").read_text().splitlines()[1]
    config(accept=[])(folder)
    ingest(folder)
    assert (folder / "ingest.txt").read_text().splitlines()[1] == first


def test_an_unknown_name_lists_the_known_ones(tube: Path) -> None:
    document = yaml.safe_load((tube / "experiment.yaml").read_text())
    document["ingest"]["accept"] = ["row_outside"]
    with pytest.raises(UserError) as error:
        check_experiment(document)
    message = str(error.value)
    assert "ingest.accept.0: found 'row_outside'" in message
    assert "'velocity_sign', 'wall_function', 'wall_speed'" in message
    assert message.endswith("did you mean 'rows_outside'?")


def circling(noise: float = 0.0, of_positions: float = 0.0, tracks: int = 60) -> TrackTable:
    """Particles of a vortex in solid rotation that rises: u = -w y, v = w x, w = const.

    Noise is a share of the speed, that of positions a share of the step.
    """
    random = np.random.default_rng(3)
    rate, step, rows = 2.0, 0.01, 20
    radius, angle = random.uniform(0.2, 1, tracks), random.uniform(0, 2 * np.pi, tracks)
    time = np.tile(step * np.arange(rows), (tracks, 1))
    phase = angle[:, None] + rate * time
    x, y = radius[:, None] * np.cos(phase), radius[:, None] * np.sin(phase)
    z = random.uniform(0, 1, (tracks, 1)) + 0.5 * time
    exact = np.stack([-rate * y, rate * x, np.full_like(x, 0.5)], axis=-1).reshape(-1, 3)
    velocity = exact + noise * rate * random.normal(size=exact.shape)
    position = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    position += of_positions * rate * step * random.normal(size=position.shape)
    return TrackTable(
        row=np.arange(len(position)),
        time=time.ravel(),
        position=position,
        velocity=dict(zip("uvw", velocity.T, strict=True)),
        track=np.repeat(np.arange(tracks), rows),
        plane=np.zeros(len(position), dtype=np.int64),
        nominal_depth=False,
    )


def slopes_of(table: TrackTable, period: float | None = None) -> dict[str, Slope]:
    steps = linked_steps(table, period)
    assert steps is not None
    return slopes(steps)


@pytest.mark.parametrize("factors", [(1, 1), (-1, 1), (1, -1), (1e3, 1e3), (1e-3, 7.0)])
def test_slopes_hold_the_factor_of_each_component(factors: tuple[float, float]) -> None:
    table = circling(noise=0.1)
    velocity = {n: table.velocity[n] * f for n, f in zip("uv", factors, strict=True)}
    found = slopes_of(replace(table, velocity=velocity))
    for name, factor in zip("uv", factors, strict=True):
        assert found[name].low < factor < found[name].high
        assert found[name].middle == pytest.approx(factor, rel=0.05)


def test_positions_that_are_too_noisy_say_nothing() -> None:
    little, much = (slopes_of(circling(0.1, of_positions)) for of_positions in (0.3, 30.0))
    assert {"u", "v"} <= little.keys()
    assert not much


def test_steps_over_the_end_of_the_period_are_steps() -> None:
    table = circling()
    shifted = replace(table, time=np.mod(table.time + 0.9, 1.0))
    plain, wrapped = slopes_of(table), slopes_of(shifted, period=1.0)
    for name in "uv":
        assert wrapped[name].middle == pytest.approx(plain[name].middle, rel=1e-6)


def test_exchanged_columns_are_found_pair_by_pair() -> None:
    table = circling(noise=0.1)
    u, v, w = table.velocity.values()
    for velocity, expected in (
        ({"u": u, "v": v, "w": w}, []),
        ({"u": v, "v": u, "w": w}, [("u", "v")]),
    ):
        steps = linked_steps(replace(table, velocity=velocity), None)
        assert steps is not None
        assert exchanged(steps) == expected


@pytest.mark.parametrize(
    ("density", "viscosity", "known"),
    [
        (998.2, 1.002e-3, True),  # water, 20 degrees
        (993.3, 6.92e-4, True),  # water, 37 degrees
        (1060.0, 3.5e-3, True),  # blood
        (1261.0, 1.41, True),  # glycerol
        (1208.0, 0.060, True),  # glycerol and water, 80 percent by mass
        (789.0, 1.2e-3, True),  # ethanol
        (920.0, 0.084, True),  # olive oil
        (965.0, 0.97, True),  # silicone oil
        (1.204, 1.82e-5, True),  # air
        (6.07, 1.53e-5, True),  # sulphur hexafluoride
        (13534.0, 1.53e-3, True),  # mercury
        (998.2, 1.002, False),
        (1060.0, 3.5, False),
        (0.9982, 1.002e-3, False),
        (998.2, 1.0e-6, False),
        (1.204e-3, 1.82e-5, False),
    ],
)
def test_fluids_are_known_by_density_and_viscosity(
    density: float, viscosity: float, known: bool
) -> None:
    assert (kind_of(density, viscosity) is not None) == known
