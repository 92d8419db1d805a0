"""Which rank this process is, by the environment that its launcher sets."""

from __future__ import annotations

from collections.abc import Mapping

from aiv_rba.errors import UserError

# Rank, world size and local rank as torchrun, Open MPI and Slurm spell them.
_LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)


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
