"""Periodic fields as Fourier modes: f(phase) = Re sum_k c_k exp(2 pi i k phase)."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.formats import Array


def fourier(modes: h5py.Dataset | NDArray[Any], phase: float) -> Array:
    """Re sum_k c_k exp(2 pi i k phase) of modes (K, ...)."""
    waves = np.exp(2j * np.pi * np.arange(modes.shape[0]) * phase)
    return np.asarray(np.tensordot(waves, modes[:], axes=1).real)


def modes_of(samples: Array) -> NDArray[np.complex128]:
    """Modes (P // 2 + 1, ...) that pass through samples (P, ...) at phases 0, 1/P, 2/P, ..."""
    count = len(samples)
    modes = np.fft.rfft(samples, axis=0) / count
    # Every wave but the mean, and the one that alternates, stands for its conjugate too.
    modes[1 : (count + 1) // 2] *= 2
    return np.asarray(modes)
