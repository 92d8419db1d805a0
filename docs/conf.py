"""The documentation site: `make docs` builds it, strictly, into docs/_build/html.

The pages open from the disk without a network: formulas are MathML, the search index is a script,
and the theme brings its own fonts.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.ext import autosummary
from sphinx.util import logging

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
sys.path[:0] = [str(REPOSITORY / "src"), str(HERE)]

import generate  # noqa: E402

import aiv_rba  # noqa: E402

project = "aiv_rba"
release = version = aiv_rba.__version__
copyright = "the authors of aiv_rba, MIT licence"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True
# Signatures name types of other packages, whose sites are not asked for.
nitpick_ignore_regex = [(r"py:.*", r"(?!aiv_rba\.).*")]
# Short names of types, such as Wall, may stand for more than one class.
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4

autosummary_generate = False
# Sentences do not end there.
autosummary.WELL_KNOWN_ABBREVIATIONS += ("Eq.", "Eqs.", "Fig.")
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# Some stages only need these, and none must start processes while a page is written.
autodoc_mock_imports = ["mpi4py", "netgen", "ngsolve"]
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "aiv_rba"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options: dict[str, Any] = {
    "logo": {"text": "aiv_rba"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars: dict[str, list[str]] = {"index": [], "tutorial": []}

# Pages whose text stands elsewhere in the repository, where people read it without the site.
ELSEWHERE = {
    "data": "data/README.md",
    "bench": "bench/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
LINK = re.compile(
    r"\[(?P<text>[^\]]+)\]\((?!https?:|#|mailto:)(?P<path>[^)\s#]+)(?P<rest>#[^)]*)?\)"
)


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Fetch a page from elsewhere, and lead links to files of the repository to their pages."""
    file = HERE / f"{docname}.md"
    if docname in ELSEWHERE:
        file = REPOSITORY / ELSEWHERE[docname]
        app.env.note_dependency(str(file))
        source[0] = file.read_text(encoding="utf-8")
    pages = {(REPOSITORY / path).resolve(): page for page, path in ELSEWHERE.items()}

    def lead(match: re.Match[str]) -> str:
        target = (file.parent / match["path"]).resolve()
        depth = "../" * docname.count("/")
        if target in pages:
            return f"[{match['text']}]({depth}{pages[target]}.md{match['rest'] or ''})"
        if target.is_relative_to(HERE):
            path = target.relative_to(HERE).as_posix()
            return f"[{match['text']}]({depth}{path}{match['rest'] or ''})"
        return match["text"] if match["text"].startswith("`") else f"`{match['text']}`"

    source[0] = LINK.sub(lead, source[0])


def plain_text(
    app: Sphinx, what: str, name: str, target: object, options: object, lines: list[str]
) -> None:
    """Docstrings are plain text with names in backticks: nothing else in them is markup."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``.+?``|`[^`]+`)", line)
        for j, part in enumerate(parts):
            if part.startswith("``"):
                continue
            if part.startswith("`"):
                parts[j] = f"`{part}`"
            else:
                parts[j] = re.sub(r"(?<!\\)([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", part)
        lines[i] = "".join(parts)


def mathml(node: nodes.math | nodes.math_block, *, alone: bool) -> str:
    """A formula as MathML, which browsers draw without a script."""
    try:
        return str(latex2mathml.tex2mathml(node.astext(), as_block=alone))
    except MathError as error:
        logging.getLogger(__name__).warning("formula: %s", error, location=node)
        return node.astext()


def inline_formula(self: Any, node: nodes.math) -> None:
    """A formula in a line of text."""
    self.body.append(mathml(node, alone=False))
    raise nodes.SkipNode


def formula(self: Any, node: nodes.math_block) -> None:
    """A formula that stands by itself, with its number in the paper."""
    label = str(node.get("label") or "").replace("-", " ")
    number = f'<span class="number">({label})</span>' if label else ""
    self.body.append(f'<div class="formula">{mathml(node, alone=True)}{number}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the above, and write the pages that follow from the code."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", plain_text, priority=400)
    generate.write(HERE / "reference" / "generated")
