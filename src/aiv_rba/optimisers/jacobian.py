"""Residuals linearised in the weights and biases of a network's linear layers.

A row depends on its own point only, so the gradient of a term's sum with respect to a layer's
output holds every row's own gradient g, and the derivative with respect to the layer's weights is
the product of g with the layer's input x: a sum of Kronecker products g_k x_k^T over the slices k
of the jet. Where a layer sees plain values there is one slice, and products with the Jacobian, its
Gram matrix among them, are cheaper from the factors than from the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from aiv_rba.networks.layers import Linear
from aiv_rba.optimisers.normal_equations import add_upper_gram


class Jacobian(Protocol):
    """Derivatives of residual rows (n, terms) with respect to P parameters.

    Parameters stand in the order weight, bias of each layer.
    """

    def dense(self) -> Tensor:
        """All derivatives (n terms, P)."""
        ...

    def times(self, step: Tensor) -> Tensor:
        """Change (n, terms) of the rows along a step (P,)."""
        ...

    def transposed_times(self, rows: Tensor) -> Tensor:
        """J^T rows (P,), from rows (n, terms)."""
        ...

    def add_gram(self, upper: Tensor) -> None:
        """Add J^T J to the upper triangle of a matrix (P, P); what lies below is not defined."""
        ...


class Linearised:
    """Residuals (n, terms), and the layers' inputs and outputs to differentiate them by."""

    def __init__(self, residuals: Callable[[], Tensor], layers: list[Linear]) -> None:
        # By layer, since a network may call its layers in another order than it lists them.
        seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

        def record(layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
            seen[layer] = (arguments[0].detach(), output)

        hooks = [layer.register_forward_hook(record) for layer in layers]
        self._residuals = residuals()
        for hook in hooks:
            hook.remove()
        inputs, self._outputs = zip(*(seen[layer] for layer in layers), strict=True)
        self._inputs: list[Tensor] = list(inputs)

    @property
    def residuals(self) -> Tensor:
        """Residuals (n, terms)."""
        return self._residuals.detach()

    def jacobian(self, factors: Tensor, room: Room | None = None) -> Jacobian:
        """Derivatives of factors (n, terms) times the residuals, in this room if there is one."""
        gradients = self._gradients(factors.expand_as(self._residuals))
        if all(len(x) == 1 for x in self._inputs):
            return KroneckerJacobian([g[0] for g in gradients], [x[0] for x in self._inputs])
        return DenseJacobian(_products(gradients, self._inputs, room or Room()))

    def _gradients(self, factors: Tensor) -> list[Tensor]:
        """Gradients (K, n, terms, O) of all rows with respect to the outputs of each layer."""
        columns = [
            torch.autograd.grad(e, self._outputs, factor, retain_graph=True, materialize_grads=True)
            for e, factor in zip(self._residuals.unbind(1), factors.unbind(1), strict=True)
        ]
        return [torch.stack(terms, dim=2) for terms in zip(*columns, strict=True)]


class Room:
    """Memory for tensors of which each is done with when the next one comes.

    The system would clear new pieces of memory of the size of a Jacobian at every step.
    """

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def take(self, like: Tensor, *shape: int) -> Tensor:
        """A tensor of this shape, with anything in it."""
        count = math.prod(shape)
        if self._memory is None or len(self._memory) < count:
            self._memory = like.new_empty(count)
        return self._memory[:count].view(shape)


def _products(gradients: list[Tensor], inputs: list[Tensor], room: Room) -> Tensor:
    """The Jacobian (n, terms, P), from gradients (K, n, terms, O) and inputs (K, n, I)."""
    _, n, terms, _ = gradients[0].shape
    counts = [g.shape[3] * (x.shape[2] + 1) for g, x in zip(gradients, inputs, strict=True)]
    # Filled part by part: to concatenate would take twice the memory.
    whole = room.take(gradients[0], n, terms, sum(counts))
    for g, x, part in zip(gradients, inputs, torch.split(whole, counts, dim=2), strict=True):
        shape = g.shape[3], x.shape[2]
        of_weights, of_bias = torch.split(part, [math.prod(shape), g.shape[3]], dim=2)
        for term in range(terms):
            place = of_weights[:, term].view(n, *shape)
            torch.bmm(g[:, :, term].permute(1, 2, 0), x.transpose(0, 1), out=place)
        of_bias.copy_(g[0])
    return whole


class DenseJacobian:
    """All derivatives (n, terms, P), one by one."""

    def __init__(self, derivatives: Tensor) -> None:
        self.derivatives = derivatives

    def dense(self) -> Tensor:
        """All derivatives (n terms, P)."""
        return self.derivatives.flatten(0, 1)

    def times(self, step: Tensor) -> Tensor:
        """Change (n, terms) of the rows along a step (P,)."""
        return self.derivatives @ step

    def transposed_times(self, rows: Tensor) -> Tensor:
        """J^T rows (P,), from rows (n, terms)."""
        return self.dense().T @ rows.flatten()

    def add_gram(self, upper: Tensor) -> None:
        """Add J^T J to the upper triangle of a matrix (P, P)."""
        add_upper_gram(self.dense(), upper)


class KroneckerJacobian:
    """Rows g x^T, with one gradient g of each layer's output and one input x of each layer.

    Parameters
    ----------
    gradients
        (n, terms, O) of each layer.
    inputs
        (n, I) of each layer.
    """

    def __init__(self, gradients: list[Tensor], inputs: list[Tensor]) -> None:
        self.gradients = gradients
        # The bias is the weight of an input that is one.
        self.inputs = [torch.cat([x, torch.ones_like(x[:, :1])], dim=1) for x in inputs]
        self.counts = [g.shape[2] * x.shape[1] for g, x in zip(gradients, self.inputs, strict=True)]

    def dense(self) -> Tensor:
        """All derivatives (n terms, P)."""
        gradients = [g.unsqueeze(0) for g in self.gradients]
        inputs = [x[:, :-1].unsqueeze(0) for x in self.inputs]
        return _products(gradients, inputs, Room()).flatten(0, 1)

    def times(self, step: Tensor) -> Tensor:
        """Change (n, terms) of the rows along a step (P,)."""
        changes = []
        for g, x, part in zip(
            self.gradients, self.inputs, torch.split(step, self.counts), strict=True
        ):
            outputs = g.shape[2]
            weight, bias = part[:-outputs].view(outputs, -1), part[-outputs:]
            moved = x @ torch.cat([weight, bias.unsqueeze(1)], dim=1).T
            changes.append((g @ moved.unsqueeze(2)).squeeze(2))
        return torch.stack(changes).sum(0)

    def transposed_times(self, rows: Tensor) -> Tensor:
        """J^T rows (P,), from rows (n, terms)."""
        parts = []
        for g, x in zip(self.gradients, self.inputs, strict=True):
            whole = (rows.unsqueeze(1) @ g).squeeze(1).T @ x
            parts += [whole[:, :-1].flatten(), whole[:, -1]]
        return torch.cat(parts)

    def add_gram(self, upper: Tensor) -> None:
        """Add J^T J to the upper triangle of a matrix (P, P).

        The block of two layers is the sum over points of (sum over terms of g g'^T) times x x'^T
        in all combinations of their elements: one matrix product, however many terms there are.
        """
        layers = list(zip(self.gradients, self.inputs, _starts(self.counts), strict=True))
        for number, (g, x, first) in enumerate(layers):
            for h, y, second in layers[number:]:
                here, there = _active(g), _active(h)
                if g is h:
                    block = _own_block(g[..., here], x)
                else:
                    block = _block(g[..., here], h[..., there], x, y)
                for rows, i in _weights_and_bias(first, g, x):
                    for columns, j in _weights_and_bias(second, h, y):
                        values = block[:, i, :, j]
                        shape = (g.shape[2], values.shape[1], h.shape[2], values.shape[3])
                        upper[rows, columns].view(shape)[here, :, there] += values


def _starts(counts: list[int]) -> list[int]:
    return [sum(counts[:number]) for number in range(len(counts))]


def _weights_and_bias(start: int, gradients: Tensor, inputs: Tensor) -> list[tuple[slice, slice]]:
    """Numbers of a layer's weights among the parameters, and of their inputs; then of the bias."""
    outputs, end = gradients.shape[2], start + gradients.shape[2] * (inputs.shape[1] - 1)
    return [
        (slice(start, end), slice(None, -1)),
        (slice(end, end + outputs), slice(-1, None)),
    ]


def _active(gradients: Tensor) -> slice:
    """From the first to the last output that any of the rows (n, terms, O) depends on."""
    found = gradients.ne(0).flatten(0, 1).any(0).nonzero()[:, 0].tolist()
    return slice(found[0], found[-1] + 1) if found else slice(0, 0)


def _block(g: Tensor, h: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(O, I, O', I') block of two layers with gradients (n, terms, O) and inputs (n, I)."""
    outer = (g.transpose(1, 2) @ h).flatten(1)
    inner = (x.unsqueeze(2) * y.unsqueeze(1)).flatten(1)
    block = (outer.T @ inner).view(g.shape[2], h.shape[2], x.shape[1], y.shape[1])
    return block.transpose(1, 2)


def _own_block(g: Tensor, x: Tensor) -> Tensor:
    """(O, I, O, I) block of a layer with itself: a quarter of the work, by its symmetries."""
    (o, p, outputs), (i, j, inputs) = _pairs(g.shape[2], g.device), _pairs(x.shape[1], g.device)
    outer = (g[..., o] * g[..., p]).sum(1)
    block = (outer.T @ (x[:, i] * x[:, j]))[outputs][..., inputs]
    return block.transpose(1, 2)


def _pairs(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """First and second of all unordered pairs, and the number (count, count) of each pair."""
    first, second = torch.triu_indices(count, count, device=device)
    number = torch.empty(count, count, dtype=torch.int64, device=device)
    number[first, second] = number[second, first] = torch.arange(len(first), device=device)
    return first, second, number
