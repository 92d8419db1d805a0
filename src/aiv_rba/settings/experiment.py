"""An experiment: one section per stage."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.fields import FieldsSettings
from aiv_rba.settings.ingest import IngestSettings
from aiv_rba.settings.points import PointsSettings
from aiv_rba.settings.report import ReportSettings
from aiv_rba.settings.score import ScoreSettings
from aiv_rba.settings.train import TrainSettings
from aiv_rba.settings.types import STRICT


@dataclass(frozen=True, config=STRICT)
class Experiment:
    """An experiment: its name, and a section per stage."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    """Name of the results folder."""
    ingest: IngestSettings
    """Stage ingest: tracks, wall, units, scales."""
    points: PointsSettings = field(default_factory=PointsSettings)
    """Stage points: collocation points and training groups."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """Stage train: network, loss, optimiser."""
    fields: FieldsSettings = field(default_factory=FieldsSettings)
    """Stage fields: VTK output."""
    score: ScoreSettings = field(default_factory=ScoreSettings)
    """Stage score: errors against held-out tracks and, where known, the truth."""
    report: ReportSettings = field(default_factory=ReportSettings)
    """Stage report: the page."""


STAGES: dict[str, Any] = {
    "ingest": IngestSettings,
    "points": PointsSettings,
    "train": TrainSettings,
    "fields": FieldsSettings,
    "score": ScoreSettings,
    "report": ReportSettings,
}
"""Settings of each stage, in the order in which they run."""
