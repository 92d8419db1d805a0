"""Errors against the truth, by the measure of the stage score."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from aiv_rba.fields.derived import NondimensionalFlow
from aiv_rba.files.case import Case
from aiv_rba.files.truth import open_truth
from aiv_rba.harmonics import fourier
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.stages.score.truth import PHASES, against_truth
from aiv_rba.statistics import relative_l2


def errors(path: Path, case: Case, flow: NondimensionalFlow) -> dict[str, float]:
    """Relative L2 errors of a flow by name; that of the size of the wall shear stress is added."""
    # The comparison asks for no more of a network than that it is such a flow.
    model = Model(cast(FlowNetwork, flow), case.scales, case.identity)
    with open_truth(path) as file:
        compared = against_truth(file, case, model)
        modes = file["wall/wall_shear_stress"][:]
    exact = np.array([fourier(modes, phase) for phase in case.scales.shares(PHASES)])
    found = exact + compared.wrong["wss"]
    sizes = (np.linalg.norm(stress, axis=-1) for stress in (found, exact))
    return compared.errors | {"wss_magnitude": relative_l2(*sizes)}
