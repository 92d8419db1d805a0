"""Errors against the truth, by the measures of the stage score and of the study of attention."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from aiv_rba.fields.derived import NondimensionalFlow
from aiv_rba.files.case import Case
from aiv_rba.files.truth import open_truth
from aiv_rba.geometry import lumen_of
from aiv_rba.harmonics import fourier
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.stages.score.truth import PHASES, against_truth
from studies.study.measure import drop_errors, stress_errors


def errors(path: Path, case: Case, flow: NondimensionalFlow) -> dict[str, float]:
    """Relative L2 errors of a flow by name.

    Those of the stage score, of the size of the wall shear stress, of the pressure drop and of the
    hydraulic resistance.
    """
    # The comparison asks for no more of a network than that it is such a flow.
    model = Model(cast(FlowNetwork, flow), case.scales, case.identity)
    with open_truth(path) as file:
        compared = against_truth(file, case, model)
        modes = file["wall/wall_shear_stress"][:]
    exact = np.array([fourier(modes, phase) for phase in case.scales.shares(PHASES)])
    stresses = stress_errors(compared.wrong["wss"], exact)
    return compared.errors | stresses | drop_errors(lumen_of(case), compared)
