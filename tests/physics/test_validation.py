"""Known problems: residuals of their solutions, the reference's orders, comparisons of methods."""

import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import yaml

from aiv_rba import jets
from aiv_rba.cli import main
from aiv_rba.errors import UserError
from aiv_rba.networks.scalar import ScalarNetwork
from aiv_rba.problems.allen_cahn import equation as allen_cahn
from aiv_rba.problems.allen_cahn.problem import AllenCahn
from aiv_rba.problems.allen_cahn.reference import solve
from aiv_rba.problems.helmholtz import equation as helmholtz
from aiv_rba.problems.helmholtz.problem import Helmholtz
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import Checks, MethodSettings, ScalarNetworkSettings
from aiv_rba.validation.checks import check
from tests.exact_flows import jet_by_autograd

ONE = Ranks(0, 1, torch.device("cpu"))


def test_helmholtz_residual_of_the_solution_vanishes():
    points = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    u = jet_by_autograd(helmholtz.exact, points, torch.tensor(helmholtz.SECOND_ORDER))
    assert helmholtz.residual(jets.View(u, "xy"), points).abs().max() < 1e-11


def test_allen_cahn_residual_of_known_functions():
    """The steady states 0, 1 and -1, and a front at rest."""
    points = torch.rand(30, 2, dtype=torch.float64)
    for state in (0.0, 1.0, -1.0):
        u = torch.zeros(4, 30, 1, dtype=torch.float64)
        u[0] = state
        assert torch.all(allen_cahn.residual(jets.View(u, "tx")) == 0)
    # tanh(x sqrt(5 / (2 epsilon))) balances diffusion and reaction.
    slope = math.sqrt(5 / (2 * allen_cahn.DIFFUSION))
    second_order = torch.tensor(allen_cahn.SECOND_ORDER)
    near = points * torch.tensor([1.0, 0.02])
    u = jet_by_autograd(lambda q: torch.tanh(slope * q[:, 1:]), near, second_order)
    assert allen_cahn.residual(jets.View(u, "tx")).abs().max() < 1e-10


def test_kink_takes_the_initial_condition_s_kink_away():
    """The slope of x^2 cos(pi x) jumps by 4 across the period; without the kink it does not."""
    h = 1e-3
    x = torch.tensor([-1.0, -1 + h, 1 - h, 1.0], dtype=torch.float64)
    points = torch.stack([torch.zeros(4, dtype=torch.float64), x], dim=1).unsqueeze(0)
    u, lift = allen_cahn.initial(x), allen_cahn.kink(points)[0, :, 0]
    for values, jump in ((u, 4), (u - lift, 0)):
        slopes = (values[1] - values[0]) / h, (values[3] - values[2]) / h
        assert float(slopes[0] - slopes[1]) == pytest.approx(jump, abs=0.03)
    middle = torch.tensor([[[0.0, 0.0]]], dtype=torch.float64)
    assert abs(float(allen_cahn.kink(middle))) < 0.05


def test_kink_obeys_the_linearised_equation_where_it_is_singular():
    t = torch.logspace(-7, -3, 9, dtype=torch.float64)
    jet = allen_cahn.kink(jets.seed(torch.stack([t, torch.ones_like(t)], dim=1)))[..., 0]
    value, u_t, _, u_xx = jet
    residual = u_t - allen_cahn.DIFFUSION * u_xx + 10 * value
    # The terms grow as 1 / sqrt(t) towards the initial time, their sum stays small.
    assert u_xx[0] > 50 * u_xx[-1]
    assert residual.abs().max() < 0.01


@pytest.mark.parametrize(
    "settings",
    [
        {"embedding": "fourier_x", "harmonics": 2},
        {"embedding": "fourier_each", "harmonics": 3},
        {"embedding": "fourier_xy", "harmonics": 2},
        {"embedding": "fourier_truncated", "harmonics": 2, "architecture": "modified_mlp"},
        {"distance": True, "first_layer_gain": 4.0},
    ],
    ids=lambda settings: next(iter(settings.values())),
)
def test_jets_of_the_networks(settings):
    torch.manual_seed(0)
    lower = torch.tensor([0.0, -1.0], dtype=torch.float64)
    network = ScalarNetwork(
        ScalarNetworkSettings(layers=2, width=6, **settings), lower, -lower + 1, (0.0, 1.0)
    )
    x = torch.rand(9, 2, dtype=torch.float64)
    expected = jet_by_autograd(
        lambda q: network(q.unsqueeze(0))[0], x, torch.tensor([0.0, 1.0], dtype=torch.float64)
    )
    assert torch.allclose(network(jets.seed(x)), expected, rtol=1e-10, atol=1e-10)


def test_jet_of_the_kink():
    x = torch.rand(9, 2, dtype=torch.float64) * torch.tensor([1.0, 2.0]) - torch.tensor(
        [-0.01, 1.0]
    )
    expected = jet_by_autograd(
        lambda q: allen_cahn.kink(q.unsqueeze(0))[0], x, torch.tensor(allen_cahn.SECOND_ORDER)
    )
    assert torch.allclose(allen_cahn.kink(jets.seed(x)), expected, rtol=1e-8, atol=1e-8)


def test_reference_converges_to_fourth_order_in_time():
    finest = solve(128, 1600, 10)[2]
    errors = [np.abs(solve(128, n, 10)[2] - finest).max() for n in (100, 200)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


def test_reference_converges_in_space():
    """The initial condition has a kink at x = 1, so that modes help with a finite order."""
    coarse, fine, finer = (solve(n, 500, 10)[2] for n in (256, 512, 1024))
    first = np.linalg.norm(coarse - fine[:, ::2])
    second = np.linalg.norm(coarse - finer[:, ::4]) - first
    assert abs(second) < first / 2
    assert np.linalg.norm(fine - finer[:, ::2]) / np.linalg.norm(fine) < 1e-4


@pytest.mark.slow
def test_reference_of_2048_and_4096_modes_agree():
    coarse, fine = (solve(n, 2000, 10)[2] for n in (2048, 4096))
    assert np.linalg.norm(coarse - fine[:, ::2]) / np.linalg.norm(fine[:, ::2]) < 1e-6


def test_reference_obeys_the_equation():
    """Against finite differences of the solution itself, an independent check of its signs."""
    t, x, u = solve(512, 2000, 1000)
    i = slice(200, 801, 100)
    u_t = (u[201:802:100] - u[199:800:100]) / (2 * (t[1] - t[0]))
    h = x[1] - x[0]
    u_xx = (np.roll(u[i], -1, 1) - 2 * u[i] + np.roll(u[i], 1, 1)) / h**2
    residual = u_t - allen_cahn.DIFFUSION * u_xx + 5 * u[i] ** 3 - 5 * u[i]
    assert np.abs(residual).max() < 5e-3 * np.abs(u_t).max()


IMPOSSIBLE = {
    "distance and embedding": ("helmholtz", {"distance": True, "embedding": "fourier_xy"}),
    "periodic in time": ("allen_cahn", {"embedding": "fourier_each"}),
    "periodic in time by products": ("allen_cahn", {"embedding": "fourier_xy"}),
    "zero at x = 1": ("allen_cahn", {"distance": True}),
    "one-dimensional features": ("helmholtz", {"embedding": "fourier_x"}),
}


@pytest.mark.parametrize(("problem", "network"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_combinations_are_refused(problem, network):
    settings = MethodSettings(network=ScalarNetworkSettings(**network), points=16)
    make = {
        "helmholtz": lambda: Helmholtz(settings, ONE, Helmholtz.solution()),
        "allen_cahn": lambda: AllenCahn(settings, ONE, solve(16, 10, 2)),
    }[problem]
    with pytest.raises(UserError, match="expected"):
        make()


def write(folder, **section):
    optimiser = {"name": "adam", "iterations": 30, "compile": False}
    common = {"points": 64, "boundary_points": 16, "optimiser": optimiser, "seeds": [0, 1]}
    common |= {"history_every": 30}
    common["network"] = {"layers": 1, "width": 5}
    methods = {
        "vanilla": {"multipliers": {"name": "none"}},
        "rba": {"multipliers": {"name": "rba"}, "reported": 0.003},
    }
    content = {"common": common, "methods": methods, "reported": {"another": 0.5}} | section
    (folder / "m.yaml").write_text(yaml.safe_dump({"allen_cahn": content, "helmholtz": content}))


def run(folder, problem="helmholtz", *more):
    options = ("--config", str(folder / "m.yaml"), "--out", str(folder / "out"), *more)
    return main(["validate", "--problem", problem, *options])


def test_a_run_writes_results_that_a_program_can_read(tmp_path):
    write(tmp_path)
    assert run(tmp_path) == 0
    result = json.loads((tmp_path / "out" / "rba.json").read_text())
    assert len(result["rel_l2"]) == 2
    assert result["rel_l2"][0] != result["rel_l2"][1]
    assert result["mean"] == pytest.approx(np.mean(result["rel_l2"]))
    assert result["profile"] == "m"
    assert result["points"] == {"equation": 64, "boundary": 16}
    assert result["history"]["lambda_equation_max"][-1] <= result["largest_multiplier"] <= 1
    table = pd.read_csv(tmp_path / "out" / "table.csv", index_col="method")
    assert table["relative L2"].rba == pytest.approx(result["mean"], rel=1e-5)
    # What the literature reports stands in its own column, and nothing is made up beside it.
    reported = table["reported by the paper"]
    assert reported.to_dict() == pytest.approx(
        {"vanilla": float("nan"), "rba": 0.003, "another": 0.5}, nan_ok=True
    )
    assert table.loc["another"].notna().sum() == 1
    assert table["relative to the first"].rba == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 5
    assert "rba" in page
    for picture in ("vanilla", "attention", "multipliers", "convergence"):
        assert (tmp_path / "out" / f"{picture}.png").stat().st_size > 5000
    before = (tmp_path / "out" / "rba.json").stat().st_mtime_ns
    assert run(tmp_path) == 0
    assert (tmp_path / "out" / "rba.json").stat().st_mtime_ns == before


def change(folder, **settings):
    content = yaml.safe_load((folder / "m.yaml").read_text())
    for section in content.values():
        section["common"] |= settings
    (folder / "m.yaml").write_text(yaml.safe_dump(content))


def test_other_settings_do_not_resume_from_checkpoints_of_these(tmp_path):
    write(tmp_path, methods={"rba": {}})
    change(tmp_path, checkpoint_every=10, history_every=1, seeds=[0])
    assert run(tmp_path) == 0
    first = json.loads((tmp_path / "out" / "rba.json").read_text())
    change(tmp_path, boundary_weight=1.0)
    assert run(tmp_path) == 0
    second = json.loads((tmp_path / "out" / "rba.json").read_text())
    shutil.rmtree(tmp_path / "out")
    assert run(tmp_path) == 0
    fresh = json.loads((tmp_path / "out" / "rba.json").read_text())
    assert second["rel_l2"] == fresh["rel_l2"] != first["rel_l2"]
    assert second["history"]["error_u"] == fresh["history"]["error_u"]


def test_a_reference_of_the_literature_is_read(tmp_path):
    t, x, u = solve(32, 100, 10)
    write(tmp_path, methods={"rba": {}})
    change(tmp_path, seeds=[0])

    def error(factor):
        scipy.io.savemat(tmp_path / "r.mat", {"tt": t, "x": x, "uu": factor * u.T})
        assert run(tmp_path, "allen_cahn", "--reference", str(tmp_path / "r.mat")) == 0
        return json.loads((tmp_path / "out" / "rba.json").read_text())["mean"]

    # Another reference in the same place scores anew.
    assert error(1) != error(3)


@pytest.mark.parametrize("factor", [0.5, 15.0])
@pytest.mark.parametrize("weight_normalisation", [False, True])
def test_the_first_layer_is_spread(factor, weight_normalisation):
    """The layer without its bias is `factor` times as steep, to single precision of its weights."""
    torch.manual_seed(1)
    x = torch.rand(1, 7, 2, dtype=torch.float64)
    slopes = []
    for spread in (1.0, factor):
        torch.manual_seed(0)
        settings = ScalarNetworkSettings(
            weight_normalisation=weight_normalisation, first_layer_gain=spread
        )
        one = torch.ones(2, dtype=torch.float64)
        first = ScalarNetwork(settings, -one, one, (1.0, 1.0)).mlp.hidden[0]
        slopes.append(first(x) - first(torch.zeros_like(x)))
    assert torch.allclose(slopes[1], factor * slopes[0], rtol=1e-6, atol=1e-6)


MISTAKES = {
    "causal without time": (
        {"methods": {"a": {"multipliers": {"name": "causal"}}}},
        "does not go on in time",
    ),
    "annealing of one term": (
        {"methods": {"a": {"multipliers": {"name": "annealing"}, "network": {"distance": True}}}},
        "the only term of this loss",
    ),
    "reported not a number": ({"reported": {"a": "good"}}, "helmholtz.reported.a"),
    "a kink in a smooth solution": (
        {"methods": {"a": {"network": {"kink": True}}}},
        "helmholtz.a.network.kink: unknown key",
    ),
    "unknown method setting": ({"methods": {"a": {"speed": 1}}}, "helmholtz.a.speed: unknown key"),
    "no methods": ({"methods": None}, "helmholtz.methods: missing"),
    "unknown section": ({"check": {}}, "unknown key 'check'"),
    "unknown scheme": ({"methods": {"a": {"multipliers": {"name": "magic"}}}}, "helmholtz.a"),
    "unknown checked method": ({"checks": {"at_most": {"b": 1}}}, "checks name the method 'b'"),
    "error too large": ({"checks": {"at_most": {"rba": 1e-9}}}, "expected at most 1e-09"),
    "not as expected": ({"checks": {"within": {"rba": [1e-9, 2]}}}, "expected 1e-09 within a"),
    "no better": ({"checks": {"better": {"rba": ["vanilla", 1e9]}}}, "expected at least 1e+09"),
}


@pytest.mark.parametrize(("section", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_and_failed_checks_are_told(tmp_path, capsys, section, message):
    write(tmp_path, **section)
    assert run(tmp_path) == 2
    assert message in capsys.readouterr().err


def test_losses_that_are_not_finite_are_told(tmp_path, capsys):
    write(tmp_path, methods={"rba": {}})
    optimiser = {"name": "adam", "iterations": 30, "compile": False, "learning_rate": 1e36}
    optimiser |= {"final_learning_rate": 1e29}
    change(tmp_path, seeds=[0], precision="single", optimiser=optimiser)
    assert run(tmp_path) == 2
    assert re.search(r"step \d+: residual \w+ is \w+ in", capsys.readouterr().err)


def test_the_bound_of_equation_13_is_checked():
    result = {
        "largest_multiplier": 1.01,
        "mean": 1.0,
        "settings": {"multipliers": {"name": "rba", "gamma": 0.9, "eta": 0.1, "init": 1}},
    }
    with pytest.raises(UserError, match=r"largest multiplier is 1.01.*Eq. 13"):
        check("helmholtz", {"rba": result}, Checks())
    check("helmholtz", {"rba": result | {"largest_multiplier": 1.0}}, Checks())


@pytest.mark.parametrize(("problem", "scheme"), [("helmholtz", "rba"), ("allen_cahn", "causal")])
def test_two_ranks_train_as_one_does(tmp_path, problem, scheme):
    t, x, u = solve(16, 20, 4)
    scipy.io.savemat(tmp_path / "r.mat", {"tt": t, "x": x, "uu": u.T})
    network = {"layers": 1, "width": 5, "embedding": "fourier_each", "harmonics": 1}
    if problem == "allen_cahn":
        network["embedding"] = "fourier_x"
    optimiser = {"name": "gauss_newton", "iterations": 5, "rows": [64, 16], "acceleration": True}
    optimiser |= {"damping": 1.0, "smallest_damping": 0.3}
    method = {"optimiser": optimiser, "network": network, "multipliers": {"name": scheme}}
    write(tmp_path, methods={"a": method | {"precision": "double"}})
    command = ("validate", "--problem", problem, "--config", str(tmp_path / "m.yaml"))
    command += ("--reference", str(tmp_path / "r.mat"), "--out")
    errors, multipliers = [], []
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        launch = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks))
        subprocess.run(
            [sys.executable, "-m", *launch, "-m", "aiv_rba.cli", *command, str(out)], check=True
        )
        errors.append(json.loads((out / "a.json").read_text())["rel_l2"])
        with np.load(next(out.glob("checkpoints/*/attention_00000005.npz"))) as maps:
            assert maps["points"].shape == (64, 2)
            multipliers.append(maps["multipliers"])
    assert np.ptp(multipliers[0]) > 0.01
    assert errors[0] == pytest.approx(errors[1], rel=1e-10)
    np.testing.assert_allclose(multipliers[0], multipliers[1], rtol=1e-10)


def test_a_reference_must_be_readable(tmp_path, capsys):
    write(tmp_path)
    (tmp_path / "r.mat").write_text("junk")
    assert run(tmp_path, "allen_cahn", "--reference", str(tmp_path / "r.mat")) == 2
    assert "not a readable .mat file" in capsys.readouterr().err
    scipy.io.savemat(tmp_path / "r.mat", {"tt": [0.0], "x": [0.0]})
    assert run(tmp_path, "allen_cahn", "--reference", str(tmp_path / "r.mat")) == 2
    assert "'uu' is missing" in capsys.readouterr().err


def test_an_unknown_problem_is_refused(tmp_path, capsys):
    write(tmp_path)
    assert run(tmp_path, "heat") == 2
    assert "found 'heat', expected one of allen_cahn, burgers, helmholtz" in capsys.readouterr().err
