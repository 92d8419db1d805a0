"""JSON schema of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from aiv_rba.settings.experiment import Experiment
from aiv_rba.settings.train import FlowNetworkSettings, TrainSettings


def json_schema() -> dict[str, Any]:
    """JSON schema of an experiment file, references resolved and every default filled in."""
    schema: dict[str, Any] = TypeAdapter(Experiment).json_schema()
    definitions = schema.pop("$defs")
    for derived in (TrainSettings, FlowNetworkSettings):
        _describe_inherited(definitions[derived.__name__], derived)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_resolve(schema, definitions),
    }


def keys_at(kind: Any, path: Sequence[str]) -> list[str]:
    """Keys of the mapping that lies at a path in settings of a kind.

    Where there is a choice, as of optimisers, the path holds the `name` of what is chosen.
    """
    schema: dict[str, Any] = TypeAdapter(kind).json_schema()
    node: dict[str, Any] = _resolve(schema, schema.get("$defs", {}))
    for part in path:
        node = node.get("properties", {}).get(part) or _named(node, part)
    if "properties" not in node:
        node = next(o for o in node.get("anyOf", []) if "properties" in o)
    return list(node["properties"])


def _named(node: dict[str, Any], name: str) -> dict[str, Any]:
    """The option with a name, also among options of options."""
    options: list[dict[str, Any]] = [*node.get("oneOf", []), *node.get("anyOf", [])]
    for option in options:
        if option.get("properties", {}).get("name", {}).get("const") == name:
            return option
        if found := _named(option, name):
            return found
    return {}


def _describe_inherited(schema: dict[str, Any], derived: type[Any]) -> None:
    """Add the descriptions of inherited fields, which pydantic leaves to their own class."""
    for base in derived.__mro__[1:-1]:
        for name, described in TypeAdapter(base).json_schema()["properties"].items():
            schema["properties"][name].setdefault("description", described["description"])


def _resolve(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    resolved = {key: _resolve(value, definitions) for key, value in node.items()}
    if resolved.get("type") == "object" and not resolved.get("required"):
        resolved.setdefault("default", {})
    return resolved
