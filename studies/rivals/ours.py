"""The default training of this program, as one of the methods that are compared."""

from __future__ import annotations

from aiv_rba import api
from aiv_rba.fields.flow import open_flow
from aiv_rba.files.results import Results
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.settings import Experiment

KNOWS = "wall, period, viscosity, density"


def fit(experiment: Experiment, results: Results) -> FlowNetwork:
    """Train on an ingested case, on this process, from the last checkpoint if there is one."""
    api.collocate(experiment, results.folder)
    api.train(experiment, results.folder)
    return open_flow(results.folder).model.network
