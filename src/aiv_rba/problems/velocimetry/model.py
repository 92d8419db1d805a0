"""The trained network on disk, ``model.pt``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiv_rba.files.case import WallFunction
from aiv_rba.networks.torch_file import load_plain, save_plain
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.scales import Scales
from aiv_rba.settings import FlowNetworkSettings

KIND = "model"


@dataclass(frozen=True)
class Model:
    """A trained network and what it needs to be used.

    Attributes
    ----------
    network
        Nondimensional flow, double precision.
    scales
        Scales of the case that it was trained on.
    identity
        Hash of that case.
    depth_spread
        Standard deviation of the depths of particles about those that their rows state,
        nondimensional: that of a light sheet over the root of twelve.
    raised
        By how much the fit of the amplitudes when the training had ended raised the main component
        on the tracks; zero if there was none.
    """

    network: FlowNetwork
    scales: Scales
    identity: str
    depth_spread: float = 0.0
    raised: float = 0.0


def save_model(path: Path, model: Model, settings: FlowNetworkSettings) -> None:
    """Write ``model.pt`` atomically."""
    normalise = model.network.normalise
    function = model.network.wall_function
    content = {
        "settings": asdict(settings),
        "state": model.network.state_dict(),
        "lower": (-1 - normalise.shift) / normalise.scale,
        "upper": (1 - normalise.shift) / normalise.scale,
        "wall_function": None if function is None else _plain(function),
        "scales": model.scales.to_dict(),
        "identity": model.identity,
        "depth_spread": model.depth_spread,
        "raised": model.raised,
    }
    save_plain(path, KIND, content)


def _plain(function: WallFunction) -> dict[str, Any]:
    """The wall function as tensors and plain values."""
    values = asdict(function)
    return {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


def load_model(path: Path, device: torch.device | str = "cpu") -> Model:
    """Read ``model.pt``; its network is on the device.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another format or version.
    """
    content = load_plain(path, KIND)
    saved = content["wall_function"]
    function = None
    if saved is not None:
        values: dict[str, Any] = {
            name: value.numpy() if isinstance(value, torch.Tensor) else value
            for name, value in saved.items()
        }
        function = WallFunction(**values)
    scales = Scales.from_dict(content["scales"])
    network = FlowNetwork(
        FlowNetworkSettings(**content["settings"]),
        content["lower"].double(),
        content["upper"].double(),
        function,
        scales.flow,
    )
    network.load_state_dict(content["state"])
    network = network.double().eval().to(device)
    known = {name: content[name] for name in ("identity", "depth_spread", "raised")}
    return Model(network, scales, **known)
