"""What a GPU computes is what processor cores compute; `make gpu-check` runs these tests.

With GPU_CHECK_DEVICE=cpu they compare the cores with themselves, which rehearses them.
"""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist

from aiv_rba.cli import main
from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.model import load_model
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import load_stage
from aiv_rba.training.loop import Run
from tests.training_case import PLAIN, arguments, write_config, write_training_case

DEVICE = torch.device(os.environ.get("GPU_CHECK_DEVICE", "cuda"))
ON_DEVICE, ON_CORES = Ranks(0, 1, DEVICE), Ranks(0, 1, torch.device("cpu"))

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="no GPU is visible"
    ),
]
NETWORK = {"layers": 2, "width": 8, "weight_normalisation": True} | PLAIN
ADAM = {"name": "adam", "learning_rate": 1e-3, "final_learning_rate": 1e-4, "compile": False}
# Damped, so that rounding does not grow.
GAUSS_NEWTON = {"name": "gauss_newton", "damping": 1.0, "smallest_damping": 0.3}
OPTIMISERS = {
    "adam": {"optimiser": ADAM, "network": NETWORK},
    "gauss_newton": {
        "optimiser": GAUSS_NEWTON | {"rows": [10, 35, 20]},
        "network": {"layers": 2, "width": 8} | PLAIN,
    },
    # 180 rows for 188 parameters.
    "sample_space": {
        "optimiser": GAUSS_NEWTON | {"rows": [10, 35, 20], "curvature_memory": None},
        "network": {"layers": 2, "width": 8} | PLAIN,
    },
    "exact_no_slip": {
        "optimiser": GAUSS_NEWTON | {"rows": [35, 20]},
        "network": {"layers": 2, "width": 6},
    },
}
STEPS = 5


@pytest.fixture
def case(tmp_path):
    """Folder of a small case and its points."""
    write_training_case(tmp_path)
    return tmp_path


def trained(case, ranks, name="adam", *, checkpoints="run", compile=False, precision="double"):
    """A training of some steps, from its checkpoint if there is one."""
    chosen = OPTIMISERS[name]
    optimiser = chosen["optimiser"] | {"iterations": STEPS}
    if name == "adam":
        optimiser["compile"] = compile
    path = write_config(
        case,
        network=chosen["network"],
        optimiser=optimiser,
        precision=precision,
        history_every=1,
        checkpoint_every=2,
    )
    settings = load_stage(path, "train")
    problem = Velocimetry(settings, read_case(case / "case.h5"), case / "points.h5", ranks)
    run = Run(problem.settings, problem, ranks)
    run.train(case / checkpoints)
    return run


def assert_same(found, expected, rtol):
    """Losses, multipliers and parameters of two trainings."""
    losses = [pd.DataFrame(run.history.rows).drop(columns="seconds") for run in (found, expected)]
    pd.testing.assert_frame_equal(*losses, rtol=rtol, atol=rtol)
    close = partial(torch.testing.assert_close, rtol=rtol, atol=rtol, check_device=False)
    close(found.scheme.state, expected.scheme.state)
    close(*(dict(run.problem.network.named_parameters()) for run in (found, expected)))


@pytest.mark.parametrize(
    ("name", "precision", "rtol"),
    [
        ("adam", "double", 1e-9),
        ("adam", "single", 2e-3),
        ("gauss_newton", "double", 1e-8),
        ("exact_no_slip", "double", 1e-8),
    ],
)
def test_losses_multipliers_and_parameters_are_those_of_cores(case, name, precision, rtol):
    found, expected = (
        trained(case, ranks, name, checkpoints=checkpoints, precision=precision)
        for ranks, checkpoints in ((ON_DEVICE, "device"), (ON_CORES, "cores"))
    )
    assert next(found.problem.network.parameters()).device.type == DEVICE.type
    assert_same(found, expected, rtol)


@pytest.mark.filterwarnings("error:.*without torch.compile")
def test_a_compiled_training_is_the_same(case):
    compiled = trained(case, ON_DEVICE, checkpoints="compiled", compile=True)
    assert_same(compiled, trained(case, ON_DEVICE, checkpoints="eager"), rtol=1e-9)


def test_a_resumed_training_is_the_same(case):
    whole = trained(case, ON_DEVICE)
    # From the checkpoint of the fourth step.
    resumed = trained(case, ON_DEVICE)
    assert len(resumed.history.rows) == STEPS
    assert_same(resumed, whole, rtol=1e-12)


def test_fields_are_those_of_cores():
    # No other test needs VTK, which is missing on some machines.
    pytest.importorskip("pyvista")
    from aiv_rba.fields.flow import SMALL_FLOW, open_flow

    found, expected = (open_flow(SMALL_FLOW, 4, device) for device in (DEVICE.type, "cpu"))
    points, time = expected.wall_points[::50] * 0.9 + expected.wall_points.mean(0) * 0.1, 0.1
    for name in ("velocity", "pressure", "vorticity", "shear_rate", "wall_shear_stress"):
        values, others = (getattr(flow, name)(points, time) for flow in (found, expected))
        np.testing.assert_allclose(values, others, rtol=1e-9, atol=1e-9 * np.abs(others).max())
    # Deviations are in single precision.
    for name in ("velocity", "pressure", "wall_shear_stress"):
        values, others = (getattr(flow.std, name)(points, time) for flow in (found, expected))
        np.testing.assert_allclose(values, others, rtol=1e-3, atol=1e-4 * others.max())
    tables = [flow.hydraulics(flow.times(3), sections=3) for flow in (found, expected)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)


class Grouped(Ranks):
    """A rank that asks its group, though there is nobody else in it."""

    alone = False


def join_group():
    """Be the only rank of a group: of NCCL on a GPU, or of gloo."""
    on_gpu = DEVICE.type == "cuda"
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=dist.HashStore(),
        rank=0,
        world_size=1,
        device_id=torch.device("cuda", 0) if on_gpu else None,
    )


@pytest.fixture
def grouped():
    join_group()
    yield Grouped(0, 1, DEVICE)
    dist.destroy_process_group()


def test_what_ranks_ask_of_their_group(grouped):
    values = torch.arange(6.0, device=DEVICE)
    # Not contiguous, which NCCL takes for no reduction.
    table = values.view(2, 3).T
    for reduce in (grouped.sum, grouped.max):
        assert reduce(table) is table
    assert grouped.min(table).equal(table)
    assert grouped.gather(table).equal(table)
    assert values.tolist() == [0, 1, 2, 3, 4, 5]
    assert grouped.exchange(values, [6], [6]).equal(values)
    sent = values.clone()
    grouped.broadcast(sent, 0).wait()
    assert sent.equal(values)
    with grouped.compiling():
        assert grouped.tell("why", 0) == "why"


@pytest.mark.parametrize("name", ["adam", "gauss_newton", "sample_space"])
def test_a_training_that_asks_its_group_is_the_same(case, grouped, name):
    """Its matrices are then cut into block rows, and quantiles are counted digit by digit."""
    found, expected = (
        trained(case, ranks, name, checkpoints=checkpoints)
        for ranks, checkpoints in ((grouped, "grouped"), (ON_DEVICE, "alone"))
    )
    assert_same(found, expected, rtol=1e-8)


FAILS = """
import torch
from aiv_rba.ranks import ddp
from tests.gpu.test_gpu import DEVICE, Grouped, join_group

# Longer than the test waits.
ddp.TIME_TO_ABORT = 600.0
join_group()
Grouped(0, 1, DEVICE).sum(torch.ones(1, device=DEVICE))
try:
    raise ValueError("a disk is full")
finally:
    ddp._leave(DEVICE)
"""


def test_a_rank_that_fails_leaves_its_group_and_tells_why():
    command = (sys.executable, "-c", FAILS)
    failed = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert failed.returncode == 1
    assert "ValueError: a disk is full" in failed.stderr


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one_does(case):
    write_config(case, network=NETWORK, optimiser=ADAM | {"iterations": STEPS})
    models = []
    for ranks in (1, 2):
        command = arguments(case, str(ranks))
        assert main([*command, "--ranks", str(ranks), "--device", "cuda"]) == 0
        models.append(load_model(case / str(ranks) / "model.pt"))
    states = [model.network.state_dict() for model in models]
    torch.testing.assert_close(*states, rtol=1e-9, atol=1e-9)
