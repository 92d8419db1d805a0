"""Where the ranks meet: a store of keys, through which they agree on their devices."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from datetime import timedelta

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from aiv_rba.errors import RankError, UserError, first_line
from aiv_rba.ranks.devices import Place, check_places, find_device
from aiv_rba.settings.ranks import Device


def meet(rank: int, size: int, address: tuple[str, int], timeout: timedelta) -> TCPStore:
    """The store that all ranks share, which the first one or its launcher keeps.

    Raises
    ------
    RankError
        If it is not reached in time.
    """
    host, port = address
    try:
        store, _, _ = next(rendezvous(f"tcp://{host}:{port}", rank, size, timeout=timeout))
    except (RuntimeError, ValueError) as error:
        raise RankError(
            f"rank {rank} of {size} could not join the others at {host}:{port} within "
            f"{timeout.total_seconds():g} s: {first_line(error)}"
        ) from error
    assert isinstance(store, TCPStore)
    return store


def agree_on_devices(
    store: TCPStore, rank: int, size: int, local: int, wanted: Device
) -> torch.device:
    """Device of this rank, once all ranks have said where they compute and nothing is wrong.

    Raises
    ------
    UserError
        If the device of any rank does not fit; the same on all ranks.
    """
    host = socket.gethostname()
    device = torch.device("cpu")
    place = Place(host)
    try:
        device = own_device(wanted, local)
        if device.type == "cuda":
            place = Place(host, str(torch.cuda.get_device_properties(device).uuid))
    except UserError as error:
        place = Place(host, mistake=str(error))
    store.set(f"aiv_rba/place/{rank}", json.dumps(asdict(place)))
    try:
        told = store.multi_get([f"aiv_rba/place/{other}" for other in range(size)])
    except RuntimeError as error:
        raise RankError(
            f"rank {rank} of {size} did not hear from all others in time: {first_line(error)}"
        ) from error
    check_places([Place(**json.loads(text)) for text in told])
    return device


def own_device(wanted: Device, local: int) -> torch.device:
    """Device of a rank by what it sees itself."""
    device = find_device(wanted, torch.cuda.device_count(), local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
