"""Strict reading of experiments and of comparisons of methods from YAML.

A stage reads its own section only, so it accepts the whole experiment as well as a file that holds
nothing but that section.
"""

from __future__ import annotations

import re
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from aiv_rba.errors import UserError, UserErrors
from aiv_rba.paths import check_file
from aiv_rba.settings.experiment import STAGES, Experiment
from aiv_rba.settings.schema import keys_at, keys_of
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

# Where pydantic's words are those of a programmer.
_EXPECTED = {
    "dataclass_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "string_pattern_mismatch": "letters, digits, _ and -",
    "string_type": "text",
    "tuple_type": "a list",
}
_FOUND = {"NoneType": "nothing", "list": "a list", "str": "text"}


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
    _check_rest(document, path)
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
    return check_experiment(read_overlaid(path, *overlays), " + ".join(map(str, (path, *overlays))))


def check_experiment(document: dict[str, Any], where: str = "experiment") -> Experiment:
    """The experiment that a mapping with a section per stage describes; its files are not opened.

    Parameters
    ----------
    document
        The mapping.
    where
        Where it comes from, for messages.

    Raises
    ------
    UserErrors
        If keys or values are wrong, a line each.
    """
    experiment: Experiment = _validated(Experiment, document, where)
    return experiment


def valid_sections(document: dict[str, Any]) -> dict[str, Any]:
    """The settings of each stage whose section has no mistake."""
    sections = {}
    for stage, kind in STAGES.items():
        with suppress(ValidationError):
            sections[stage] = TypeAdapter(kind).validate_python(document.get(stage, {}))
    return sections


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


def _validated(kind: Any, values: Any, file: Path | str, section: str = "") -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        lines = _lines(kind, error.errors(), [section] if section else [])
        raise UserErrors([f"{file}: {line}" for line in lines]) from None


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


def _check_rest(document: dict[str, Any], path: Path) -> None:
    """Check what is no section: nothing but the name, which may be absent."""
    rest = {key: value for key, value in document.items() if key not in STAGES}
    try:
        TypeAdapter(Experiment).validate_python(rest)
    except ValidationError as error:
        wrong = [problem for problem in error.errors() if problem["type"] != "missing"]
        if lines := _lines(Experiment, wrong, []):
            raise UserErrors([f"{path}: {line}" for line in lines]) from None


class _Loader(yaml.SafeLoader):
    """YAML of which no key may be there twice, where the last one would silently count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping of distinct keys."""
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            name, line = key.value, key.start_mark.line + 1
            if name in lines:
                raise UserError(
                    f"line {line}: key {name!r} is there twice, first in line {lines[name]}, "
                    "expected once"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    check_file(path, "a YAML file")
    try:
        document = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start + 1} is not UTF-8, expected UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"{path}: {where}{error.problem}, expected YAML") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}, expected YAML") from None
    if not isinstance(document, dict):
        name = type(document).__name__
        found = _FOUND.get(name, name)
        raise UserError(f"{path}: found {found}, expected a mapping with a section per stage")
    return document


def _lines(kind: Any, problems: list[ErrorDetails], section: list[str]) -> list[str]:
    """A line for each key that is wrong, with its first problem."""
    lines: dict[str, str] = {}
    for problem in problems:
        parts = [str(part) for part in problem["loc"]]
        # Of a value of no kind, pydantic says once more that it is not auto.
        if any(part.startswith("literal[") for part in parts):
            continue
        # Where a value may be of several kinds, such as a number or auto, it names the value's kind
        # in the path.
        values = [part for part in parts if part.startswith(("constrained-", "tuple["))]
        path = [p for p in parts if p not in (*values, "str", "tagged-file", "tagged-shape")]
        names = keys_of(kind, path)
        or_auto = " or auto" if values else ""
        key = ".".join([*section, *names])
        if problem["type"].startswith("union_tag"):
            key += ".name"
        lines.setdefault(key, f"{key}: {_problem(kind, problem, path)}{or_auto}")
    return list(lines.values())


def _problem(kind: Any, problem: ErrorDetails, path: list[str]) -> str:
    """What was found and what was expected at a path."""
    what, context = problem["type"], problem.get("ctx", {})
    if what in ("missing", "union_tag_not_found"):
        return "missing, expected a value"
    if what == "unexpected_keyword_argument":
        if path[-1] in RENAMED:
            return f"renamed, expected {RENAMED[path[-1]]}"
        keys = keys_at(kind, path[:-1])
        near = get_close_matches(path[-1], keys, n=1)
        if near:
            return f"unknown key, did you mean {near[0]}?"
        return f"unknown key, expected one of {', '.join(keys)}"
    if what == "union_tag_invalid":
        return f"found {context['tag']!r}, expected {context['expected_tags']}"
    if what == "value_error":
        message = str(context["error"])
        return message if message.startswith("found") else f"found {problem['input']!r}, {message}"
    if what == "literal_error":
        choices = [choice.strip("'") for choice in re.split(", | or ", context["expected"])]
        near = get_close_matches(str(problem["input"]), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"found {problem['input']!r}, expected {context['expected']}{hint}"
    known = _EXPECTED.get(what)
    expected = known.format(**context) if known else problem["msg"].removeprefix("Input should be ")
    return f"found {problem['input']!r}, expected {expected}"
