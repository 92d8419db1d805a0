"""Strict reading of experiments and of comparisons of methods from YAML.

A stage reads its own section only, so it accepts the whole experiment as well as a file that holds
nothing but that section.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from aiv_rba.errors import UserError
from aiv_rba.settings.experiment import STAGES, Experiment
from aiv_rba.settings.validation import Comparison, MethodSettings

# Keys of version 0.1 that have other names now.
RENAMED = {
    "adaptive": "importance_sampling",
    "eta_wall": "eta_by_block, such as {no_slip: 0.02}",
    "first_spread": "first_layer_gain",
    "memory": "curvature_memory",
    "robust_tracks": "robust_weights",
    "then": "second_optimiser",
    "update": "damping_update: factor_three or gain_ratio",
    "weighting": "multipliers",
    "weights": "global_weights",
}


def load_stage(path: Path, stage: str) -> Any:
    """Read the section of one stage.

    Returns
    -------
    The stage's dataclass, such as `Ingest` for ``"ingest"``.

    Raises
    ------
    UserError
        If the file is missing, not YAML, or a key or value is wrong.
    """
    document = _read_yaml(path)
    unknown = document.keys() - STAGES.keys() - {"name"}
    if unknown:
        raise UserError(f"{path}: unknown key {min(unknown)!r}, expected name, {', '.join(STAGES)}")
    return _validated(STAGES[stage], document.get(stage) or {}, path, stage)


def read_overlaid(path: Path, *overlays: Path) -> dict[str, Any]:
    """The mapping of an experiment file, changed by overlays."""
    document = _read_yaml(path)
    for overlay in overlays:
        document = _merge(document, _read_yaml(overlay))
    return document


def read_experiment(path: Path, *overlays: Path) -> Experiment:
    """Read an experiment, and overlays that change some of its keys.

    Raises
    ------
    UserError
        If a file is missing, not YAML, or a key or value is wrong.
    """
    return _experiment(read_overlaid(path, *overlays), " + ".join(map(str, (path, *overlays))))


def check_experiment(document: dict[str, Any], where: str = "experiment") -> Experiment:
    """The experiment that a mapping with a section per stage describes.

    Parameters
    ----------
    document
        The mapping.
    where
        Where it comes from, for messages.

    Raises
    ------
    UserError
        If a key or value is wrong, or a file that it names does not exist.
    """
    experiment = _experiment(document, where)
    ingest, score = experiment.ingest, experiment.score
    for path in ingest.track_files:
        if not path.exists():
            raise UserError(f"{where}: ingest.tracks: found no file {path}, expected one")
    named = [
        ("ingest.wall", ingest.wall if isinstance(ingest.wall, str) else None),
        *(("ingest.inner_wall", file) for file in ingest.inner_walls),
        ("ingest.exclude", ingest.exclude),
        ("score.truth", score.truth),
    ]
    for key, file in named:
        if file is not None and not Path(file).is_file():
            raise UserError(f"{where}: {key}: found no file {file}, expected one")
    return experiment


def load_comparison(path: Path, problem: str, method: type[MethodSettings]) -> Comparison:
    """Read the methods on one problem, and what they must reach.

    The file has a section per problem: `common` settings, `methods` that change some of them,
    `checks`, and errors of other methods as they were `reported`.

    Raises
    ------
    UserError
        If the file is missing, not YAML, or a key or value is wrong.
    """
    section = _read_yaml(path).get(problem)
    if not isinstance(section, dict) or not isinstance(section.get("methods"), dict):
        raise UserError(f"{path}: {problem}.methods: missing, expected a mapping of methods")
    keys = ("common", "methods", "checks", "reported")
    unknown = section.keys() - set(keys)
    if unknown:
        raise UserError(
            f"{path}: {problem}: unknown key {min(unknown)!r}, expected {', '.join(keys)}"
        )
    common = section.get("common") or {}
    methods = {
        name: _validated(method, _merge(common, changes or {}), path, f"{problem}.{name}")
        for name, changes in section["methods"].items()
    }
    others = {key: section.get(key) or {} for key in ("checks", "reported")}
    whole = {"profile": Path(path).stem, "methods": methods, **others}
    compared: Comparison = _validated(Comparison, whole, path, problem)
    return compared


def _experiment(document: dict[str, Any], where: str) -> Experiment:
    try:
        experiment: Experiment = TypeAdapter(Experiment).validate_python(document)
    except ValidationError as error:
        raise UserError(f"{where}: {_first_problem(error)}") from None
    return experiment


def _validated(kind: Any, values: Any, path: Path, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_problem(error, where)}") from None


def _merge(common: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with changes; a mapping with another `name` replaces the whole mapping."""
    merged = dict(common)
    for key, value in changes.items():
        old = common.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            same = value.get("name", old.get("name")) == old.get("name")
            value = _merge(old, value) if same else value
        merged[key] = value
    return merged


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        found = type(document).__name__
        raise UserError(f"{path}: found {found}, expected a mapping with a section per stage")
    return document


def _first_problem(error: ValidationError, *where: str) -> str:
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    # Where a value may be of several kinds, such as a number or auto, pydantic names its kind in
    # the path.
    values = [part for part in path if part.startswith(("constrained-", "tuple["))]
    names = [part for part in path if part not in (*values, "str", "tagged-file", "tagged-shape")]
    key = ".".join([*where, *names])
    if problem["type"] == "missing":
        return f"{key}: missing, expected a value"
    if problem["type"] == "unexpected_keyword_argument" and names[-1] in RENAMED:
        return f"{key}: renamed, expected {RENAMED[names[-1]]}"
    if problem["type"] == "unexpected_keyword_argument":
        return f"{key}: unknown key, expected one that the schema lists"
    message = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
    if message.startswith("found"):
        return f"{key}: {message}"
    message = message[0].lower() + message[1:]
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        near = get_close_matches(str(problem["input"]), choices, n=1)
        message += f"; did you mean {near[0]!r}?" if near else ""
    if values:
        message += " or auto"
    return f"{key}: found {problem['input']!r}, {message}"
