"""What an experiment may say: frozen dataclasses, strict loader, JSON schema; no torch."""

from aiv_rba.settings.experiment import STAGES, Experiment
from aiv_rba.settings.fields import FieldsSettings
from aiv_rba.settings.ingest import Fluid, IngestSettings, ReadingSettings, Split, Units
from aiv_rba.settings.loader import (
    check_experiment,
    load_comparison,
    load_stage,
    read_experiment,
    read_overlaid,
    valid_sections,
)
from aiv_rba.settings.multipliers import (
    AnnealingSettings,
    CausalSettings,
    ConstantMultipliersSettings,
    MultiplierSettings,
    RBASettings,
    SelfAdaptiveSettings,
)
from aiv_rba.settings.networks import PerceptronSettings, ScalarNetworkSettings
from aiv_rba.settings.optimisers import (
    AdamSettings,
    GaussNewtonSettings,
    LBFGSSettings,
    OptimiserSettings,
    SSBroydenSettings,
)
from aiv_rba.settings.points import PointsSettings
from aiv_rba.settings.ranks import TimeoutSettings
from aiv_rba.settings.report import ReportSettings
from aiv_rba.settings.schema import json_schema
from aiv_rba.settings.score import ScoreSettings
from aiv_rba.settings.train import FlowNetworkSettings, GlobalWeights, TrainSettings
from aiv_rba.settings.training import LoopSettings
from aiv_rba.settings.uncertainty import UncertaintySettings
from aiv_rba.settings.validation import Checks, Comparison, MethodSettings

__all__ = [
    "STAGES",
    "AdamSettings",
    "AnnealingSettings",
    "CausalSettings",
    "Checks",
    "Comparison",
    "ConstantMultipliersSettings",
    "Experiment",
    "FieldsSettings",
    "FlowNetworkSettings",
    "Fluid",
    "GaussNewtonSettings",
    "GlobalWeights",
    "IngestSettings",
    "LBFGSSettings",
    "LoopSettings",
    "MethodSettings",
    "MultiplierSettings",
    "OptimiserSettings",
    "PerceptronSettings",
    "PointsSettings",
    "RBASettings",
    "ReadingSettings",
    "ReportSettings",
    "SSBroydenSettings",
    "ScalarNetworkSettings",
    "ScoreSettings",
    "SelfAdaptiveSettings",
    "Split",
    "TimeoutSettings",
    "TrainSettings",
    "UncertaintySettings",
    "Units",
    "check_experiment",
    "json_schema",
    "load_comparison",
    "load_stage",
    "read_experiment",
    "read_overlaid",
    "valid_sections",
]
