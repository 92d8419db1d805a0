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
from aiv_rba.store import VERSIONS, WallFunction, atomic_path

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
    function = model.network.wall_function
    content = {
        "settings": asdict(settings),
        "state": model.network.state_dict(),
        "lower": (-1 - normalise.shift) / normalise.scale,
        "upper": (1 - normalise.shift) / normalise.scale,
        "wall_function": None if function is None else _plain(function),
        "scales": model.scales.to_dict(),
        "identity": model.identity,
        "metadata": model.metadata,
    }
    save_plain(path, KIND, content)


def _plain(function: WallFunction) -> dict[str, Any]:
    """The wall function as tensors and plain values."""
    values = asdict(function)
    arrays = {name: torch.from_numpy(values[name]) for name in ("sources", "strengths")}
    return values | arrays


def load_model(path: Path) -> Model:
    """Read ``model.pt``.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another format or version.
    """
    content = load_plain(path, KIND)
    saved = content["wall_function"]
    function = None
    if saved is not None:
        arrays = {name: saved[name].numpy() for name in ("sources", "strengths")}
        function = WallFunction(**(saved | arrays))
    network = FlowNetwork(
        config.Network(**content["settings"]),
        content["lower"].double(),
        content["upper"].double(),
        function,
    )
    network.load_state_dict(content["state"])
    scales = Scales.from_dict(content["scales"])
    return Model(network.double().eval(), scales, content["identity"], content["metadata"])


def save_plain(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a torch file ``aiv_rba/<kind>`` of tensors and plain values, through to the disk.

    The file is written whole or not at all.

    Raises
    ------
    UserError
        If the folder cannot be written to or the disk is full.
    """
    content = {"format": f"aiv_rba/{kind}", "version": VERSIONS[kind]} | content
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch covers up an error of the disk with one of its own.
            raise error.__context__ or error from None
        file.flush()
        os.fsync(file.fileno())


def load_plain(path: Path, kind: str) -> dict[str, Any]:
    """Load a torch file ``aiv_rba/<kind>`` of tensors and plain values, of this version.

    Raises
    ------
    UserError
        If the file is missing, damaged, or of another format or version.
    """
    expected = f"aiv_rba/{kind}"
    if not Path(path).is_file():
        raise UserError(f"{path}: not found, expected an {expected} file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # torch.load raises half a dozen unrelated types for a damaged or foreign file.
        raise UserError(f"{path}: not a readable torch file, expected {expected}") from None
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != expected:
        raise UserError(f"{path}: format is {found!r}, expected {expected!r}")
    if content["version"] != VERSIONS[kind]:
        found = content["version"]
        raise UserError(f"{path}: format version is {found}, expected {VERSIONS[kind]}")
    return dict(content)
