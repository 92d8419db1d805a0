"""JSON schema of an experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter

from aiv_rba.settings.experiment import Experiment
from aiv_rba.settings.ingest import IngestSettings
from aiv_rba.settings.optimisers import SOAPSettings
from aiv_rba.settings.train import FlowNetworkSettings, TrainSettings


def json_schema() -> dict[str, Any]:
    """JSON schema of an experiment file, references resolved and every default filled in."""
    schema: dict[str, Any] = TypeAdapter(Experiment).json_schema()
    definitions = schema.pop("$defs")
    for derived in (IngestSettings, TrainSettings, FlowNetworkSettings, SOAPSettings):
        _describe_inherited(definitions[derived.__name__], derived)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_resolve(schema, definitions),
    }


def keys_at(kind: Any, path: Sequence[str]) -> list[str]:
    """Keys of the mapping that lies at a path in settings of a kind.

    Where there is a choice, as of optimisers, the path holds the `name` of what is chosen.
    """
    node = list(_along(kind, path))[-1]
    return [key for option in _options(node) for key in option.get("properties", {})]


def keys_of(kind: Any, path: Sequence[str]) -> list[str]:
    """The path as a user writes it, without names of what is chosen."""
    nodes = _along(kind, path)
    return [
        part
        for node, part in zip(nodes, path, strict=False)
        if any(part in option.get("properties", {}) for option in _options(node))
        or not _named(node, part)
    ]


def _along(kind: Any, path: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The schema of a kind, and of each part of a path."""
    schema: dict[str, Any] = TypeAdapter(kind).json_schema()
    node: dict[str, Any] = _resolve(schema, schema.get("$defs", {}))
    yield node
    for part in path:
        inside = [option["properties"] for option in _options(node) if "properties" in option]
        found = [properties[part] for properties in inside if part in properties]
        node = found[0] if found else _named(node, part)
        yield node


def _named(node: dict[str, Any], name: str) -> dict[str, Any]:
    """The option with a name, such as that of an optimiser."""
    names = (
        (option.get("properties", {}).get("name", {}).get("const"), option)
        for option in _options(node)
    )
    return next((option for found, option in names if found == name), {})


def _options(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema, and all those of which it is a choice."""
    yield node
    for option in (*node.get("oneOf", []), *node.get("anyOf", [])):
        yield from _options(option)


def _describe_inherited(schema: dict[str, Any], derived: type[Any]) -> None:
    """Add the descriptions of inherited fields, which pydantic leaves to their own class."""
    for base in derived.__mro__[1:-1]:
        for name, described in TypeAdapter(base).json_schema()["properties"].items():
            # A section has the description of its class.
            if "description" in described:
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
