"""The bundled experiment from Python, stage by stage. From the repository's folder:

python examples/bundled_experiment.py results/from_python

It takes eight minutes on one core; `--quick` shows in one that everything runs, with fields that
are not right yet.
"""

import sys
from pathlib import Path

import aiv_rba

folder = Path(sys.argv[1])
files = [Path("workflow/config/perivascular.yaml")]
if "--quick" in sys.argv:
    files.append(Path("workflow/config/smoke.yaml"))
experiment = aiv_rba.read_experiment(*files)

flow = aiv_rba.infer(experiment, folder)
aiv_rba.score(experiment, folder)

wall = flow.wall(time=0.8 * flow.period)
stress = abs(wall["wall_shear_stress"]).max()
print(f"flow rate {flow.flow_rate(0.0):.3g} m3/s, largest wall shear stress {stress:.3g} Pa")
