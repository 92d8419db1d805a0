"""Bad inputs: what is changed in a good experiment, and what the command says.

The table is bad_inputs.yaml. A row changes files of a good experiment that lies in the working
directory, by the verbs below. `python -m tests.bad_inputs` puts what is said now into the table,
for you to read before you commit it, and writes the page of the documentation.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import pyvista as pv
import torch
import yaml

from aiv_rba import machine
from aiv_rba.check import run as check_run
from aiv_rba.cli import main
from aiv_rba.files.results import Results
from tests.exact import write_records, write_trained, write_truth
from tests.stages import prepare
from tests.synthetic import write_tube_experiment

TABLE = Path(__file__).with_name("bad_inputs.yaml")
PAGE = Path(__file__).parents[1] / "docs/reference/bad-input.md"


@dataclass(frozen=True)
class Row:
    """A bad input.

    Attributes
    ----------
    section
        Heading under which it stands.
    input
        What is wrong, in words.
    base
        Good experiment that is changed: "tube", "annulus" or "trained".
    commands
        Commands that meet it, each with its arguments; all say the same.
    change
        Arguments of verbs, by verb.
    gets
        Lines on the screen, without the command's name.
    """

    section: str
    input: str
    base: str
    commands: tuple[str, ...]
    change: dict[str, Any]
    gets: tuple[str, ...]


def rows() -> list[Row]:
    """The table."""
    found = []
    for section in yaml.safe_load(TABLE.read_text()):
        for row in section["rows"]:
            commands = row.get("commands", section["commands"])
            gets = row.get("gets", [])
            found.append(
                Row(
                    section["section"],
                    row["input"],
                    section.get("base", "tube"),
                    tuple(commands),
                    section.get("change", {}) | row["change"],
                    tuple([gets] if isinstance(gets, str) else gets),
                )
            )
    return found


# Good experiments, in the working directory.


def write_base(name: str) -> None:
    """Write a good experiment."""
    if name == "trained":
        write_trained(Path())
        sections = {"score": {"truth": "truth.h5"}, "fields": {"times": 1}}
        Path("experiment.yaml").write_text(json.dumps(sections))
        _write_finished()
    else:
        write_tube_experiment(Path(), inner=0.4 if name == "annulus" else 0.0)
        Path("list.csv").write_text("row\n7\n")
    write_truth(Path("truth.h5"))


def _write_finished() -> None:
    """What the report reads."""
    scores = {
        "case": "exact",
        **{key: {} for key in ("validation", "amplitude_bias", "rows", "histograms")},
        "suspicious": {},
        "quality": {"verdict": "good", "because": [], "quantities": {}},
        "uncertainty": {"method": "none"},
    }
    columns = "flow_rate_m3_s,flow_rate_spread_m3_s,pressure_drop_pa,hydraulic_resistance_pa_s_m3"
    Path("records").mkdir()
    write_records(Results(Path()))
    Path("fields").mkdir()
    Path("fields/hydraulics.csv").write_text(f"t_s,{columns}\n0,1,0,1,1\n")
    for series in ("volume", "wall"):
        Path(f"fields/{series}.pvd").touch()
    Path("history.csv").write_text("step\n1\n")
    Path("scores.json").write_text(json.dumps(scores))


def apply(row: Row) -> None:
    """Change the good experiment, and make the folder of results that a stage needs."""
    for verb, argument in row.change.items():
        VERBS[verb](argument)
    experiment = Path("experiment.yaml")
    if row.base == "trained":
        prepare(Path(), experiment)
    elif "ingest out" in row.commands:
        prepare(Path("out"), experiment)


# Verbs, each with its argument in the table.


def _set(keys: dict[str, Any]) -> None:
    """Set keys of the experiment; a key with dots leads into a section."""
    document = yaml.safe_load(Path("experiment.yaml").read_text())
    for key, value in keys.items():
        *path, last = key.split(".")
        section = document
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    Path("experiment.yaml").write_text(yaml.safe_dump(document))


def _drop(keys: list[str]) -> None:
    """Leave out keys of the experiment."""
    document = yaml.safe_load(Path("experiment.yaml").read_text())
    for key in keys:
        *path, last = key.split(".")
        section = document
        for part in path:
            section = section[part]
        del section[last]
    Path("experiment.yaml").write_text(yaml.safe_dump(document))


def _write(files: dict[str, str]) -> None:
    """Write files of text."""
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def _replace(files: dict[str, list[str]]) -> None:
    """Replace the first occurrence of a text in files."""
    for name, (old, new) in files.items():
        content = Path(name).read_text()
        assert old in content
        Path(name).write_text(content.replace(old, new, 1))


def _replace_all(files: dict[str, list[str]]) -> None:
    """Replace every occurrence of a text in files."""
    for name, (old, new) in files.items():
        Path(name).write_text(Path(name).read_text().replace(old, new))


def _make(files: dict[str, str]) -> None:
    """Make something else of files."""
    for name, kind in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.is_file() else b""
        path.unlink(missing_ok=True)
        KINDS[kind](path, content)


KINDS: dict[str, Callable[[Path, bytes], Any]] = {
    "missing": lambda path, content: None,
    "empty": lambda path, content: path.write_bytes(b""),
    "folder": lambda path, content: path.mkdir(),
    "named pipe": lambda path, content: os.mkfifo(path),
    "device": lambda path, content: path.symlink_to("/dev/null"),
    "link": lambda path, content: path.symlink_to("experiment.yaml"),
    "link to nowhere": lambda path, content: path.symlink_to("nowhere"),
    "gzip": lambda path, content: path.write_bytes(gzip.compress(content)),
    "ZIP": lambda path, content: path.write_bytes(b"PK\x03\x04" + content),
    "bzip2": lambda path, content: path.write_bytes(b"BZh9" + content),
    "UTF-16": lambda path, content: path.write_bytes(content.decode("latin-1").encode("utf-16")),
    "UTF-32": lambda path, content: path.write_bytes(content.decode("latin-1").encode("utf-32")),
    "Latin-1": lambda path, content: path.write_bytes("é".encode("latin-1") + content),
    "garbage": lambda path, content: path.write_bytes(b"\x00garbage\n" * 40),
    "text": lambda path, content: path.write_text("this is not it {"),
    "truncated": lambda path, content: path.write_bytes(content[: len(content) // 3]),
}


def _cell(cells: list[Any]) -> None:
    """Put a value into a line (the header is line 1) and column of tracks.csv."""
    line, column, value = cells
    lines = Path("tracks.csv").read_text().splitlines()
    row = lines[line - 1].split(",")
    row[lines[0].split(",").index(column)] = str(value)
    lines[line - 1] = ",".join(row)
    Path("tracks.csv").write_text("\n".join(lines))


def _copy_cell(cells: list[Any]) -> None:
    """Copy a column's cell of a line of tracks.csv into another line."""
    source, target, column = cells
    value = pd.read_csv("tracks.csv", dtype=str)[column][source - 2]
    _cell([target, column, value])


def _columns(changes: dict[str, Any]) -> None:
    """Set columns of tracks.csv to an expression of the others; null leaves a column out."""
    table = pd.read_csv("tracks.csv")
    for name, value in changes.items():
        table = table.drop(columns=name) if value is None else _assigned(table, name, value)
    table.to_csv("tracks.csv", index=False)


def _assigned(table: pd.DataFrame, name: str, value: Any) -> pd.DataFrame:
    return table.assign(**{name: table.eval(value) if isinstance(value, str) else value})


def _take(rows: list[int | None]) -> None:
    """Take a slice of the rows of tracks.csv: first, last, perhaps a stride."""
    table = pd.read_csv("tracks.csv")
    table[slice(*rows)].to_csv("tracks.csv", index=False)


def _repeat(row: int) -> None:
    """Append a row of tracks.csv once more."""
    table = pd.read_csv("tracks.csv")
    pd.concat([table, table[row : row + 1]]).to_csv("tracks.csv", index=False)


def _mesh(changes: dict[str, str]) -> None:
    """Change a wall."""
    for name, change in changes.items():
        path = Path(name)
        mesh = MESHES[change](pv.read(path).clean(tolerance=1e-6))
        mesh.save(path)


def _save_as(name: str) -> None:
    """Save the wall in another format, with a vertex that is not finite."""
    mesh = pv.read("wall.stl")
    mesh.points[5, 0] = np.inf
    mesh.save(name)
    _set({"ingest.wall": name})


def _without_triangle(mesh: pv.PolyData) -> pv.PolyData:
    return pv.PolyData.from_regular_faces(mesh.points, np.delete(mesh.regular_faces, 400, 0))


def _with_fin(mesh: pv.PolyData) -> pv.PolyData:
    a, b, _ = mesh.regular_faces[400]
    points = np.vstack([mesh.points, mesh.points[a] + [900.0, 40.0, 900.0]])
    fin = [[a, b, len(mesh.points)]]
    return pv.PolyData.from_regular_faces(points, np.vstack([mesh.regular_faces, fin]))


def _moved(mesh: pv.PolyData, change: Callable[[Any], Any]) -> pv.PolyData:
    mesh.points = change(np.array(mesh.points))
    return mesh


def _pushed_out(mesh: pv.PolyData) -> pv.PolyData:
    mesh.points[200] += [900.0, 0.0, 900.0]
    return mesh


def _scattered(mesh: pv.PolyData) -> pv.PolyData:
    mesh.points += 250 * np.random.default_rng(0).normal(size=mesh.points.shape) * [1, 0, 1]
    return mesh


def _moebius(mesh: pv.PolyData) -> pv.PolyData:
    s = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    edges = []
    for width in (-200.0, 200.0):
        radius = 1000 + width * np.cos(s / 2)
        edges.append(np.stack([radius * np.cos(s), radius * np.sin(s), width * np.sin(s / 2)], 1))
    a, b = np.arange(24), np.arange(24) + 24
    c, d = np.append(a[1:], 24), np.append(b[1:], 0)
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([c, d, b], 1)])
    return pv.PolyData.from_regular_faces(np.concatenate(edges), faces)


MESHES: dict[str, Callable[[pv.PolyData], pv.PolyData]] = {
    "a triangle is missing": _without_triangle,
    "a fin stands on it": _with_fin,
    "a copy stands beside it": lambda m: m.merge(m.translate([5000.0, 0.0, 0.0])),
    "it lies along x": lambda m: _moved(m, lambda p: p[:, [1, 0, 2]]),
    "it lies along z": lambda m: _moved(m, lambda p: p[:, [0, 2, 1]]),
    "it is flat": lambda m: m.scale([1, 1, 0]),
    "it is a point": lambda m: m.scale([0, 0, 0]),
    "one triangle is left": lambda m: pv.PolyData.from_regular_faces(m.points[:3], [[0, 1, 2]]),
    "it is a sphere": lambda m: pv.Sphere(radius=500.0, center=m.center),
    "it is an open cone": lambda m: pv.Cone(
        center=m.center, direction=(0, 1, 0), height=3000, radius=500, resolution=24, capping=False
    ).triangulate(),
    "it is a Moebius band": _moebius,
    "a vertex is pushed out": _pushed_out,
    "its vertices scatter": _scattered,
    "it is half as long": lambda m: _moved(
        m, lambda p: np.stack([p[:, 0], 500 + p[:, 1] / 2, p[:, 2]], 1)
    ),
    "it is three times as wide": lambda m: _moved(
        m, lambda p: m.center + (p - m.center) * [3, 1, 3]
    ),
    "it lies beside the outer wall": lambda m: m.translate([4000.0, 0.0, 0.0]),
}


def _h5(files: dict[str, dict[str, Any]]) -> None:
    """Change attributes (group@name) and datasets of HDF5 files; null deletes a dataset."""
    for name, changes in files.items():
        with h5py.File(name, "a") as file:
            for key, value in changes.items():
                group, at, attribute = key.partition("@")
                if at:
                    file[group or "/"].attrs[attribute] = value
                    continue
                del file[key]
                if value is not None:
                    file[key] = np.zeros(value)


def _torch(files: dict[str, dict[str, Any]]) -> None:
    """Change entries of files of torch."""
    for name, changes in files.items():
        torch.save(torch.load(name, weights_only=True) | changes, name)


def _environment(variables: dict[str, str]) -> None:
    """Set variables of the environment; the test takes them back."""
    os.environ.update(variables)


VERBS: dict[str, Callable[[Any], None]] = {
    "set": _set,
    "drop": _drop,
    "write": _write,
    "replace": _replace,
    "replace all": _replace_all,
    "make": _make,
    "cell": _cell,
    "copy cell": _copy_cell,
    "columns": _columns,
    "take": _take,
    "repeat": _repeat,
    "mesh": _mesh,
    "save as": _save_as,
    "h5": _h5,
    "torch": _torch,
    "environment": _environment,
}


# The page of the documentation.


def page() -> str:
    """The table for readers."""
    table = yaml.safe_load(TABLE.read_text())
    count = sum(len(section["rows"]) for section in table)
    parts = [
        "# Bad input and what you are told\n\n"
        f"These {count} mistakes are made on purpose by the tests, each in an experiment that is "
        "right otherwise.\nThe second column is what is on the screen, after the name of the "
        "command. The exit code is 2, and nothing\nis written but the log. `aiv-rba check` finds "
        "what it can before any work, and prints a line for each mistake;\nthe stages check their "
        "input again.\n"
    ]
    for section in table:
        about = section.get("about", "")
        parts.append(f"## {section['section']}\n\n{about}\n")
        lines = ["| input | what you are told |", "| --- | --- |"]
        for row in section["rows"]:
            gets = [row["gets"]] if isinstance(row["gets"], str) else row["gets"]
            told = "<br>".join(f"`{_cell_text(line)}`" for line in gets)
            lines.append(f"| {_cell_text(row['input'])} | {told} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell_text(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")


# Filling the table.


@contextmanager
def small_machine() -> Iterator[None]:
    """A machine of one core, 4 GiB, 40 GiB of free disk; afterwards the old environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "cores", lambda: 1)
        patch.setattr(check_run, "memory", lambda: 4 * 2**30)
        patch.setattr(check_run, "free_disk", lambda folder: 40 * 2**30)
        before = dict(os.environ)
        yield
        os.environ.clear()
        os.environ.update(before)


def write_bases(folder: Path) -> dict[str, Path]:
    """Good experiments in folders of their own, by name."""
    folders = {name: folder / name for name in sorted({row.base for row in rows()})}
    for name, path in folders.items():
        path.mkdir()
        with chdir(path):
            write_base(name)
    return folders


def said(row: Row, folder: Path) -> list[str]:
    """What the first command of a row says, in a copy of its good experiment."""
    screen = io.StringIO()
    with chdir(folder), small_machine(), redirect_stderr(screen):
        apply(row)
        main(row.commands[0].split())
    return [line.partition(": error: ")[2] for line in screen.getvalue().splitlines()]


def fill() -> None:
    """Put what is said now into the table, and write the page."""
    table = yaml.safe_load(TABLE.read_text())
    places = [row for section in table for row in section["rows"]]
    with TemporaryDirectory() as temporary:
        folders = write_bases(Path(temporary))
        for number, (row, place) in enumerate(zip(rows(), places, strict=True)):
            folder = Path(temporary) / str(number)
            shutil.copytree(folders[row.base], folder)
            lines = said(row, folder)
            place["gets"] = lines[0] if len(lines) == 1 else lines
    text = yaml.safe_dump(
        table, sort_keys=False, width=100, allow_unicode=True, default_flow_style=None
    )
    TABLE.write_text(text, encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    fill()
