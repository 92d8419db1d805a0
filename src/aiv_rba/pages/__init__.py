"""One self-contained HTML page of sections: text, tables, pictures and a view to turn."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import jinja2
from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """Rows of text; the first entry of a row names it."""

    title: str
    rows: Sequence[tuple[str, ...]]
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A picture (PNG or WebP) and what it shows."""

    image: bytes
    caption: str
    title: str = ""

    @property
    def data(self) -> str:
        """The picture as the page holds it."""
        kind = "png" if self.image.startswith(b"\x89PNG") else "webp"
        return f"data:image/{kind};base64,{base64.b64encode(self.image).decode('ascii')}"


@dataclass(frozen=True)
class InteractiveView:
    """A view to turn: surfaces and fields as JSON for ``view.js``, and what it shows."""

    data: str
    caption: str


@dataclass(frozen=True)
class Verdict:
    """A judgement of the result, which gives its box a colour, and a sentence that explains it."""

    grade: Literal["good", "fair", "poor"]
    reason: str


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    title
        Its heading.
    notes
        Sentences under the heading.
    numbers
        Headline numbers, each with what it is.
    figures, view, tables
        What it shows, in this order.
    folded
        Shown only when it is opened.
    """

    title: str
    notes: tuple[str, ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()
    figures: tuple[Figure, ...] = ()
    view: InteractiveView | None = None
    tables: tuple[Table, ...] = ()
    folded: bool = False


def render(
    title: str,
    sections: list[Section],
    lead: str = "",
    alerts: tuple[str, ...] = (),
    verdict: Verdict | None = None,
) -> str:
    """HTML page of sections, below its title, a sentence about it, a verdict and alerts.

    A page with a view carries plotly.js; none loads anything from elsewhere.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    viewed = any(section.view for section in sections)
    return environment.from_string(_text("page.html.j2")).render(
        title=title,
        lead=lead,
        verdict=verdict,
        alerts=alerts,
        sections=sections,
        style=Markup(_text("page.css")),
        scripts=[Markup(text) for text in (_plotly(), _text("view.js"))] if viewed else [],
        json=_in_script,
    )


def _text(name: str) -> str:
    return resources.files("aiv_rba.pages").joinpath(name).read_text("utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _in_script(text: str) -> Markup:
    """JSON that cannot end the script element it stands in."""
    return Markup(text.replace("<", "\\u003c"))
