"""What the counter of waits for a GPU sees."""

import numpy as np
import pytest
import torch

from tests.synchronisations import synchronisations

X = torch.arange(4.0)
WAITS = {
    "item": lambda: X[0].item(),
    "float": lambda: float(X[0]),
    "bool": lambda: 1 if X[0] > 1 else 0,
    "minimum": lambda: min(1.0, X[0]),
    "tolist": lambda: X.tolist(),
    "numpy": lambda: np.asarray(X),
    "cpu": lambda: X.cpu(),
    "mask": lambda: X[X > 1],
    "set by a mask": lambda: X.clone().__setitem__(X > 10, X[:1]),
    "nonzero": lambda: X.nonzero(),
    "numbers of elements": lambda: X[[0, 2]],
    "numbers of columns": lambda: X.view(2, 2)[:, np.array([1])],
    "set by numbers": lambda: X.clone().__setitem__([0, 2], X[:2]),
    "unique": lambda: X.unique(),
    "allclose": lambda: torch.allclose(X, X),
    "from a list": lambda: X.new_tensor([1.0, 2.0]),
    "from NumPy": lambda: torch.as_tensor(np.ones(2)),
    "torch's line search": lambda: _step(torch.optim.LBFGS),
}


def _step(kind):
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    kind([parameter]).step(lambda: parameter.sum())


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_sees_what_waits(wait):
    with synchronisations() as found:
        wait()
    assert found
    assert all(__file__ in line or "lbfgs.py" in line for line in found)


def test_sees_nothing_in_arithmetic_and_in_a_step_of_adam():
    with synchronisations() as found:
        rows = torch.arange(2)
        torch.where(X > 1, 1.0, X).amax().clamp_min(1e-9)
        X.clone()[rows] = 2 * X[rows]
        X.view(2, 2)[:, None, 0]
        X.to(torch.float64).isfinite().all()
        _step(torch.optim.Adam)
    assert found == []
