"""Which rank this process is, by the environment that its launcher sets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiv_rba.errors import UserError

# Rank, world size and local rank as torchrun, Open MPI and Slurm spell them.
_LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)
# Ports for the ranks of Slurm's steps, below those that the kernel gives away by itself.
_FIRST_PORT, _PORTS = 20_000, 10_000


def find_rank(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Rank, world size and local rank; (0, 1, 0) without a launcher.

    Raises
    ------
    UserError
        If the launcher's variables are not whole numbers that fit together.
    """
    for names in _LAUNCHERS:
        if all(name in environment for name in names):
            try:
                rank, size, local = (int(environment[name]) for name in names)
            except ValueError:
                found = ", ".join(f"{name}={environment[name]!r}" for name in names)
                raise UserError(f"launch environment: {found}, expected whole numbers") from None
            if size < 1:
                raise UserError(f"launch environment: {names[1]}={size}, expected at least 1")
            if not 0 <= rank < size:
                raise UserError(
                    f"launch environment: {names[0]}={rank}, expected 0 to {size - 1} "
                    f"for {names[1]}={size}"
                )
            return rank, size, local
    return 0, 1, 0


def find_address(environment: Mapping[str, str], size: int) -> tuple[str, int]:
    """Host and port at which the ranks meet, on the node of the first one.

    MASTER_ADDR and MASTER_PORT say so. Where Slurm started the ranks and they are not set, it is
    the first node of the step, with a port by the numbers of job and step.

    Raises
    ------
    UserError
        If a variable is missing, or the port is not the number of one.
    """
    wanted = dict(environment)
    if "SLURM_STEP_NODELIST" in wanted:
        wanted = {
            "MASTER_ADDR": _first_host(wanted["SLURM_STEP_NODELIST"]),
            "MASTER_PORT": str(_step_port(wanted)),
        } | wanted
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in wanted:
            raise UserError(f"launch environment: {name} is not set, needed for {size} ranks")
    port = wanted["MASTER_PORT"]
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"launch environment: MASTER_PORT={port!r}, expected 1 to {2**16 - 1}")
    return wanted["MASTER_ADDR"], int(port)


def find_threads(environment: Mapping[str, str]) -> int | None:
    """Threads of a rank by OMP_NUM_THREADS, where that is set.

    Raises
    ------
    UserError
        If it is not a whole number from 1.
    """
    wanted = environment.get("OMP_NUM_THREADS")
    if wanted is not None and (not wanted.isdecimal() or int(wanted) < 1):
        raise UserError(f"OMP_NUM_THREADS: found {wanted!r}, expected a whole number from 1")
    return None if wanted is None else int(wanted)


def _first_host(nodes: str) -> str:
    """The first of a list as Slurm writes it: a12 of a[12-14,20],b3."""
    return re.sub(r"\[(\d+)[^]]*\]", r"\1", nodes).split(",")[0]


def _step_port(environment: Mapping[str, str]) -> int:
    numbers = (environment.get(name, "0") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return _FIRST_PORT + sum(int(number) for number in numbers) % _PORTS
