"""A record on Helmholtz in two minutes: u_xx + u_yy + u = q on [-1, 1]^2, u = 0 on the boundary.

Residual-based attention, Fourier features and Gauss-Newton with geodesic acceleration; the settings
are those of workflow/config/validation/records.yaml. Give another number of steps on the command
line: 700 reach the record.
"""

import sys
import tempfile
from pathlib import Path

import aiv_rba
from aiv_rba.problems.fixed_points import ONE_RANK
from aiv_rba.problems.helmholtz.problem import Helmholtz
from aiv_rba.settings import MethodSettings, ScalarNetworkSettings
from aiv_rba.training.loop import Run

settings = MethodSettings(
    network=ScalarNetworkSettings(
        layers=2, width=32, embedding="fourier_each", harmonics=4, activation="sin"
    ),
    points=2500,
    boundary_points=200,
    boundary_weight=100,
    multipliers=aiv_rba.RBASettings(gamma=0.9, eta=0.1, offset=0.2),
    optimiser=aiv_rba.GaussNewtonSettings(
        iterations=int(sys.argv[1]) if len(sys.argv) > 1 else 250,
        rows=(2500, 200),
        scaling="levenberg",
        acceleration=True,
        damping_update="gain_ratio",
        smallest_damping=1e-20,
        trials=8,
        curvature_memory=None,
    ),
    history_every=10,
)
problem = Helmholtz(settings, ONE_RANK, Helmholtz.solution())
run = Run(settings, problem, ONE_RANK)
with tempfile.TemporaryDirectory() as folder:
    run.train(Path(folder))
print(f"relative L2 error: {run.history.rows[-1]['error_u']:.1e} in {run.seconds:.0f} s")
