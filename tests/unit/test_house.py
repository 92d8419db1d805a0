"""Files of the repository that must agree with each other."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from aiv_rba.problems import find
from aiv_rba.settings import STAGES, json_schema, load_comparison, load_stage

REPOSITORY = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch"}
FAMILY = REPOSITORY / "workflow/config/twins.yaml"


def project():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_environment_lists_what_the_project_needs():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    conda = {entry for entry in environment["dependencies"] if isinstance(entry, str)}
    for requirement in [*project()["dependencies"], *project()["optional-dependencies"]["mpi"]]:
        name, bound = requirement.split(">=")
        assert f"{CONDA_NAMES.get(name, name)}>={bound}" in conda


def test_constraints_pin_what_the_project_needs_within_its_ranges():
    lines = (REPOSITORY / "constraints.txt").read_text().split()
    pinned = {name.lower().replace("_", "-"): v for name, v in (x.split("==") for x in lines)}
    extras = project()["optional-dependencies"]
    needed = [*project()["dependencies"], *extras["dev"], *extras["docs"], *extras["mpi"]]
    for requirement in needed:
        if requirement == "aiv-rba[docs]":
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
    configs = sorted(set((REPOSITORY / "workflow/config").glob("*.yaml")) - {FAMILY})
    assert {path.stem for path in configs} >= {"default", "smoke", "paper"}
    for path in configs:
        for stage in STAGES:
            load_stage(path, stage)


def test_every_validation_profile_loads():
    profiles = sorted((REPOSITORY / "workflow/config/validation").glob("*.yaml"))
    assert "quick" in {path.stem for path in profiles}
    for path in profiles:
        for problem in yaml.safe_load(path.read_text()):
            compared = load_comparison(path, problem, find(problem).settings_type)
            checked = compared.checks.at_most.keys() | compared.checks.within.keys()
            assert checked | compared.checks.better.keys() <= compared.methods.keys()


def test_no_path_of_a_machine_in_tracked_files():
    files = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    pattern = re.compile(r"/(?:work|root|home|farm)/[a-z]|index-url")
    for name in files:
        path = REPOSITORY / name
        if path.suffix in {".py", ".smk", ".yaml", ".yml", ".md", ".toml", ".txt", ".sbatch"}:
            if path == Path(__file__):
                continue
            found = pattern.search(path.read_text())
            assert found is None, f"{name}: {found}"
