"""Artificial intelligence velocimetry with residual-based attention.

Run an experiment stage by stage and ask the flow that it infers::

    import aiv_rba

    experiment = aiv_rba.read_experiment("workflow/config/perivascular.yaml")
    aiv_rba.infer(experiment, "results/perivascular")
    flow = aiv_rba.open_flow("results/perivascular")
    flow.wall_shear_stress(flow.wall_points, time=0.1)

or train a network on an equation of your own (`Residuals`, `FixedPoints`, `fit`). Names are
imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from aiv_rba.api import collocate, fit, infer, ingest, report, score, train, write_fields
    from aiv_rba.errors import UserError
    from aiv_rba.fields.flow import Flow, example_flow, open_flow
    from aiv_rba.files.results import Results
    from aiv_rba.jets import View
    from aiv_rba.networks.plain import Network
    from aiv_rba.problem import Residuals
    from aiv_rba.problems.fixed_points import FixedPoints
    from aiv_rba.settings import (
        AdamSettings,
        Experiment,
        GaussNewtonSettings,
        LBFGSSettings,
        LoopSettings,
        RBASettings,
        SOAPSettings,
        SSBroydenSettings,
        read_experiment,
    )

_MODULES = {
    "aiv_rba.api": (
        "collocate",
        "fit",
        "infer",
        "ingest",
        "report",
        "score",
        "train",
        "write_fields",
    ),
    "aiv_rba.errors": ("UserError",),
    "aiv_rba.fields.flow": ("Flow", "example_flow", "open_flow"),
    "aiv_rba.files.results": ("Results",),
    "aiv_rba.jets": ("View",),
    "aiv_rba.networks.plain": ("Network",),
    "aiv_rba.problem": ("Residuals",),
    "aiv_rba.problems.fixed_points": ("FixedPoints",),
    "aiv_rba.settings": (
        "AdamSettings",
        "Experiment",
        "GaussNewtonSettings",
        "LBFGSSettings",
        "LoopSettings",
        "RBASettings",
        "SOAPSettings",
        "SSBroydenSettings",
        "read_experiment",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AdamSettings",
    "Experiment",
    "FixedPoints",
    "Flow",
    "GaussNewtonSettings",
    "LBFGSSettings",
    "LoopSettings",
    "Network",
    "RBASettings",
    "Residuals",
    "Results",
    "SOAPSettings",
    "SSBroydenSettings",
    "UserError",
    "View",
    "collocate",
    "example_flow",
    "fit",
    "infer",
    "ingest",
    "open_flow",
    "read_experiment",
    "report",
    "score",
    "train",
    "write_fields",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
