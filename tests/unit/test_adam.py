"""Adam: its decay, and training where no compiler is present."""

import itertools
import math

import pytest
import torch

from aiv_rba.optimisers import adam, compilation
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings

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


def test_trains_eagerly_where_no_compiler_is_found(monkeypatch):
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    module = torch.nn.Linear(1, 1)
    with pytest.warns(UserWarning, match="without torch.compile"):
        assert compilation.compiled(module) is module
