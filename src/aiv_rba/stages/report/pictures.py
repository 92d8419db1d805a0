"""The pictures of a vessel: a tube is cut along its centre line and unrolled, any other is not."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen, Region, across
from aiv_rba.pages import InteractiveView
from aiv_rba.stages.report.cut_figures import cuts_at
from aiv_rba.stages.report.cuts import cuts, rim_of
from aiv_rba.stages.report.field_figures import fields_at
from aiv_rba.stages.report.phases import Phase
from aiv_rba.stages.report.sampling import Sampled, sample_at
from aiv_rba.stages.report.sheets import sample_series, sheets
from aiv_rba.stages.report.surface_figures import wall_views
from aiv_rba.stages.report.truth import TrueFields
from aiv_rba.stages.report.unrolled import Unrolled, unroll
from aiv_rba.stages.report.view import general_view, view
from aiv_rba.stages.report.wall_figures import wall_map
from aiv_rba.stages.report.wall_series import WallSeries, read_wall


class Pictures(Protocol):
    """Pictures of the inferred flow in a vessel, and what they show."""

    sampled: Sampled
    """The flow where it is drawn."""
    of_flow: str
    """What the pictures of the flow show."""
    of_stress: str
    """What the picture of the wall shear stress shows."""

    @property
    def wall(self) -> Unrolled | WallSeries:
        """The outer wall of a tube, or all walls, with their fields."""
        ...

    def flow(self, phase: Phase) -> bytes:
        """Speed and pressure on cuts."""
        ...

    def stress(self, phases: list[Phase]) -> bytes:
        """Magnitude of the wall shear stress."""
        ...

    def view(self, start: int) -> InteractiveView:
        """The view to turn, which opens at time number `start`."""
        ...


class TubePictures:
    """Pictures of a tube."""

    of_flow = (
        "Speed and pressure on a cut along the vessel, which follows its centre line, and on "
        "the cross-sections A and B; arrows show the flow along the axis. Across the vessel "
        "the cut is stretched. Every phase has its own colours."
    )

    def __init__(
        self, case: Case, lumen: Lumen, results: Results, truth: TrueFields | None
    ) -> None:
        self.case, self.lumen, self.truth = case, lumen, truth
        self.patches = unroll(results.wall, lumen, case.scales)
        self.sheets = sheets(self.patches, lumen, case.scales)
        self.sampled = sample_series(results.volume, self.sheets)
        start, towards = ("xyz"[i] for i in across(case.axis))
        self.of_stress = (
            f"Magnitude on the outer wall: angle about the centre line, from {start} towards "
            f"{towards}, against the place along the vessel. Every phase has its own colours."
        )

    @property
    def wall(self) -> Unrolled:
        """The outer wall."""
        return self.patches[0]

    def flow(self, phase: Phase) -> bytes:
        """Speed and pressure along and across the vessel."""
        return fields_at(self.sheets, self.sampled.flows, phase, self.case.axis, self.truth)

    def stress(self, phases: list[Phase]) -> bytes:
        """The unrolled wall."""
        return wall_map(self.wall, phases, self.lumen, self.truth)

    def view(self, start: int) -> InteractiveView:
        """Walls and sheets."""
        case = self.case
        return view(self.patches, self.sheets, self.sampled, case.scales, start, case.axis)


class GeneralPictures:
    """Pictures of a vessel of any shape."""

    of_flow = (
        "Speed and pressure on the coordinate planes through the middle of the vessel; arrows "
        "show the flow in the plane. Every phase has its own colours."
    )
    of_stress = (
        "Magnitude on the walls as they are seen from the sides, and the rims of the openings. "
        "Every phase has its own colours."
    )

    def __init__(
        self, case: Case, region: Region, results: Results, truth: TrueFields | None
    ) -> None:
        self.case, self.truth = case, truth
        self.wall = read_wall(results.wall)
        self.cuts = cuts(region, case.scales)
        width = region.radius * case.scales.length
        self.sampled = sample_at(results.volume, [cut.points for cut in self.cuts], width)

    def flow(self, phase: Phase) -> bytes:
        """Speed and pressure on the planes."""
        return cuts_at(self.cuts, self.sampled.flows, phase, self.truth)

    def stress(self, phases: list[Phase]) -> bytes:
        """The walls from their sides."""
        scales = self.case.scales
        rims = [
            opening.points[rim_of(opening.triangles)] * scales.length + np.array(scales.origin)
            for opening in self.case.openings
        ]
        return wall_views(self.wall, rims, phases, self.truth)

    def view(self, start: int) -> InteractiveView:
        """Walls and planes."""
        case = self.case
        return general_view(self.wall, self.cuts, self.sampled, case.scales, start, case.axis)


def pictures_of(case: Case, results: Results, truth: TrueFields | None) -> Pictures:
    """The pictures that suit the vessel of a case."""
    if case.lumen == "general":
        return GeneralPictures(case, Region(case.wall, case.openings), results, truth)
    return TubePictures(case, Lumen.from_wall(case.wall, case.axis), results, truth)
