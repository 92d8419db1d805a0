"""JSON schema of an experiment."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from aiv_rba.settings.experiment import Experiment
from aiv_rba.settings.ingest import IngestSettings
from aiv_rba.settings.train import FlowNetworkSettings, TrainSettings


def json_schema() -> dict[str, Any]:
    """JSON schema of an experiment file, references resolved and every default filled in."""
    schema: dict[str, Any] = TypeAdapter(Experiment).json_schema()
    definitions = schema.pop("$defs")
    for derived in (IngestSettings, TrainSettings, FlowNetworkSettings):
        _describe_inherited(definitions[derived.__name__], derived)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_resolve(schema, definitions),
    }


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
