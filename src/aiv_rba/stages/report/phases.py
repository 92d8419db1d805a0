"""Moments that tell most of the flow, chosen from the flow rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiv_rba.files.formats import Array
from aiv_rba.scales import Scales
from aiv_rba.settings.types import FlowKind

# A flow rate that varies by less than this share of its size is called steady, and one whose
# smallest value is beyond this share on the other side of zero is called reversed.
STEADY = 0.02
REVERSED = 0.02


@dataclass(frozen=True)
class Phase:
    """A time of the output.

    Attributes
    ----------
    number
        Its place among the times.
    time, share
        Seconds, and the share of the period or window.
    name
        What the flow does then.
    flow
        Whether the flow is periodic, steady or unsteady.
    """

    number: int
    time: float
    share: float
    name: str
    flow: FlowKind = "periodic"

    @property
    def title(self) -> str:
        """For headings: what the flow does, and when."""
        if self.flow == "steady":
            return self.name.capitalize()
        span = "period" if self.flow == "periodic" else "window"
        return f"{self.name.capitalize()}: t = {self.time:.3g} s ({self.share:.2f} of the {span})"


def telling_phases(
    times: Array, scales: Scales, flow_rate: Array, wanted: str | tuple[float, ...]
) -> list[Phase]:
    """Phases to draw among times (T,) in s, by flow rates (T,), in the order of the story.

    Automatic ones are where the flow speeds up most, where it is fastest, and where it is
    reversed or slowest; one if it is steady. A time is drawn once.
    """
    periodic = scales.flow == "periodic"
    shares = (times - scales.start) / scales.period
    if wanted == "auto" or scales.flow == "steady":
        found = _chosen(flow_rate, periodic=periodic)
    else:
        found = {}
        for phase in map(float, wanted):
            distance = np.abs(shares - phase)
            if periodic:
                distance = np.minimum(distance, 1 - distance)
            found.setdefault(int(np.argmin(distance)), "as asked for")
    return [
        Phase(number, float(times[number]), float(shares[number]), name, scales.flow)
        for number, name in found.items()
    ]


def _chosen(flow_rate: Array, *, periodic: bool) -> dict[int, str]:
    """Numbers of the times, with what the flow does there."""
    fastest = int(np.argmax(np.abs(flow_rate)))
    if np.ptp(flow_rate) <= STEADY * np.abs(flow_rate[fastest]):
        return {fastest: "steady flow"}
    forward = flow_rate * np.sign(flow_rate[fastest])
    lowest = int(np.argmin(forward))
    reverses = forward[lowest] < -REVERSED * forward[fastest]
    # The differences of a periodic flow rate go round.
    around = np.pad(forward, 1, mode="wrap" if periodic else "edge")
    rise = around[2:] - around[:-2]
    rise[[fastest, lowest]] = 0
    rising = int(np.argmax(rise))
    found = {rising: "speeding up"} if rise[rising] > 0 else {}
    return found | {fastest: "fastest", lowest: "reversed" if reverses else "slowest"}
