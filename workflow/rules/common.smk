import json

RESULTS = f"results/{config['name']}"
PROBLEMS = ["allen_cahn", "helmholtz"]

# Raised when the method of a stage changes, so that its results are made again.
VERSION = {
    "ingest": 4,
    "points": 2,
    "train": 5,
    "fields": 2,
    "score": 3,
    "report": 4,
    "benchmark": 3,
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
