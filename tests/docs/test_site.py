"""The documentation builds strictly, opens offline, and names only what exists."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import aiv_rba
from aiv_rba.cli import main

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
OUTSIDE = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "bench/README.md"]
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
# What a run or a guide makes, and what a reader has.
FILES = (".json", ".txt", ".csv", ".h5", ".html", ".png", ".sbatch")
MADE = ("results/", "mine", "my.yaml", "finer.yaml", "docs/_build", "heat", "heavy_ball")


def pages():
    """Every page that people read, and its text."""
    sources = [REPOSITORY / name for name in OUTSIDE]
    sources += [p for p in sorted(DOCS.rglob("*.md")) if not {"_build", "generated"} & set(p.parts)]
    return {path: path.read_text() for path in sources}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-d", str(out / "trees")]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return out / "html"


class Fetched(HTMLParser):
    """Addresses of what a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "iframe"):
            self.found.append(values.get("src"))
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.found.append(values.get("href"))


def test_every_page_opens_without_a_network(site):
    # The theme leaves the source of its macros beside its scripts.
    built = [page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts]
    assert len(built) > 30
    for page in built:
        parser = Fetched()
        parser.feed(page.read_text())
        for address in filter(None, parser.found):
            if address.startswith("data:"):
                continue
            assert not re.match(r"(https?:)?//", address), f"{page}: {address}"
            assert (page.parent / address.split("?")[0]).exists(), f"{page}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", sheet.read_text()), sheet


def test_the_search_index_is_a_script(site):
    """A browser loads a script from the disk, but no JSON."""
    assert (site / "searchindex.js").read_text().startswith("Search.setIndex(")


def test_formulas_are_mathml_and_numbered_as_in_the_paper(site):
    page = (site / "method.html").read_text()
    assert page.count("<math") > 30
    assert "(Eq. 12)" in page


def test_every_setting_and_every_command_has_its_place(site):
    settings = (site / "reference/generated/settings.html").read_text()
    for key in ("global_weights.momentum", "multipliers.eta_by_block", "second_optimiser"):
        assert key in settings
    commands = (site / "reference/generated/commands.html").read_text()
    assert all(f'id="{stage}"' in commands for stage in ("ingest", "train", "report", "validate"))


def test_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    "words",
    [
        "passed over",
        "beside other work",
        "told in one line",
        "that is said",
        "at hand",
        "others kept",
    ],
)
def test_no_private_words(words):
    """Phrases that stopped readers; the changelog is a record."""
    for path, text in pages().items():
        if path.name != "CHANGELOG.md":
            assert words not in " ".join(text.split()), path


def test_links_lead_somewhere():
    for path, text in pages().items():
        for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
            target = link.split("#")[0]
            if re.match(r"https?:", link) or not target or "generated/" in target:
                continue
            assert (path.parent / target).exists(), f"{path}: {link}"


def test_named_files_exist():
    """Paths of the repository in backticks or commands."""
    folders = r"src|docs|data|bench|studies|tests|workflow|slurm|examples"
    named = re.compile(rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w)")
    for path, text in pages().items():
        for name in named.findall(text):
            made = any(part in name for part in MADE)
            if path.name == "CHANGELOG.md" or made:
                continue
            assert (REPOSITORY / name).exists(), f"{path}: {name}"


def test_quoted_commands_exist(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^ {4}([a-z]+)\b", capsys.readouterr().out, flags=re.MULTILINE))
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.MULTILINE))
    for path, text in pages().items():
        if path.name == "CHANGELOG.md":
            continue
        for command in re.findall(r"(?:`|^|-n \w+ )aiv-rba ([a-z]+)", text, flags=re.MULTILINE):
            assert command in commands, f"{path}: aiv-rba {command}"
        for target in re.findall(r"(?:`|^)make ([a-z][\w-]*)", text, flags=re.MULTILINE):
            assert target in targets, f"{path}: make {target}"


def test_quoted_names_of_the_python_interface_exist():
    for path, text in pages().items():
        for name in re.findall(r"\baiv_rba\.([A-Za-z_]+)\(", text):
            assert hasattr(aiv_rba, name), f"{path}: aiv_rba.{name}"
        for name in re.findall(r"\bflow\.([a-z_]+)", text):
            assert hasattr(aiv_rba.Flow, name), f"{path}: flow.{name}"


def test_quoted_settings_exist():
    """Dotted keys in backticks, such as `train.optimiser.iterations`."""
    from aiv_rba.settings import json_schema

    schema = json_schema()

    def keys(part, prefix=""):
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[-1]]
        for name, inner in part.get("properties", {}).items():
            yield prefix + name
            yield from keys(inner, f"{prefix}{name}.")
        for option in (*part.get("anyOf", []), *part.get("oneOf", [])):
            yield from keys(option, prefix)

    known = set(keys(schema))
    stages = "|".join(schema["properties"])
    for path, text in pages().items():
        if path.name == "CHANGELOG.md":
            continue
        for key in re.findall(rf"`((?:{stages})\.[a-z_0-9]+(?:\.[a-z_0-9]+)*)", text):
            assert key in known or key.endswith(FILES), f"{path}: {key}"
