"""Pages that follow from the code: public names, modules, settings, commands."""

from __future__ import annotations

import io
import os
import pkgutil
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import aiv_rba
from aiv_rba.cli import main
from aiv_rba.settings import json_schema

# The order in which imports go: what is below knows nothing of what is above.
PACKAGES = {
    "check": "The check before any work",
    "stages": "The stages of the pipeline",
    "validation": "Accuracy on problems with a known solution",
    "twin": "Digital twins: data with a known truth",
    "fields": "The inferred flow and what follows from it",
    "problems": "The problems that can be trained",
    "training": "The training loop",
    "optimisers": "Optimisers",
    "multipliers": "Local multipliers",
    "networks": "Networks",
    "jets": "Derivatives carried forward",
    "ranks": "Processes that work together",
    "files": "Files",
    "settings": "Settings",
}


def write(folder: Path) -> None:
    """Write all pages, each only if it changed, so that a second build is short."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "public": public(),
        "modules": modules(),
        "settings": settings(),
        "commands": commands(),
    }
    for package, names in by_package().items():
        pages[f"modules_{package}"] = module_page(package, names)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def public() -> str:
    """The names that `import aiv_rba` offers."""
    names = [n for n in getattr(aiv_rba, "__all__", []) if not n.startswith("__")]
    text = "# Python interface\n\n"
    if not names:
        return text + "This version offers its functions by the command line only.\n"
    listed = "\n".join(f"   {name}" for name in names)
    text += (
        "Everything that `import aiv_rba` offers. A name is imported when it is first used, so\n"
        "reading an experiment does not wait for torch. The folder `examples/` has scripts that\n"
        "use it, and [](../../how-to/python.md) explains them.\n\n```{eval-rst}\n"
        f".. currentmodule:: aiv_rba\n\n.. autosummary::\n   :nosignatures:\n\n{listed}\n```\n"
    )
    for name in names:
        found = getattr(aiv_rba, name)
        kind = "class" if isinstance(found, type) else "function" if callable(found) else "data"
        more = "\n   :members:" if kind == "class" else ""
        text += f"\n## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: aiv_rba.{name}{more}\n```\n"
    return text


def by_package() -> dict[str, list[str]]:
    """Modules of every package, and of the modules that are in none."""
    found: dict[str, list[str]] = {package: [] for package in PACKAGES} | {"others": []}
    for module in pkgutil.walk_packages(aiv_rba.__path__, "aiv_rba."):
        package = module.name.split(".")[1]
        found[package if package in PACKAGES else "others"].append(module.name)
    return {package: names for package, names in found.items() if names}


def modules() -> str:
    """The list of packages."""
    pages = "\n".join(f"modules_{package}" for package in by_package())
    return (
        "# Modules\n\nThe inside of the package, from the docstrings. What is stable for users is "
        "on [](public.md);\nwhat is here may change with any version. A package imports only from "
        f"those below it.\n\n```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"
    )


def module_page(package: str, names: list[str]) -> str:
    """The modules of one package."""
    # Sections of an experiment have no docstring but that of the key that holds them.
    more = "   :undoc-members:\n" if package == "settings" else ""
    parts = [f"# {PACKAGES.get(package, 'Other modules')}\n"]
    for name in names:
        parts.append(
            f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n{more}"
            "   :ignore-module-all:\n   :show-inheritance:\n```\n"
        )
    return "\n".join(parts)


def settings() -> str:
    """Every key of an experiment, from the schema that also checks it."""
    schema = json_schema()
    parts = [
        "# Settings of an experiment\n\n"
        "Every key that an experiment may have. A key that you leave out takes its default, and\n"
        "`auto` is chosen from your data: `ingest.txt` and the report say what was chosen and\n"
        "why. Unknown keys are refused with the name of the key.\n"
    ]
    for name, section in schema["properties"].items():
        kind = resolve(schema, section)
        parts.append(f"## {name}\n\n{section.get('description', kind.get('description', ''))}\n")
        if "properties" in kind:
            parts.append(table(rows(schema, kind, "")))
    return "\n".join(parts)


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the schema points to."""
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[-1]]
    return part


def rows(schema: dict[str, Any], kind: dict[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
    """Key, values, default and meaning of everything in a section."""
    for key, part in kind["properties"].items():
        whole = resolve(schema, part)
        options = [resolve(schema, o) for o in whole.get("oneOf", whole.get("anyOf", []))]
        meaning = part.get("description", whole.get("description", ""))
        if "properties" in whole:
            yield f"`{prefix}{key}`", "", "", meaning
            yield from rows(schema, whole, f"{prefix}{key}.")
            continue
        named = [option for option in options if "name" in option.get("properties", {})]
        default = "required" if key in kind.get("required", []) else shown(part.get("default"))
        if named:
            default = ""
        yield f"`{prefix}{key}`", values(whole, options, named), default, meaning
        for option in named:
            name = option["properties"]["name"]
            about = name.get("description", "")
            yield f"`{prefix}{key}.name: {name['const']}`", "", "", about
            others = {k: v for k, v in option["properties"].items() if k != "name"}
            yield from rows(schema, {"properties": others}, f"{prefix}{key}.")


def values(part: dict[str, Any], options: list[dict[str, Any]], named: list[Any]) -> str:
    """What a key may be, in words."""
    if named:
        return "one of those below"
    if options:
        return " or ".join(dict.fromkeys(values(o, [], []) for o in options))
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kind = str(part.get("type", "")).replace("null", "nothing")
    words = {"integer": "whole number", "array": "list", "object": "mapping", "string": "text"}
    kind = {**words, "boolean": "`true`, `false`"}.get(kind, kind)
    for limit, word in {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }.items():
        if limit in part:
            kind += f" {word} {part[limit]:g},"
    return kind.rstrip(",")


def shown(default: Any) -> str:
    """A default as it would be written in the file."""
    if default is None:
        return "`null`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


def table(content: Iterator[tuple[str, ...]]) -> str:
    """A table of settings."""
    lines = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for row in content:
        cells = (" ".join(cell.split()).replace("|", "\\|").replace("*", "\\*") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The help of every command."""
    listed = help_of()
    names = re.findall(r"^ {4}([a-z][\w-]*)\b", listed, flags=re.MULTILINE)
    parts = [
        "# Commands\n\n`aiv-rba` has one subcommand for each stage and some more. Its exit code is "
        "0 when it is done,\n2 for mistakes in the input, each described in one line, and 75 "
        "when it was asked to stop and\ncan be started again to continue.\n",
        f"```text\n{listed}```\n",
    ]
    parts += [f"## {name}\n\n```text\n{help_of(name)}```\n" for name in names]
    return "\n".join(parts)


def help_of(*command: str) -> str:
    """What `aiv-rba COMMAND --help` prints, at a width that does not depend on the terminal."""
    os.environ["COLUMNS"] = "82"
    screen = io.StringIO()
    with redirect_stdout(screen), suppress(SystemExit):
        main([*command, "--help"])
    return screen.getvalue()
