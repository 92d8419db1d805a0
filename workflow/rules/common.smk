import json

import yaml

RESULTS = f"results/{config['name']}"
PROFILES = "workflow/config/validation"

# Raised when the method of a stage changes, so that its results are made again.
VERSION = {
    "ingest": 3,
    "points": 2,
    "train": 6,
    "fields": 3,
    "score": 4,
    "report": 5,
    "validation": 4,
}


def sources():
    """Data files that the ingestion reads."""
    section = config["ingest"]
    files = {name: section[name] for name in ("tracks", "wall")}
    if section.get("inner_wall"):
        files["inner_wall"] = section["inner_wall"]
    return files


def truth():
    """File of the true fields, where the configuration names one."""
    file = config.get("score", {}).get("truth")
    return [file] if file else []


def differences():
    """File of the differences from the true fields, by name, where they are known."""
    return {"differences": f"{RESULTS}/differences.h5"} if truth() else {}


def pages(wildcards):
    """Pages of a validation profile: one for each problem for which it has a section."""
    profile = Path(f"{PROFILES}/{wildcards.profile}.yaml")
    problems = yaml.safe_load(profile.read_text())
    return expand(
        f"results/validation/{profile.stem}/{{problem}}/report.html", problem=problems
    )
