"""Flow rate over a cycle."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT

PHASES = 720


@dataclass(frozen=True, config=STRICT)
class Wave:
    """A waveform that is written out: mean + sum_k amplitude_k cos(k s + phase_k)."""

    kind: Literal["listed"] = "listed"
    """Terms are listed."""
    mean: float = 0.35
    """Mean over the cycle."""
    amplitudes: tuple[float, ...] = (0.55, 0.15, 0.06)
    """Amplitudes of the harmonics; none is a steady flow."""
    phases: tuple[float, ...] = ()
    """Their phases, radians; zero where none is given."""
    shift: float = 0.83
    """Share of the period at which s is zero."""

    def __post_init__(self) -> None:
        """Check that there is a flow, and no phase too many."""
        if len(self.phases) not in (0, len(self.amplitudes)):
            raise ValueError(
                f"{len(self.phases)} phases, expected none or {len(self.amplitudes)}, one for "
                "every amplitude"
            )
        if not self.rms > 0:
            raise ValueError("the flow rate is zero, expected a mean or an amplitude")

    def __call__(self, t: float, period: float) -> float:
        """The wave at time t."""
        s = 2 * np.pi * (t / period - self.shift)
        value = self.mean
        phases = self.phases or (0.0,) * len(self.amplitudes)
        for k, (amplitude, phase) in enumerate(zip(self.amplitudes, phases, strict=True), start=1):
            value += amplitude * np.cos(k * s + phase)
        return float(value)

    @property
    def steady(self) -> bool:
        """Whether it never changes."""
        return not any(self.amplitudes)

    @property
    def rms(self) -> float:
        """Root mean square over the cycle."""
        return float(np.sqrt(self.mean**2 + sum(a**2 for a in self.amplitudes) / 2))

    def drawn(self, seed: int) -> Wave:
        """This wave, whatever the seed."""
        return self


@dataclass(frozen=True, config=STRICT)
class DrawnWave:
    """A waveform drawn by the twin's seed: amplitudes fall off with the harmonic."""

    kind: Literal["drawn"] = "drawn"
    """Terms are drawn."""
    harmonics: Annotated[int, Field(ge=1, le=6)] = 3
    """Number of harmonics."""
    lowest: Annotated[float, Field(ge=-0.9, lt=1)] = -0.25
    """Lowest flow rate over the highest one: negative with reversal, positive without."""

    def drawn(self, seed: int) -> Wave:
        """The wave of a seed, with rms one."""
        rng = np.random.default_rng(seed)
        k = np.arange(1, self.harmonics + 1)
        amplitudes = k**-1.2 * rng.uniform(0.7, 1.3, self.harmonics)
        phases = rng.uniform(0, 2 * np.pi, self.harmonics)
        s = 2 * np.pi * np.arange(PHASES) / PHASES
        swing = np.sum(amplitudes[:, None] * np.cos(np.outer(k, s) + phases[:, None]), axis=0)
        # (mean + least swing) / (mean + greatest swing) is the ratio asked for.
        mean = (self.lowest * swing.max() - swing.min()) / (1 - self.lowest)
        size = np.sqrt(mean**2 + np.sum(amplitudes**2) / 2)
        return Wave(
            mean=float(mean / size),
            amplitudes=tuple((amplitudes / size).tolist()),
            phases=tuple(phases.tolist()),
            shift=0.0,
        )


Waveform = Annotated[Wave | DrawnWave, Field(discriminator="kind")]
