"""Random samples of what the inferred flow may be off by, and their file ``deviations.pt``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from aiv_rba.jets import Order
from aiv_rba.networks.layers import Linear
from aiv_rba.networks.torch_file import load_plain, save_plain
from aiv_rba.problems.velocimetry.network import FlowNetwork

KIND = "deviations"
# Buffer of the flow network that holds the strengths of the wall function.
STRENGTHS = "body.distance.strengths"
# Samples whose derivatives are held at a time.
SAMPLES_AT_ONCE = 16


class Deviations(Protocol):
    """Samples of the difference of the true flow from the inferred one."""

    @property
    def method(self) -> str:
        """Either "curvature" or "ensemble"."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """Kinds of errors that are kept apart; none for an ensemble."""
        ...

    def jets(
        self,
        network: FlowNetwork,
        positions: Tensor,
        times: Tensor,
        *,
        source: str | None = None,
        order: Order = 2,
    ) -> Tensor:
        """Jets (S, T, 6, N, 4) of S samples at positions (N, 3) and times (T,), nondimensional.

        With a `source`, what it alone contributes. Of a lower `order` they have 5 slices or 1. In
        single precision, which is far better than the samples themselves, on the network's device.
        """
        ...

    def content(self) -> dict[str, Any]:
        """Tensors and plain values for the file."""
        ...


@dataclass(frozen=True)
class CurvatureSamples:
    """Deviations to first order in those of parameters and wall.

    Attributes
    ----------
    parameters
        (S, P) deviations of the parameters by kind of error.
    strengths
        (S, sources) deviations of the wall function's strengths; None if the wall is taken as
        given.
    amplitude
        Deviations of a factor of each coefficient of the flow in time (S, modes); of the whole
        flow (S, 1) if the network has no coefficients.
    """

    parameters: Mapping[str, Tensor]
    strengths: Tensor | None
    amplitude: Tensor

    @property
    def method(self) -> str:
        """How they are found."""
        return "curvature"

    @property
    def sources(self) -> tuple[str, ...]:
        """Kinds of errors that are kept apart."""
        return (*self.parameters, "amplitude")

    def jets(
        self,
        network: FlowNetwork,
        positions: Tensor,
        times: Tensor,
        *,
        source: str | None = None,
        order: Order = 2,
    ) -> Tensor:
        """Jets (S, T, 6, N, 4) of S samples at positions (N, 3) and times (T,)."""
        network, positions = copy.deepcopy(network).float(), positions.float()
        if not network.has_coefficients:
            return self._of(_Series(network, positions, times, order), source)
        found = self._of(_Coefficients(network, positions, order), source)
        return torch.stack(list(network.series(found, times.tolist())), dim=1)

    def _of(self, function: _Function, source: str | None) -> Tensor:
        """Deviations (S, ...) of what depends on the parameters and the wall."""
        moved = [name for name in self.parameters if source in (None, name)]
        found = function.positions.new_zeros(())
        if moved:
            total = torch.stack([self.parameters[name] for name in moved]).sum(0)
            tangents = _by_parameter(function, total.to(found))
            if self.strengths is not None and "wall" in moved:
                tangents[f"network.{STRENGTHS}"] = self.strengths.to(found)
            found = _derivatives(function, tangents)
        if source in (None, "amplitude"):
            with torch.no_grad():
                flow = function()
            found = found + self.amplitude.to(flow)[:, None, None, None] * flow
        return found

    def content(self) -> dict[str, Any]:
        """Tensors for the file."""
        return {
            "parameters": {name: values.float() for name, values in self.parameters.items()},
            "strengths": self.strengths,
            "amplitude": self.amplitude,
        }


@dataclass(frozen=True)
class EnsembleMembers:
    """Deviations of networks that were trained anew, on tracks drawn with replacement.

    Attributes
    ----------
    members
        State of each network.
    """

    members: list[dict[str, Tensor]]

    @property
    def method(self) -> str:
        """How they are found."""
        return "ensemble"

    @property
    def sources(self) -> tuple[str, ...]:
        """None is kept apart."""
        return ()

    def jets(
        self,
        network: FlowNetwork,
        positions: Tensor,
        times: Tensor,
        *,
        source: str | None = None,
        order: Order = 2,
    ) -> Tensor:
        """Jets (S, T, 6, N, 4) of S members less those of the network."""
        # Differences of large numbers: these are in double precision.
        other = copy.deepcopy(network)
        found = []
        with torch.no_grad():
            flow = _Series(network, positions, times, order)()
            for member in self.members:
                other.load_state_dict(member)
                found.append(_Series(other, positions, times, order)() - flow)
        return torch.stack(found)

    def content(self) -> dict[str, Any]:
        """Tensors for the file."""
        return {"members": self.members}


class _Function(nn.Module):
    """Jets that a network gives at fixed positions, as a function of its parameters."""

    def __init__(self, network: FlowNetwork, positions: Tensor, order: Order) -> None:
        super().__init__()
        self.network = network
        self.positions = positions
        self.order = order


class _Coefficients(_Function):
    """Jets (5, N, 4, modes) of the coefficients in time; fewer slices of a lower order."""

    def forward(self) -> Tensor:
        """Jets (5, N, 4, modes)."""
        return self.network.coefficients(self.positions, self.order)


class _Series(_Function):
    """Jets (T, 6, N, 4) at fixed times; fewer slices of a lower order."""

    def __init__(
        self, network: FlowNetwork, positions: Tensor, times: Tensor, order: Order
    ) -> None:
        super().__init__(network, positions, order)
        self.times = times.tolist()

    def forward(self) -> Tensor:
        """Jets (T, 6, N, 4)."""
        return torch.stack(list(self.network.jets(self.positions, self.times, self.order)))


def _by_parameter(function: _Function, vectors: Tensor) -> dict[str, Tensor]:
    """Vectors (S, P), in the order of Gauss-Newton's parameters, by name of the parameter."""
    names = {module: name for name, module in function.named_modules()}
    layers = [module for module in function.modules() if isinstance(module, Linear)]
    found, start = {}, 0
    for layer in layers:
        for name in ("weight", "bias"):
            parameter = getattr(layer, name)
            part = vectors[:, start : start + parameter.numel()]
            found[f"{names[layer]}.{name}"] = part.reshape(len(vectors), *parameter.shape)
            start += parameter.numel()
    return found


def _derivatives(function: _Function, tangents: dict[str, Tensor]) -> Tensor:
    """Derivatives (S, ...) of a function along S changes of parameters and buffers."""
    state = dict(function.named_parameters()) | dict(function.named_buffers())
    here = {name: state[name].detach() for name in tangents}

    def evaluate(at: dict[str, Tensor]) -> Tensor:
        found: Tensor = functional_call(function, at, ())
        return found

    def along(change: dict[str, Tensor]) -> Tensor:
        derivative: Tensor = jvp(evaluate, (here,), (change,))[1]
        return derivative

    return vmap(along, chunk_size=SAMPLES_AT_ONCE)(tangents).detach()


def save_deviations(path: Path, deviations: Deviations | None, identity: str) -> None:
    """Write ``deviations.pt`` atomically, for the case of this identity; None if there are none."""
    content: dict[str, Any] = {"method": "none", "identity": identity}
    if deviations is not None:
        content |= {"method": deviations.method, **deviations.content()}
    save_plain(path, KIND, content)


def load_deviations(path: Path) -> tuple[Deviations | None, str]:
    """Read ``deviations.pt``: the samples, None if there are none, and the case's identity.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another format or version.
    """
    content = load_plain(path, KIND)
    identity = str(content["identity"])
    if content["method"] == "none":
        return None, identity
    if content["method"] == "ensemble":
        return EnsembleMembers(content["members"]), identity
    parameters = {name: values.double() for name, values in content["parameters"].items()}
    samples = CurvatureSamples(parameters, content["strengths"], content["amplitude"])
    return samples, identity
