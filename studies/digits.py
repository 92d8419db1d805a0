"""How many digits the matrix products of a training by Adam need.

Tensor cores of GPUs, and some processors, round the factors of matrix products to TensorFloat-32 or
bfloat16 and add up the products in single precision. This study rounds the factors of every
product of a training in the same way, backward products too, on a machine that has neither, so
that it tells what they cost in accuracy and nothing of speed. Errors are computed with all digits.
Trainings on the bundled twin are those of the
comparison of multipliers by Adam (docs/study.md), with weight normalisation and RBA. They end far
from the truth, so that there is one on the Helmholtz equation too, which ends close to it (`make
validate PROFILE=optimisers`). Writes results/digits.json and prints errors in percent.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from aiv_rba.files.case import read_case
from aiv_rba.files.results import Results
from aiv_rba.problems.helmholtz.problem import Helmholtz
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, MethodSettings, load_comparison, read_experiment
from aiv_rba.settings.optimisers import OptimiserSettings
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.points.generate import collocate
from aiv_rba.training.loop import Run
from studies.calibration import markdown
from studies.design.tables import spread
from studies.limits import experiment_of
from studies.study.plan import OVERLAYS as FOLDER
from studies.study.train import truth_errors

RESULT = Path("results/digits.json")
OVERLAYS = [FOLDER / f"{name}.yaml" for name in ("adam", "wn", "rba")]
BUNDLED = experiment_of("bundled")
HELMHOLTZ = Path("workflow/config/validation/optimisers.yaml")
ALONE = Ranks(0, 1, torch.device("cpu"))
# Binary digits after the first one that factors of products keep.
DIGITS = {"single": 23, "TensorFloat-32": 10, "bfloat16": 7}
ERRORS = {
    "validation_u": "held-out u",
    "validation_v": "held-out v",
    "truth_velocity": "velocity",
    "truth_pressure": "pressure",
    "truth_wss": "wall shear stress",
}
# Products of matrices, and the numbers of their factors among the arguments.
PRODUCTS = {
    torch.ops.aten.mm.default: (0, 1),
    torch.ops.aten.bmm.default: (0, 1),
    torch.ops.aten.addmm.default: (1, 2),
    torch.ops.aten.baddbmm.default: (1, 2),
}


class FewDigits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Matrix products whose single-precision factors are rounded to so many digits first."""

    def __init__(self, digits: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.digits = digits

    def __torch_dispatch__(
        self,
        operation: OpOverload[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        """Apply the operation."""
        factors = PRODUCTS.get(operation, ())
        arguments = [
            rounded(value, self.digits) if number in factors else value
            for number, value in enumerate(arguments)
        ]
        return operation(*arguments, **(named or {}))


def rounded(values: Tensor, digits: int) -> Tensor:
    """Single-precision numbers to the nearest with so many binary digits after the first one.

    Of two that are equally near it is the even one. Other tensors are as they were.
    """
    dropped = 23 - digits
    if values.dtype != torch.float32 or not dropped:
        return values
    bits = values.contiguous().view(torch.int32)
    nearest = bits + (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)
    return (nearest & -(1 << dropped)).view(torch.float32)


def on_tracks(digits: int, seed: int, folder: Path) -> dict[str, float]:
    """Errors of a training on the bundled twin, whose case and points are in the folder."""
    experiment = read_experiment(BUNDLED, *OVERLAYS)
    assert experiment.score.truth is not None
    results = Results(folder)
    case = read_case(results.case)
    problem = Velocimetry(
        replace(experiment.train, optimiser=plain(experiment.train.optimiser), seed=seed),
        case,
        results.points,
        ALONE,
    )
    run = trained(problem, digits, folder)
    truth_errors(Path(experiment.score.truth), case)(run)
    found = run.history.rows[-1] | problem.errors()
    return {title: found[name] for name, title in ERRORS.items()}


def on_helmholtz(digits: int, seed: int, folder: Path) -> dict[str, float]:
    """Error of a training on the Helmholtz equation."""
    method = load_comparison(HELMHOLTZ, "helmholtz", MethodSettings).methods["adam"]
    single = replace(
        method,
        optimiser=plain(method.optimiser),
        precision="single",
        history_every=1000,
        seed=seed,
    )
    problem = Helmholtz(single, ALONE, Helmholtz.solution())
    trained(problem, digits, folder)
    return {"u": problem.errors()["error_u"]}


def plain(optimiser: OptimiserSettings) -> AdamSettings:
    """The same without compilation, which would hide the products."""
    assert isinstance(optimiser, AdamSettings)
    return replace(optimiser, compile=False)


def trained(problem: Velocimetry | Helmholtz, digits: int, folder: Path) -> Run:
    """A finished training, whose products had so many digits."""
    run = Run(problem.settings, problem, ALONE)
    with tempfile.TemporaryDirectory(dir=folder) as checkpoints, FewDigits(digits):
        run.train(Path(checkpoints))
    return run


TRAININGS = {"bundled vessel": on_tracks, "Helmholtz": on_helmholtz}


def work(job: tuple[str, str, int, Path]) -> dict[str, Any]:
    """Errors of one training: what of, the name of its products, its seed and a folder."""
    torch.set_num_threads(1)
    training, name, seed, folder = job
    found = TRAININGS[training](DIGITS[name], seed, folder)
    return {"training": training, "products": name, "seed": seed} | found


def table(found: pd.DataFrame) -> str:
    """Mean errors of one training in percent, and their range over seeds, as Markdown."""
    errors = found.drop(columns=["training", "products", "seed"]).dropna(axis=1)
    rows = [
        [name, *(spread(100 * errors.loc[chosen, title]) for title in errors)]
        for name, chosen in found.groupby("products", sort=False).groups.items()
    ]
    return markdown([str(found["training"].iloc[0]), *errors.columns], rows)


def main() -> int:
    """Train, write and print."""
    parser = argparse.ArgumentParser(prog="python -m studies.digits", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--cores", type=int, default=2, help="trainings at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        experiment = read_experiment(BUNDLED, *OVERLAYS)
        results = Results(folder)
        ingest(experiment.ingest, results)
        collocate(experiment.points, results)
        jobs = list(product(TRAININGS, DIGITS, range(arguments.seeds), [folder]))
        with ProcessPoolExecutor(arguments.cores, get_context("spawn")) as pool:
            found = list(pool.map(work, jobs))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    for _, group in pd.DataFrame(found).groupby("training", sort=False):
        print(table(group), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
