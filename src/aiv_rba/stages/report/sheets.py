"""Sheets through a tube that end at its wall, and the inferred flow on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, across
from aiv_rba.scales import Scales
from aiv_rba.stages.report.sampling import Sampled, sample_at
from aiv_rba.stages.report.unrolled import Unrolled

# Points from the centre line to the wall.
OUT = 17
# The volume mesh leaves out a thread about the centre line.
INMOST = 2e-3
# Places of the cross-sections, as shares of the length; the figures show the second and fourth.
STATIONS = (0.03, 0.27, 0.5, 0.73, 0.97)


@dataclass(frozen=True)
class Sheet:
    """A structured sheet from the centre line, or an inner wall, to the outer wall.

    Attributes
    ----------
    points
        (I, J, 3), m.
    across
        (I, J): distance from the vessel's middle along the direction in which the vessel is cut
        lengthwise, m.
    """

    points: Array
    across: Array


@dataclass(frozen=True)
class Sheets:
    """A cut along the vessel and cross-sections of it.

    Attributes
    ----------
    lengthwise
        The two halves of a sheet that follows the centre line, across the widest direction.
    sections
        Cross-sections at `STATIONS`.
    """

    lengthwise: tuple[Sheet, ...]
    sections: tuple[Sheet, ...]

    @property
    def all(self) -> tuple[Sheet, ...]:
        """Every sheet."""
        return self.lengthwise + self.sections


def sheets(patches: list[Unrolled], lumen: Lumen, scales: Scales) -> Sheets:
    """The sheets of a vessel, from its unrolled wall: their rims are those of the wall."""
    outer = patches[0].points
    centre = outer.copy()
    line = lumen.centre(patches[0].height) * scales.length
    centre[..., across(lumen.axis)] = line + np.array(scales.origin)[list(across(lumen.axis))]
    inner = patches[1].points if lumen.annular else centre
    turn, half = len(patches[0].angle) - 1, (len(patches[0].angle) - 1) // 2
    width = np.linalg.norm(outer - inner, axis=-1).mean(axis=1)[:turn]
    widest = int(np.argmax(width + np.roll(width, half)))
    plane = [np.cos(patches[0].angle[widest]), np.sin(patches[0].angle[widest])]

    def sheet(inmost: Array, rim: Array) -> Sheet:
        """Between the inmost line and the wall, (I, 3) each."""
        points = inmost[:, None] + np.linspace(INMOST, 1, OUT)[:, None] * (rim - inmost)[:, None]
        offset = points - centre.mean(axis=(0, 1))
        return Sheet(points, offset[..., across(lumen.axis)] @ np.array(plane))

    stations = [round(share * (outer.shape[1] - 1)) for share in STATIONS]
    return Sheets(
        tuple(sheet(inner[i], outer[i]) for i in (widest, (widest + half) % turn)),
        tuple(sheet(inner[:, j], outer[:, j]) for j in stations),
    )


def sample_series(path: Path, cut: Sheets) -> Sampled:
    """Sample a volume series on every sheet."""
    width = max(float(np.ptp(sheet.across)) for sheet in cut.lengthwise)
    return sample_at(path, [sheet.points for sheet in cut.all], width)
