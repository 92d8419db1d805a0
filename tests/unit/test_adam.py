"""Adam: its decay, and training where no compiler is present."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from aiv_rba.errors import UserError
from aiv_rba.optimisers import adam, compilation
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, load_stage

ONE = Ranks(0, 1, torch.device("cpu"))


def test_learning_rate_decays_from_the_first_to_the_last():
    settings = AdamSettings(
        iterations=1000, learning_rate=2e-3, final_learning_rate=1.5e-4, compile=False
    )
    optimiser = adam.Adam(settings, torch.nn.Linear(1, 1), ONE)
    rates = []
    for step in range(1001):
        optimiser.steps = step
        rates.append(optimiser.learning_rate)
    assert rates[0] == 2e-3
    assert all(a >= b for a, b in itertools.pairwise(rates))
    # Decays are whole, so the last may lie one factor short.
    assert abs(math.log(rates[-1] / 1.5e-4)) <= abs(math.log(0.9)) + 1e-12


def test_a_final_learning_rate_above_the_first_is_an_error(tmp_path):
    path = tmp_path / "train.yaml"
    rates = "{name: adam, learning_rate: 1.0e-3, final_learning_rate: 2.0e-3}"
    path.write_text(f"train: {{optimiser: {rates}}}")
    with pytest.raises(UserError, match=r"final_learning_rate: 0\.002 with learning_rate: 0\."):
        load_stage(path, "train")


@pytest.mark.parametrize(
    ("device", "environment", "programs", "missing"),
    [
        ("cpu", {}, {"gcc", "clang++"}, r"found no C\+\+ compiler \(g\+\+\)"),
        ("cpu", {"CXX": "icpx"}, {"g++"}, r"found no C\+\+ compiler \(icpx\)"),
        ("cuda", {}, {"g++", "clang++"}, r"found no C compiler \(gcc or clang\)"),
        ("cuda", {}, {"clang"}, None),
        ("cuda", {"CC": "icx"}, {"icx"}, None),
    ],
)
def test_compiles_where_the_compiler_of_the_device_is(
    monkeypatch, device, environment, programs, missing
):
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(compilation.shutil, "which", dict.fromkeys(programs, "/here").get)
    monkeypatch.setattr(compilation.sysconfig, "get_path", lambda name: "/nowhere")
    expected = missing or "found no /nowhere/Python.h"
    parameter = SimpleNamespace(device=torch.device(device))
    module = SimpleNamespace(parameters=lambda: iter([parameter]))
    with pytest.warns(UserWarning, match=f"{expected}.*: training runs without torch.compile"):
        assert compilation.compiled(module) is module
