"""Files of the repository that must agree with each other."""

import json
import re
import tomllib
from pathlib import Path

import yaml

from aiv_rba.problems import find
from aiv_rba.settings import json_schema, load_comparison, read_experiment

REPOSITORY = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch"}
FAMILY = REPOSITORY / "workflow/config/twins.yaml"


def project():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_environment_lists_what_the_project_needs():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    conda = {entry for entry in environment["dependencies"] if isinstance(entry, str)}
    extras = project()["optional-dependencies"]
    for requirement in [*project()["dependencies"], *extras["mpi"], *extras["workflow"]]:
        name, bound = requirement.split(">=")
        assert f"{CONDA_NAMES.get(name, name)}>={bound}" in conda


def test_constraints_pin_what_the_project_needs_within_its_ranges():
    lines = (REPOSITORY / "constraints.txt").read_text().split()
    pinned = {name.lower().replace("_", "-"): v for name, v in (x.split("==") for x in lines)}
    extras = project()["optional-dependencies"]
    for requirement in [
        *project()["dependencies"],
        *extras["dev"],
        *extras["docs"],
        *extras["gpu-check"],
        *extras["mpi"],
        *extras["workflow"],
    ]:
        if requirement == "aiv-rba[docs,gpu-check]":
            continue
        name, _, bound = requirement.partition(">=")
        version = pinned[name.lower().replace("_", "-")]
        if bound:
            found = [int(part) for part in re.findall(r"\d+", version)]
            assert found >= [int(part) for part in bound.split(".")], requirement


def test_schema_file_is_that_of_the_dataclasses():
    path = REPOSITORY / "workflow/schemas/experiment.schema.json"
    assert json.loads(path.read_text()) == json_schema(), "run make schema"


def test_every_configuration_loads():
    # twins.yaml lists digital twins.
    bundled = REPOSITORY / "workflow/config/perivascular.yaml"
    overlays = sorted(set(bundled.parent.glob("*.yaml")) - {FAMILY, bundled})
    assert {path.stem for path in overlays} >= {"physiological", "smoke", "paper"}
    for path in overlays:
        assert read_experiment(bundled, path).name == path.stem


def test_every_validation_profile_loads():
    profiles = sorted((REPOSITORY / "workflow/config/validation").glob("*.yaml"))
    assert "quick" in {path.stem for path in profiles}
    for path in profiles:
        for problem in yaml.safe_load(path.read_text()):
            compared = load_comparison(path, problem, find(problem).settings_type)
            checked = compared.checks.at_most.keys() | compared.checks.within.keys()
            assert checked | compared.checks.better.keys() <= compared.methods.keys()


def test_the_readme_names_tests_that_exist():
    text = (REPOSITORY / "README.md").read_text() + (
        REPOSITORY / "docs/how-to/track-formats.md"
    ).read_text()
    named = set(re.findall(r"`(?:tests/)?((?:unit|physics|workflow)/test_\w+\.py)", text))
    assert len(named) >= 6
    assert [name for name in named if not (REPOSITORY / "tests" / name).is_file()] == []
