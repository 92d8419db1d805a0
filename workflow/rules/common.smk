import json
import sys

import yaml

from aiv_rba.check.inputs import find_problems
from aiv_rba.files.results import Results
from aiv_rba.files.truth import TABLES
from aiv_rba.settings import check_experiment

PROFILES = "workflow/config/validation"

# A line for each mistake, before anything runs. Memory and disk may be those of other machines.
problems = find_problems(config, "experiment", Path("results"))
if problems.lines:
    sys.exit("\n".join(f"aiv-rba: error: {line}" for line in problems.lines))
experiment = check_experiment(config)
results = Results(Path("results") / experiment.name)


def sources():
    """Data files that the ingestion reads."""
    ingest = experiment.ingest
    tracks = [str(path) for path in ingest.track_files]
    files = {"tracks": tracks, "walls": list(ingest.walls), "exclude": ingest.exclude}
    return {name: file for name, file in files.items() if file}


def truth():
    """File of the true fields, where the experiment names one."""
    return [experiment.score.truth] if experiment.score.truth else []


def differences():
    """File of the differences from true fields, by name; a table of true values gives none."""
    fields = [file for file in truth() if Path(file).suffix not in TABLES]
    return {"differences": results.differences} if fields else {}


def pages(wildcards):
    """Pages of a validation profile: one for each problem for which it has a section."""
    profile = Path(f"{PROFILES}/{wildcards.profile}.yaml")
    problems = yaml.safe_load(profile.read_text())
    return expand(
        f"results/validation/{profile.stem}/{{problem}}/report.html", problem=problems
    )
