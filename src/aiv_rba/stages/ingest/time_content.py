"""How finely a flow changes in time, from the tracks: harmonics, polynomials or nothing."""

from __future__ import annotations

import numpy as np

from aiv_rba.files.case import Tracks, WallFunction
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.scales import Scales
from aiv_rba.stages.ingest.choices import (
    choose_harmonics,
    misfit,
    most_informative,
    supported,
    training_part,
    values_of,
)
from aiv_rba.time_modes import most_modes

NAMES = {
    "periodic": "harmonics of time",
    "steady": "functions of time",
    "unsteady": "polynomials of time",
}
"""What a flow is made of in time, for people to read."""
# Highest degree of the polynomials, and of those of a flow that is fitted as a whole.
MOST, MOST_SMOOTH = 60, 10
# Functions of space of a flow that is fitted as a whole.
SHAPES = 5
# Rows that the choice is made from: whole tracks, drawn at random if there are more.
ROWS = 50_000
# Rows of a neighbourhood at most.
NEIGHBOURHOOD = 300
# Standard errors by which a polynomial must exceed nothing on the average, and their sum over all;
# a random walk that falls by a half at every step rises so high once in fifty times.
EACH, ALL = 0.5, 4.0


def choose_modes(
    tracks: Tracks,
    noise: dict[str, float],
    function: WallFunction,
    scales: Scales,
    axis: int | None = None,
) -> tuple[int, str]:
    """Number of harmonics or highest degree of polynomials of time, and in words why.

    `axis` is that of a tube.

    Raises
    ------
    UserError
        If the flow is not steady and the training rows have too few distinct times for one mode.
    """
    if scales.flow == "steady":
        return 0, "none, since the flow is steady"
    if scales.flow == "periodic":
        return choose_harmonics(tracks, noise, function, scales.nondimensional_period, axis)
    return choose_polynomials(tracks, noise, function, scales)


def choose_polynomials(
    tracks: Tracks, noise: dict[str, float], function: WallFunction, scales: Scales
) -> tuple[int, str]:
    """Highest degree of the Legendre polynomials that the flow of a window needs.

    First a smooth flow is fitted as `choose_harmonics` does, with polynomials in place of harmonics
    and phi (1, phi, x, y, z) as shapes. Waves may travel through what is left: their phase differs
    from place to place, and no few shapes of space fit them. In a neighbourhood let A_a be the sum
    over the rows of track a of the velocity that is left, less its steady part, times the
    polynomial of degree k. Tracks have nothing in common but the flow, so that

        sum_{a != b} A_a A_b = (sum_a A_a)^2 - sum_a A_a^2

    is as much above zero as the flow has of this polynomial; without it the variance is
    2 ((sum_a A_a^2)^2 - sum_a A_a^4). Both are added over the neighbourhoods, and the median of the
    higher half of the degrees is subtracted. The degree is the one up to which the sum of (evidence
    over its standard error, less a half) is largest, if that is more than chance gives, and for the
    component that needs most. Every polynomial needs at least
    two distinct times, and with each shape two rows.

    Raises
    ------
    UserError
        If the training rows have too few distinct times for a polynomial besides the mean.
    """
    tracks, represented = training_part(tracks, ROWS)
    points, track = tracks.points, tracks.track
    by_times, times = supported("unsteady", points[:, 0], scales.nondimensional_period)
    most = min(MOST, by_times)
    most_smooth = min(MOST_SMOOTH, most, most_modes("unsteady", len(points) // SHAPES))
    shares = points[:, 0] / scales.nondimensional_period
    polynomials = np.polynomial.legendre.legvander(2 * shares - 1, most).astype(np.float64)
    shapes = _shapes(values_of(function, points[:, 1:]), points[:, 1:])
    bases = [polynomials[:, : 1 + degree] for degree in range(most_smooth + 1)]
    smooth = most_informative(tracks, noise, shapes, bases, represented)
    boxes = neighbourhoods(points[:, 1:], np.arange(len(points)))
    best = smooth
    for values in tracks.velocity.values():
        left = misfit(shapes, bases[smooth], values)
        evidence, variance = np.zeros((2, most - smooth))
        for box in boxes:
            # In a box the shapes are what is steady there.
            waves = misfit(shapes[box], bases[0][box], left[box])
            _, number = np.unique(track[box], return_inverse=True)
            sums = np.zeros((number.max() + 1, most - smooth))
            np.add.at(sums, number, waves[:, None] * polynomials[box, 1 + smooth :])
            squares = np.sum(sums**2, axis=0)
            evidence += np.sum(sums, axis=0) ** 2 - squares
            variance += 2 * (squares**2 - np.sum(sums**4, axis=0))
        scores = evidence / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
        # What all degrees have alike is of space: tracks that start together cross it in step.
        scores -= max(0.0, float(np.median(scores[len(scores) // 2 :])))
        gain = np.cumsum(np.append(0.0, scores - EACH))
        if gain.max() > ALL:
            best = max(best, smooth + int(np.argmax(gain)))
    limit = f", at most {most}, as {times} distinct times support" if most == by_times else ""
    return best, f"up to degree {best}, {smooth} of them smooth all over the vessel{limit}"


def neighbourhoods(positions: Array, rows: IntArray) -> list[IntArray]:
    """Rows in boxes of at most `NEIGHBOURHOOD`: halves, again and again, of the longest side."""
    if len(rows) <= NEIGHBOURHOOD:
        return [rows]
    side = int(np.argmax(np.ptp(positions[rows], axis=0)))
    order = rows[np.argsort(positions[rows, side], kind="stable")]
    return [box for half in np.array_split(order, 2) for box in neighbourhoods(positions, half)]


def _shapes(phi: Array, positions: Array) -> Array:
    """(N, 5) functions of space that vanish with phi: phi times 1, itself, x, y and z."""
    offset = (positions - positions.mean(axis=0)) / np.ptp(positions, axis=0).max()
    relative = phi / np.abs(phi).max()
    columns = np.column_stack([np.ones_like(phi), relative, offset])
    return np.asarray(relative[:, None] * columns)
