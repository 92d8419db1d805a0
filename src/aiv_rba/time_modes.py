"""Functions of time that a flow is made of: harmonics of a period, polynomials in a window."""

from __future__ import annotations

import math

import numpy as np

from aiv_rba.files.formats import Array
from aiv_rba.settings.types import FlowKind


def coefficients(flow: FlowKind, modes: int) -> int:
    """Coefficients of a mean and so many harmonics, or polynomials in an unsteady flow."""
    return 1 + (2 if flow == "periodic" else 1) * modes


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
