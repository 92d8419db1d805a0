"""What a GPU computes is what processor cores compute; `make gpu-check` runs these tests.

With GPU_CHECK_DEVICE=cpu they compare the cores with themselves, which rehearses them.
"""

import os
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from aiv_rba.cli import main
from aiv_rba.fields.flow import SMALL_FLOW, open_flow
from aiv_rba.files.case import read_case
from aiv_rba.problems.velocimetry.model import load_model
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import load_stage
from aiv_rba.training.loop import Run
from tests.training_case import PLAIN, arguments, write_config, write_training_case

DEVICE = torch.device(os.environ.get("GPU_CHECK_DEVICE", "cuda"))
CORES = torch.device("cpu")

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


def trained(case, device, name="adam", *, checkpoints="run", compile=False, precision="double"):
    """A training of some steps on a device, from its checkpoint if there is one."""
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
    ranks = Ranks(0, 1, device)
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
        trained(case, device, name, checkpoints=checkpoints, precision=precision)
        for device, checkpoints in ((DEVICE, "device"), (CORES, "cores"))
    )
    assert next(found.problem.network.parameters()).device.type == DEVICE.type
    assert_same(found, expected, rtol)


def test_a_compiled_training_is_the_same(case):
    compiled = trained(case, DEVICE, checkpoints="compiled", compile=True)
    assert_same(compiled, trained(case, DEVICE, checkpoints="eager"), rtol=1e-9)


def test_a_resumed_training_is_the_same(case):
    whole = trained(case, DEVICE)
    # From the checkpoint of the fourth step.
    resumed = trained(case, DEVICE)
    assert len(resumed.history.rows) == STEPS
    assert_same(resumed, whole, rtol=1e-12)


def test_fields_are_those_of_cores():
    found, expected = (open_flow(SMALL_FLOW, 4, device.type) for device in (DEVICE, CORES))
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


def test_collectives_of_one_rank():
    """What ranks ask of NCCL, with one of them: sums, maxima, shards, averaged gradients."""
    on_gpu = DEVICE.type == "cuda"
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=dist.HashStore(),
        rank=0,
        world_size=1,
        device_id=torch.device("cuda", 0) if on_gpu else None,
    )
    try:
        values = torch.arange(6.0, device=DEVICE)
        for op in (dist.ReduceOp.SUM, dist.ReduceOp.MAX):
            dist.all_reduce(values, op=op)
        mesh = init_device_mesh(DEVICE.type, (1,))
        shards = distribute_tensor(values, mesh, [Shard(0)])
        assert shards.full_tensor().tolist() == shards.to_local().tolist() == [0, 1, 2, 3, 4, 5]
        layer = torch.nn.Linear(6, 1).to(DEVICE)
        DistributedDataParallel(layer)(values).sum().backward()
        assert layer.weight.grad[0].tolist() == values.tolist()
    finally:
        dist.destroy_process_group()


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
