"""The residual against exact flows."""

import pytest
import torch

from aiv_rba.problems.velocimetry import navier_stokes
from aiv_rba.scales import Scales
from tests.exact_flows import ethier_steinman, jet_by_autograd

SECOND_ORDER = torch.tensor(navier_stokes.SECOND_ORDER)


def _points(n=40):
    return 2 * torch.rand(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) - 1


@pytest.mark.parametrize("reynolds", [0.0036, 1.0, 50.0])
def test_beltrami_flow_has_no_residual(reynolds):
    # The decay rate is d^2 / Re: shift time to keep the field of order one at small Re.
    x = _points() * torch.tensor([min(1.0, reynolds), 1.0, 1.0, 1.0], dtype=torch.float64)
    flow = jet_by_autograd(lambda q: ethier_steinman(q, reynolds), x, SECOND_ORDER)
    size = float(flow[5].detach().abs().max()) / reynolds
    residual = navier_stokes.residuals(flow, 1.0, 1 / reynolds)
    assert float(residual.detach().abs().max()) < 1e-12 * max(size, 1.0)


def test_viscous_scaling_is_the_same_equation():
    """With pressure in mu U / L the momentum residual is Re times that of Eq. 33."""
    x = _points()
    inertial, viscous = (
        Scales(1e-4, 2e-4, 1e3, 1e-3, 1.0, pressure_scaling=scaling)
        for scaling in ("inertial", "viscous")
    )
    reynolds = inertial.reynolds
    flow = jet_by_autograd(lambda q: torch.sin(q @ torch.ones(4, 4).double()) + q, x, SECOND_ORDER)
    rescaled = flow.clone()
    rescaled[..., 3] *= inertial.pressure / viscous.pressure
    a = navier_stokes.residuals(flow, inertial.inertia, inertial.diffusion)
    b = navier_stokes.residuals(rescaled, viscous.inertia, viscous.diffusion)
    assert torch.allclose(a[:, :3] * reynolds, b[:, :3], rtol=1e-12)
    assert torch.equal(a[:, 3], b[:, 3])


def test_each_term_counts():
    """Momentum and mass of a polynomial flow, by hand."""
    x = _points(3)

    def flow(q):
        t, x, y, z = q.unbind(-1)
        return torch.stack([t * x * y, y * y + z, x * z, x * x + 3 * y], dim=-1)

    e = navier_stokes.residuals(jet_by_autograd(flow, x, SECOND_ORDER), 2.0, 0.5)
    t, x, y, z = x.unbind(-1)
    u, v, w = t * x * y, y * y + z, x * z
    zero = torch.zeros_like(t)
    expected = torch.stack(
        [
            2 * (x * y + u * t * y + v * t * x) + 2 * x,
            2 * (v * 2 * y + w) + 3 - 0.5 * 2,
            2 * (u * z + w * x) + zero,
            t * y + 2 * y + x,
        ],
        dim=1,
    )
    assert torch.allclose(e, expected, rtol=1e-12)
