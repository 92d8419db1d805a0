"""Training on 1, 2 and 3 real gloo ranks gives the same result."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aiv_rba.files.records import read_record
from aiv_rba.problems.velocimetry.deviations import load_deviations
from tests.rank_pool import free_port
from tests.training_case import PLAIN, WEIGHTS, arguments, write_config, write_training_case

NETWORK = {"layers": 2, "width": 8} | PLAIN
# Harmonics in time and exact no-slip, so that there is no block of wall rows.
EXACT = {"layers": 2, "width": 6}
# Polynomials of time up to the fifth degree.
UNSTEADY = EXACT | {"time_harmonics": 5}
ADAM = {"name": "adam", "learning_rate": 1e-2, "final_learning_rate": 1e-3}
OPTIMISERS = {
    # Little damping multiplies rounding: with 0.01 it grew from 1e-15 to 4e-10 in ten steps.
    "gauss_newton": {
        "name": "gauss_newton",
        "rows": [10, 35, 20],
        "damping": 1.0,
        "smallest_damping": 0.3,
    },
    "exact_no_slip": {
        "name": "gauss_newton",
        "rows": [35, 20],
        "damping": 1.0,
        "smallest_damping": 0.3,
    },
    "unsteady": {
        "name": "gauss_newton",
        "rows": [35, 20],
        "damping": 1.0,
        "smallest_damping": 0.3,
    },
    "adaptive_gauss_newton": {
        "name": "gauss_newton",
        "rows": [10, 35, 20],
        "damping": 1.0,
        "smallest_damping": 0.3,
        "damping_update": "gain_ratio",
        "importance_sampling": 0.5,
        "redraw": 3,
    },
    # 180 rows for 188 parameters.
    "sample_space": {
        "name": "gauss_newton",
        "rows": [10, 35, 20],
        "damping": 3.0,
        "smallest_damping": 1.0,
        "curvature_memory": None,
        "momentum": 0.5,
    },
    "ssbroyden": {"name": "ssbroyden", "compile": False},
    "adam": ADAM | {"compile": False},
    "soap": ADAM | {"name": "soap", "compile": False, "renewal": 5},
    "adam_compiled": ADAM | {"compile": True},
    "adam_then_lbfgs": ADAM | {"compile": False},
}
STEPS = {
    "gauss_newton": 20,
    "exact_no_slip": 20,
    "unsteady": 20,
    "adaptive_gauss_newton": 20,
    "sample_space": 20,
    "ssbroyden": 12,
    "adam": 30,
    "soap": 20,
    "adam_compiled": 30,
    "adam_then_lbfgs": 20,
}
# Settings of the schemes; "rba_quantile" is a name of this file.
SCHEMES = {
    "self_adaptive": {"start": {"no_slip": 10, "navier_stokes": 1}},
    "rba_quantile": {"name": "rba", "quantile": 0.9, "eta_by_block": {"navier_stokes": 0.05}},
}
THEN = {"adam_then_lbfgs": {"name": "lbfgs", "iterations": 10, "compile": False}}


def launch(folder, run, ranks, **popen):
    command = [sys.executable, "-m", "aiv_rba.cli", *arguments(folder, run)]
    command += ["--ranks", str(ranks)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True, **popen
    )


def train(folder, run, ranks):
    process = launch(folder, run, ranks)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return result(folder, run)


def train_in(pools, folder, run, ranks):
    pools[ranks].run(arguments(folder, run))
    return result(folder, run)


def result(folder, run):
    history = pd.read_csv(folder / run / "history.csv")
    state = torch.load(folder / run / "model.pt", weights_only=True)["state"]
    return history.drop(columns="seconds"), state


def assert_equal(a, b, rtol):
    assert list(a[0].columns) == list(b[0].columns)
    # The amplitude bias is a ratio less one, so it has the rounding of one.
    np.testing.assert_allclose(a[0].to_numpy(), b[0].to_numpy(), rtol=rtol, atol=1e-14)
    for name, values in a[1].items():
        np.testing.assert_allclose(values.numpy(), b[1][name].numpy(), rtol=rtol, atol=rtol)


def last_checkpoint(folder, run):
    """Tensors of the newest checkpoint by name: network, optimiser, every single multiplier."""
    newest = max((folder / run).glob("checkpoints/*/step_*.pt"))
    saved = torch.load(newest, weights_only=True)
    # Every rank has written its own rows.
    others = sorted(newest.parent.glob(f"rows_{newest.stem.removeprefix('step_')}_*.pt"))
    parts = [saved, *(torch.load(path, weights_only=True) for path in others)]
    saved["multipliers"] = {
        block: torch.cat([part["multipliers"][block] for part in parts])
        for block in saved["multipliers"]
    }
    return dict(tensors(saved))


def tensors(tree, name=""):
    if isinstance(tree, torch.Tensor):
        # Without averaging no last parameters are kept.
        if tree.numel():
            yield name, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from tensors(value, f"{name}/{key}")


@pytest.mark.parametrize(
    ("optimiser", "scheme", "groups_per_step"),
    [
        ("gauss_newton", "rba", 0),
        ("exact_no_slip", "rba", 0),
        ("unsteady", "rba", 0),
        # It goes on from its beginning, so that causal weights have a meaning.
        ("unsteady", "causal", 0),
        ("adaptive_gauss_newton", "rba", 8),
        ("sample_space", "rba", 0),
        ("ssbroyden", "rba", 0),
        ("adam", "rba", 8),
        ("adam", "rba_quantile", 8),
        ("exact_no_slip", "rba_quantile", 0),
        ("adam", "none", 0),
        ("adam", "self_adaptive", 8),
        ("adam", "annealing", 0),
        ("soap", "rba", 8),
        ("adam_then_lbfgs", "rba", 0),
        # The eager case covers the sampling; compiling is slow.
        ("adam_compiled", "rba", 0),
    ],
)
def test_any_number_of_ranks_gives_the_same_training(
    tmp_path, pools, optimiser, scheme, groups_per_step
):
    unsteady = optimiser == "unsteady"
    write_training_case(tmp_path, flow="unsteady" if unsteady else "periodic")
    exact = unsteady or optimiser == "exact_no_slip"
    network = UNSTEADY if unsteady else EXACT if exact else NETWORK
    write_config(
        tmp_path,
        network=network,
        global_weights={} if exact else WEIGHTS,
        optimiser=OPTIMISERS[optimiser] | {"iterations": STEPS[optimiser]},
        second_optimiser=THEN.get(optimiser),
        multipliers={"name": scheme} | SCHEMES.get(scheme, {}),
        groups_per_step=groups_per_step,
        robust_weights=True,
        history_every=1,
        checkpoint_every=STEPS[optimiser]
        + THEN.get(optimiser, {"iterations": 0})["iterations"]
        - 1,
    )
    one = train_in(pools, tmp_path, "one", 1)
    state = last_checkpoint(tmp_path, "one")
    assert one[0].loss.iloc[-1] < one[0].loss.iloc[0]
    if scheme == "rba":
        # Every multiplier differs from its neighbours: the agreement below is not of constants.
        assert (one[0].lambda_tracks_max > one[0].lambda_tracks_min).all()
        assert ("/multipliers/no_slip" in state) is not exact
        assert "/multipliers/navier_stokes" in state
    for ranks in (3,) if optimiser == "adam_compiled" else (2, 3):
        assert_equal(one, train_in(pools, tmp_path, str(ranks), ranks), 1e-10)
        other = last_checkpoint(tmp_path, str(ranks))
        assert state.keys() == other.keys()
        for name, values in state.items():
            size = float(values.abs().max())
            # The share of mismatches is one less a mean, so it has the rounding of one.
            atol = 1e-10 * size + 1e-15
            torch.testing.assert_close(other[name], values, rtol=1e-10, atol=atol)


def test_any_number_of_ranks_gives_the_same_standard_deviations(tmp_path, pools):
    write_training_case(tmp_path)
    optimiser = OPTIMISERS["exact_no_slip"] | {"iterations": 10}
    write_config(tmp_path, network=EXACT, global_weights={}, optimiser=optimiser)
    found = {}
    for ranks in (1, 2, 3):
        train_in(pools, tmp_path, str(ranks), ranks)
        found[ranks] = load_deviations(tmp_path / str(ranks) / "deviations.pt")[0]
    for ranks in (2, 3):
        torch.testing.assert_close(found[ranks].amplitude, found[1].amplitude, rtol=1e-9, atol=0)
        for source, samples in found[1].parameters.items():
            size = float(samples.abs().max())
            other = found[ranks].parameters[source]
            torch.testing.assert_close(other, samples, rtol=1e-6, atol=1e-6 * size)


def test_an_ensemble_is_trained_on_any_number_of_ranks(tmp_path, pools):
    write_training_case(tmp_path)
    write_config(
        tmp_path,
        network=NETWORK,
        optimiser=ADAM | {"iterations": 20, "compile": False},
        uncertainty={"method": "ensemble", "members": 2},
    )
    for ranks in (1, 2):
        train_in(pools, tmp_path, str(ranks), ranks)
    one, two = (load_deviations(tmp_path / str(n) / "deviations.pt")[0].members for n in (1, 2))
    assert len(one) == 2
    for member, other in zip(one, two, strict=True):
        for name, values in member.items():
            torch.testing.assert_close(other[name], values, rtol=1e-8, atol=1e-10)
    assert any((one[0][name] != one[1][name]).any() for name in one[0])


def test_mpiexec_starts_ranks_as_torchrun_does(tmp_path):
    write_training_case(tmp_path)
    write_config(
        tmp_path, network=NETWORK, optimiser=OPTIMISERS["gauss_newton"] | {"iterations": 3}
    )
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    ranks = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "mpiexec"), "-n", "2", "--oversubscribe"),
            *(sys.executable, "-m", "aiv_rba.cli", *arguments(tmp_path, "mpiexec")),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ranks.returncode == 0, ranks.stderr
    record = read_record(tmp_path / "mpiexec" / "records" / "train.json")
    assert record["training"]["world_size"] == 2
    assert_equal(train(tmp_path, "torchrun", 2), result(tmp_path, "mpiexec"), 1e-10)
