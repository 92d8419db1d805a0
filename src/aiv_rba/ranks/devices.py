"""Ranks and devices: how many ranks this machine takes, and the device of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from aiv_rba.errors import UserError
from aiv_rba.ranks.environment import find_rank, find_threads
from aiv_rba.settings.ranks import Device
from aiv_rba.settings.types import Auto


def ranks_to_start(
    wanted: int | Auto, device: Device, cores: int, environment: Mapping[str, str]
) -> int:
    """Ranks that a command starts on this machine; one where a launcher has started several.

    Parameters
    ----------
    wanted
        Their number, or auto: one for each visible GPU, or for each core where no GPU is used.
    device
        Device that is asked for.
    cores
        Processor cores; a rank takes OMP_NUM_THREADS of them, or one.
    environment
        Environment of this process.

    Raises
    ------
    UserError
        If a launcher has started ranks already, a GPU is asked for and none is visible, or there
        are fewer GPUs than ranks.
    """
    _, size, _ = find_rank(environment)
    if size > 1 and wanted != "auto":
        raise UserError(f"--ranks {wanted}: found {size} ranks of a launcher, expected auto")
    if size > 1:
        return 1
    slots = max(1, cores // (find_threads(environment) or 1))
    return count_ranks(wanted, device, torch.cuda.device_count(), slots)


def count_ranks(wanted: int | Auto, device: Device, gpus: int, slots: int) -> int:
    """Number of ranks that suits the GPUs that are visible, or cores for so many ranks."""
    on_gpus = _uses_gpus(device, gpus)
    if wanted == "auto":
        return gpus if on_gpus else slots
    if on_gpus and wanted > gpus:
        raise UserError(
            f"--ranks {wanted}: found {gpus} visible GPU(s), expected one for each rank: "
            "--ranks auto starts a rank for each GPU, --device cpu uses none"
        )
    return wanted


def find_device(device: Device, gpus: int, local: int) -> torch.device:
    """Device of a rank.

    A launcher shows a rank all GPUs of its node, and it takes the one with its number, or shows
    it one of its own.

    Parameters
    ----------
    device
        Device that is asked for.
    gpus
        GPUs that this rank sees.
    local
        Its number among the ranks of its node.

    Raises
    ------
    UserError
        If a GPU is asked for and none is visible, or it is not clear which one is this rank's.
    """
    if not _uses_gpus(device, gpus):
        return torch.device("cpu")
    if local >= gpus > 1:
        raise UserError(
            f"launch environment: local rank {local} sees {gpus} GPUs, expected one for each rank "
            "of its node, or one of its own: start fewer ranks, or use --device cpu"
        )
    return torch.device("cuda", local if gpus > 1 else 0)


def _uses_gpus(device: Device, gpus: int) -> bool:
    if device == "cuda" and gpus == 0:
        raise UserError("device: found cuda, but no GPU is visible; expected auto or cpu")
    return device != "cpu" and gpus > 0


@dataclass(frozen=True)
class Place:
    """Where a rank computes, or why it cannot.

    Attributes
    ----------
    host
        Name of its node.
    gpu
        The identity of its GPU in all of the node, where it has one.
    mistake
        What is wrong with its device, if anything.
    """

    host: str
    gpu: str | None = None
    mistake: str | None = None


def check_places(places: Sequence[Place]) -> None:
    """Check that the ranks, in their order, compute on GPUs of their own or all on cores.

    Raises
    ------
    UserError
        If one of them cannot, two share a GPU, or only some have one; the same on all ranks.
    """
    owner: dict[tuple[str, str], int] = {}
    for rank, place in enumerate(places):
        if place.mistake is not None:
            raise UserError(f"rank {rank} on {place.host}: {place.mistake}")
        if (place.gpu is None) != (places[0].gpu is None):
            found = ("no GPU", "a GPU") if place.gpu is None else ("a GPU", "no GPU")
            raise UserError(
                f"rank {rank} on {place.host} has {found[0]} and rank 0 on {places[0].host} has "
                f"{found[1]}, expected one for each rank, or --device cpu"
            )
        if place.gpu is not None:
            other = owner.setdefault((place.host, place.gpu), rank)
            if other != rank:
                raise UserError(
                    f"ranks {other} and {rank} have the same GPU of {place.host}, expected one for "
                    "each rank: start fewer ranks, or use --device cpu"
                )
