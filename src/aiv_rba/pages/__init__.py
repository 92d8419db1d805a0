"""One self-contained HTML page of tables and pictures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib import resources

import jinja2


@dataclass(frozen=True)
class Table:
    """Rows of text; the first entry of a row names it."""

    title: str
    rows: list[tuple[str, ...]]
    header: tuple[str, ...] = ()


def render(title: str, tables: list[Table], figures: list[tuple[bytes, str]]) -> str:
    """HTML page of tables and of PNG pictures with their captions."""
    template = resources.files("aiv_rba.pages").joinpath("page.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        title=title,
        tables=tables,
        figures=[
            {"data": base64.b64encode(png).decode("ascii"), "caption": caption}
            for png, caption in figures
        ],
    )
