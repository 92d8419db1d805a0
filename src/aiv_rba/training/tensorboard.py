"""The rows of the history as scalars that TensorBoard shows; optional."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aiv_rba.errors import UserError


@contextmanager
def event_file(folder: Path | None) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A function that writes a row of the history to an event file; without a folder, nowhere.

    Raises
    ------
    UserError
        If TensorBoard is not installed.
    """
    if folder is None:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard: TensorBoard is not installed, expected the extra 'tensorboard'"
        ) from None
    with SummaryWriter(folder) as writer:

        def write(row: Mapping[str, float]) -> None:
            for name, value in row.items():
                writer.add_scalar(name, value, int(row["step"]))

        yield write
