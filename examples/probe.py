"""Probe a finished flow: values along a line, a section as a picture, a time series.

python examples/probe.py results/perivascular
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import aiv_rba

folder = Path(sys.argv[1])
flow = aiv_rba.open_flow(folder)

# Along a line across the vessel, in the middle of its length.
low, high = flow.wall_points.min(axis=0), flow.wall_points.max(axis=0)
across = [i for i in range(3) if i != flow.case.axis]
line = np.tile((low + high) / 2, (200, 1))
line[:, across[0]] = np.linspace(low[across[0]], high[across[0]], 200)
line = line[flow.inside(line)]

figure, (profile, rate) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for phase in (0.0, 0.25, 0.5, 0.75):
    velocity = flow.velocity(line, time=phase * flow.period)
    axial = velocity[:, flow.case.axis]
    profile.plot(1e3 * line[:, across[0]], 1e3 * axial, label=f"t = {phase:g} T")
profile.set(xlabel="position (mm)", ylabel="axial velocity (mm/s)")
profile.legend(frameon=False)

times = np.linspace(0, flow.period, 40)
rate.plot(times, 1e12 * flow.hydraulics(times).flow_rate_m3_s)
rate.set(xlabel="time (s)", ylabel="flow rate (nL/s)")
figure.savefig(folder / "probe.png", dpi=150)
print(folder / "probe.png")
