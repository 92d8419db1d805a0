"""SOAP: against its definition, resumed, and where weights are coupled."""

import io

import numpy as np
import torch

from aiv_rba.optimisers.soap import DECAY, RIDGE, SMALLEST, EigenbasisAdam

RATE = 0.1


def gradients(steps):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(steps, 5, 3, generator=generator, dtype=torch.float64)


def descend(optimiser, parameter, steps):
    for gradient in steps:
        parameter.grad = gradient.clone()
        optimiser.step()


def test_steps_are_those_of_the_definition():
    """With eigenvectors themselves, where renewals have found them."""
    parameter = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    optimiser = EigenbasisAdam([parameter], RATE, renewal=1)
    # The same gradient again and again, so that orthogonal iterations converge.
    first = gradients(1)[0]
    descend(optimiser, parameter, [first] * 60)
    last, before = gradients(2)[1], parameter.detach().clone()
    square = optimiser.state[parameter]["square"].clone()
    left, right = (basis.clone() for basis in optimiser.state[parameter]["bases"])
    descend(optimiser, parameter, [last])

    u, s, vt = np.linalg.svd(first.numpy())
    np.testing.assert_allclose(np.abs(u[:, :3].T @ left[:, :3].numpy()), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.abs(vt @ right.numpy()), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(square.diagonal() / (1 - DECAY**60), s**2, rtol=0.1)
    mean = DECAY * (1 - DECAY**60) * first + (1 - DECAY) * last
    square = DECAY * square + (1 - DECAY) * (left.T @ last @ right) ** 2
    correction = 1 - DECAY**61
    turned = left.T @ mean @ right / correction / ((square / correction).sqrt() + SMALLEST)
    torch.testing.assert_close(parameter.detach(), before - RATE * left @ turned @ right.T)


def test_directions_without_a_gradient_keep_their_place():
    parameter = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    optimiser = EigenbasisAdam([parameter], RATE, renewal=1)
    gradient = torch.zeros(5, 3, dtype=torch.float64)
    gradient[0, 0] = 1
    descend(optimiser, parameter, [gradient] * 3)
    for basis in optimiser.state[parameter]["bases"]:
        torch.testing.assert_close(basis.abs(), torch.eye(len(basis), dtype=torch.float64))
    assert RIDGE > 0


def test_what_is_no_matrix_moves_as_with_adam():
    one, other = (torch.nn.Parameter(torch.ones(4, dtype=torch.float64)) for _ in range(2))
    adam = torch.optim.Adam([other], lr=RATE, betas=(DECAY, DECAY), eps=SMALLEST)
    steps = gradients(4)[:, :4, 0]
    descend(EigenbasisAdam([one], RATE, renewal=2), one, steps)
    descend(adam, other, steps)
    torch.testing.assert_close(one, other)


def test_a_resumed_run_is_bit_identical():
    steps = gradients(9)
    whole = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    descend(EigenbasisAdam([whole], RATE, renewal=2), whole, steps)
    part = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    first = EigenbasisAdam([part], RATE, renewal=2)
    descend(first, part, steps[:5])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = EigenbasisAdam([part], RATE, renewal=2)
    second.load_state_dict(torch.load(file, weights_only=True))
    descend(second, part, steps[5:])
    assert torch.equal(part, whole)


def test_coupled_weights_are_found_where_adam_is_slow():
    """|A W B - C|^2 with ill-conditioned A and B in turned axes."""
    generator = torch.Generator().manual_seed(0)

    def stretched():
        turn = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))[0]
        return turn @ torch.logspace(0, -1, 8, dtype=torch.float64).diag() @ turn.T

    a, b = stretched(), stretched()
    target = a @ torch.randn(8, 8, generator=generator, dtype=torch.float64) @ b

    def remaining(make):
        weight = torch.nn.Parameter(torch.zeros(8, 8, dtype=torch.float64))
        optimiser = make([weight])
        for step in range(500):
            for group in optimiser.param_groups:
                group["lr"] = 0.05 * 0.99**step
            optimiser.zero_grad()
            loss = (a @ weight @ b - target).square().sum()
            loss.backward()
            optimiser.step()
        return loss.item()

    adam = remaining(lambda p: torch.optim.Adam(p, betas=(DECAY, DECAY)))
    assert remaining(lambda p: EigenbasisAdam(p, 0.05, renewal=10)) < adam / 10
