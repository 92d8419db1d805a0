"""How many rows there are, how much of vessel and cycle they cover, whether they lie in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.files.warnings import InputWarning
from aiv_rba.stages.ingest.plausibility.evidence import Evidence

# Shares of rows outside the wall from which a warning is due, and from which they are plainly
# elsewhere.
MANY_OUTSIDE, MOST_OUTSIDE = 0.1, 0.5
# Least share of the vessel's extent that tracks should cover, along its axis and across it.
LEAST_LENGTH, LEAST_DEPTH = 0.2, 0.2
# Rows below which the error grows fast, and errors of the velocity in percent by the number of rows
# in the vessel of docs/how-much-data.md.
FEW_ROWS = 3000
ERRORS = {1000: 1.7, 3000: 0.72, 10_000: 0.53}
# Largest share of the period without a row.
LARGEST_GAP = 0.3
# Rows beyond these percentiles of a coordinate do not count: they may be mistakes.
RANGE = (2, 98)


def check_outside(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether the rows lie in the wall."""
    share = evidence.outside / evidence.rows
    if share > MANY_OUTSIDE:
        yield InputWarning(
            "rows_outside",
            f"{100 * share:.0f} % of the rows ({evidence.outside} of {evidence.rows}) lie outside "
            "the wall: check ingest.units, and that tracks and wall have the same coordinates",
            fatal=share > MOST_OUTSIDE,
        )


def check_rows(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether there are as many rows as an accurate flow needs."""
    rows = len(evidence.case.tracks.row)
    if rows < FEW_ROWS:
        errors = ", ".join(f"{error} % with {number:,}" for number, error in ERRORS.items())
        yield InputWarning(
            "few_rows",
            f"there are only {rows:,} rows: in a tube whose flow is known the velocity was wrong "
            f"by {errors} rows: measure longer, or more planes",
        )


def check_length(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether tracks reach along the vessel."""
    axis = evidence.case.axis
    share = covered(evidence.case)[axis]
    if share < LEAST_LENGTH:
        yield InputWarning(
            "length_coverage",
            f"tracks cover only {100 * share:.2g} % of the length of the vessel: check "
            "ingest.units.length and wall",
        )


def check_depth(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether tracks reach across the vessel in both directions."""
    axis = evidence.case.axis
    shares = dict(zip("xyz", covered(evidence.case), strict=True))
    few = [
        f"{100 * share:.2g} % of the width of the vessel along {name}"
        for name, share in shares.items()
        if name != "xyz"[axis] and share < LEAST_DEPTH
    ]
    if few:
        yield InputWarning(
            "depth_coverage",
            f"tracks cover only {' and '.join(few)}: the flow elsewhere follows from the equations "
            "alone; check ingest.units if they should cover more",
        )


def covered(case: Case) -> Array:
    """(3,) extent of nearly all rows along x, y and z over that of the lumen."""
    low, high = np.percentile(case.tracks.points[:, 1:], RANGE, axis=0)
    return np.asarray((high - low) / np.ptp(case.corners, axis=0))


def check_period(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether there are rows all over the period, or over the window of an unsteady flow."""
    case = evidence.case
    if case.flow == "steady":
        return
    gap = largest_gap(case)
    if gap > LARGEST_GAP:
        span = {"periodic": "period", "unsteady": "window"}[case.flow]
        yield InputWarning(
            "period_coverage",
            f"no row lies in {100 * gap:.0f} % of the {span}: check ingest.{span} and "
            "ingest.units.time",
        )


def largest_gap(case: Case) -> float:
    """Longest part of the period or window without a row, as a share of it."""
    phases = np.unique(case.tracks.points[:, 0] / case.scales.nondimensional_period)
    ends = phases[:1] + 1 if case.flow == "periodic" else np.array([1.0])
    return float(np.diff(phases, append=ends).max())


def check_axial_velocity(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether the velocity along the vessel is measured."""
    if evidence.case.lumen == "general":
        return
    axial = "uvw"[evidence.case.axis]
    if axial not in evidence.case.tracks.velocity:
        yield InputWarning(
            "axial_velocity",
            f"the axial velocity {axial} is not measured: the flow is inferred from the other "
            "components alone",
        )
