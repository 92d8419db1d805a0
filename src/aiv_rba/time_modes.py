"""Functions of time that a flow is made of: harmonics of a period, polynomials in a window."""

from __future__ import annotations

import math

import numpy as np

from aiv_rba.files.formats import Array
from aiv_rba.settings.types import FlowKind


def coefficients(flow: FlowKind, modes: int) -> int:
    """Coefficients of a mean and so many harmonics, or polynomials in an unsteady flow."""
    return 1 + (2 if flow == "periodic" else 1) * modes


def functions(flow: FlowKind, shares: Array, modes: int) -> Array:
    """Functions (N, coefficients) of times (N,), shares of the period or window from its start.

    1, cos(k w t), sin(k w t) with k up to `modes`, or in an unsteady flow the Legendre polynomials
    of degrees up to `modes`: nothing makes the end of a window like its beginning, and they are
    orthogonal over times that are spread evenly.
    """
    if flow == "unsteady":
        return np.asarray(np.polynomial.legendre.legvander(2 * shares - 1, modes))
    angles = 2 * np.pi * shares[:, None] * np.arange(1, modes + 1)
    return np.hstack([np.ones((len(shares), 1)), np.cos(angles), np.sin(angles)])


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
