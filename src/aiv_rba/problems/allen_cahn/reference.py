"""Allen-Cahn by a Fourier method in space and ETDRK4 in time, to any accuracy wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiv_rba.problems.allen_cahn.equation import DIFFUSION

Array = NDArray[np.float64]
CONTOUR_POINTS = 32


def solve(modes: int, steps: int, kept: int = 200) -> tuple[Array, Array, Array]:
    """Solution of Eqs. 24-26 for 0 <= t <= 1.

    Exponential time differencing of fourth order (Cox & Matthews 2002), its coefficients by
    contour integrals, which have no cancellation (Kassam & Trefethen 2005).

    Parameters
    ----------
    modes
        Points in x, and Fourier modes.
    steps
        Time steps, a multiple of `kept`.
    kept
        Number of equal time intervals whose ends are returned.

    Returns
    -------
    t (kept + 1,), x (modes,), u (kept + 1, modes)
    """
    x = -1 + 2 * np.arange(modes) / modes
    wave = np.pi * np.fft.rfftfreq(modes, 1 / modes)
    # The linear part holds diffusion and the growth 5 u.
    linear = 5 - DIFFUSION * wave**2
    h = 1 / steps
    e, e_half = np.exp(h * linear), np.exp(h * linear / 2)
    circle = np.exp(1j * np.pi * (np.arange(CONTOUR_POINTS) + 0.5) / CONTOUR_POINTS)
    z = h * linear[:, None] + circle
    q = h * np.mean((np.exp(z / 2) - 1) / z, axis=1).real
    f1 = h * np.mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3, axis=1).real
    f2 = h * np.mean((2 + z + np.exp(z) * (-2 + z)) / z**3, axis=1).real
    f3 = h * np.mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3, axis=1).real

    def reaction(v: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return np.fft.rfft(-5 * np.fft.irfft(v, modes) ** 3)

    v = np.fft.rfft(x**2 * np.cos(np.pi * x))
    u = [np.fft.irfft(v, modes)]
    for step in range(steps):
        n_v = reaction(v)
        a = e_half * v + q * n_v
        n_a = reaction(a)
        b = e_half * v + q * n_a
        n_b = reaction(b)
        c = e_half * a + q * (2 * n_b - n_v)
        v = e * v + n_v * f1 + 2 * (n_a + n_b) * f2 + reaction(c) * f3
        if (step + 1) % (steps // kept) == 0:
            u.append(np.fft.irfft(v, modes))
    return np.linspace(0, 1, kept + 1), x, np.array(u)
