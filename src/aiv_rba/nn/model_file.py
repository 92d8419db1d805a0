"""The trained network on disk, ``model.pt``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from aiv_rba import config
from aiv_rba.errors import UserError
from aiv_rba.nn.flow import FlowNetwork
from aiv_rba.scales import Scales
from aiv_rba.store import FORMAT_VERSION, atomic_path

FORMAT = "aiv_rba/model"


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
    metadata
        How it was trained: seconds, world_size, iterations, seed, weighting, optimiser, ...
    """

    network: FlowNetwork
    scales: Scales
    identity: str
    metadata: dict[str, Any]


def save_model(path: Path, model: Model, settings: config.Network) -> None:
    """Write ``model.pt`` atomically."""
    normalise = model.network.normalise
    content = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "settings": asdict(settings),
        "state": model.network.state_dict(),
        "lower": (-1 - normalise.shift) / normalise.scale,
        "upper": (1 - normalise.shift) / normalise.scale,
        "scales": model.scales.to_dict(),
        "identity": model.identity,
        "metadata": model.metadata,
    }
    save_plain(path, content)


def load_model(path: Path) -> Model:
    """Read ``model.pt``.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another format or version.
    """
    content = load_plain(path, FORMAT)
    network = FlowNetwork(
        config.Network(**content["settings"]),
        content["lower"].double(),
        content["upper"].double(),
    )
    network.load_state_dict(content["state"])
    scales = Scales.from_dict(content["scales"])
    return Model(network.double().eval(), scales, content["identity"], content["metadata"])


def save_plain(path: Path, content: dict[str, Any]) -> None:
    """Write a torch file of tensors and plain values atomically, through to the disk.

    Raises
    ------
    UserError
        If the folder cannot be written to or the disk is full.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch covers up an error of the disk with one of its own.
            raise error.__context__ or error from None
        file.flush()
        os.fsync(file.fileno())


def load_plain(path: Path, kind: str) -> dict[str, Any]:
    """Load a torch file of tensors and plain values, of the given format and this version.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another format or version.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found, expected an {kind} file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # torch.load raises half a dozen unrelated types for a damaged or foreign file.
        raise UserError(f"{path}: not a readable torch file, expected {kind}") from None
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != kind:
        raise UserError(f"{path}: format is {found!r}, expected {kind!r}")
    if content["version"] != FORMAT_VERSION:
        found = content["version"]
        raise UserError(f"{path}: format version is {found}, expected {FORMAT_VERSION}")
    return dict(content)
