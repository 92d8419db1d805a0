"""Functions of time that a flow is made of: harmonics of a period, polynomials in a window."""

from __future__ import annotations

import math

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array
from aiv_rba.settings.types import FlowKind

# Times that differ by less than this share of the period, or of the window, are one time: of whole
# periods that are taken away some rounding is left.
ROUNDING = 1e-9


def coefficients(flow: FlowKind, modes: int) -> int:
    """Coefficients of a mean and so many harmonics, or polynomials in an unsteady flow."""
    return 1 + (2 if flow == "periodic" else 1) * modes


def fewest_times(flow: FlowKind, modes: int) -> int:
    """Fewest distinct times that support so many modes: two for each of their coefficients."""
    return 2 * coefficients(flow, modes)


def most_modes(flow: FlowKind, times: int) -> int:
    """Most modes that so many distinct times support."""
    return (times // 2 - 1) // (2 if flow == "periodic" else 1)


def distinct_times(times: Array, duration: float) -> int:
    """Number of distinct ones among times (N,) in a period or window of this duration."""
    return 1 + int(np.sum(np.diff(np.sort(times)) > ROUNDING * duration))


def check_modes(modes: int, flow: FlowKind, times: Array, duration: float, where: str) -> None:
    """Check that a flow may have so many modes, as `train.network.time_harmonics` asks for.

    Parameters
    ----------
    modes
        Harmonics or polynomials.
    flow
        Whether the flow is periodic, steady or unsteady.
    times
        (N,): times of the rows.
    duration
        The period or window, in their unit.
    where
        What the rows are called in messages.

    Raises
    ------
    UserError
        If the flow is steady, or the rows have too few distinct times.
    """
    if flow == "steady":
        raise UserError(
            f"train.network.time_harmonics: found {modes} in a steady flow, expected auto or 0"
        )
    found, needed = distinct_times(times, duration), fewest_times(flow, modes)
    if found < needed:
        raise UserError(
            f"train.network.time_harmonics: found {modes} with {found} distinct times in {where}, "
            f"expected at least {needed} times"
        )


def radians(flow: FlowKind, modes: int) -> float:
    """Phase through which the fastest wave that so many modes can follow goes in the whole time.

    A wave takes one harmonic, or pi Legendre polynomials (Gottlieb & Orszag 1977).
    """
    return (2 * math.pi if flow == "periodic" else 2.0) * modes


def mean_over_time(values: Array, times: Array, flow: FlowKind) -> Array:
    """Mean (...) of values (T, ...) at times (T,).

    Over a period, whose times are equally spaced and leave out its end, or by the trapezoidal rule
    from the first to the last time of an unsteady flow.
    """
    if flow != "unsteady" or np.ptp(times) == 0:
        return np.asarray(values.mean(axis=0))
    return np.asarray(np.trapezoid(values, times, axis=0) / np.ptp(times))
