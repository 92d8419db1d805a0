"""Checkpoints: everything that a run needs to continue as if it had not stopped."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from aiv_rba.errors import RankError, UserError
from aiv_rba.files.formats import atomic_path
from aiv_rba.networks.torch_file import load_plain, save_plain
from aiv_rba.problem import Blocks
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.terminal import warn

KIND = "checkpoint"
KEEP = 2
BEST = "best.pt"


class Checkpoints:
    """The last checkpoints of a training and the best one, in a folder of its own.

    A thread of the first rank writes them while training continues. Leaving the context waits for
    this thread, also after an error. `best.pt` is a link to the one with the lowest score.

    Parameters
    ----------
    folder
        Its name says which training they belong to.
    ranks
        This process among its peers.
    """

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self.folder = folder
        self.ranks = ranks
        self.best_score, self.best_step = float("inf"), 0
        self.skipped: set[Path] = set()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.finish()

    def save(
        self, step: int, content: dict[str, Any], multipliers: Blocks, *, score: float
    ) -> None:
        """Take a copy of the state after a step and start to write it; every rank calls this.

        Multipliers are joined, so that a run can resume with another number of ranks. If writing
        fails, a line on stderr says so and training continues: the checkpoint before stays valid.
        """
        whole = {block: self.ranks.join(values) for block, values in multipliers.items()}
        if self.ranks.rank != 0:
            return
        self.finish()
        if score < self.best_score:
            self.best_score, self.best_step = score, step
        header = {
            "training": self.folder.name,
            "step": step,
            "best": [self.best_score, self.best_step],
            "multipliers": whole,
        }
        self._writing = self._thread.submit(self._write, step, _copy(header | content))

    def finish(self) -> None:
        """Wait for the checkpoint that is being written, if there is one."""
        if self._writing is None:
            return
        try:
            self._writing.result()
        except UserError as error:
            line = f"aiv-rba train: {error}; the checkpoint before it stays valid"
            warn(line)
        self._writing = None

    def load(self) -> dict[str, Any] | None:
        """The newest readable checkpoint, the same on all ranks; None without one.

        A checkpoint that is damaged or belongs to another training is reported on stderr and left
        where it is, and the one before it is tried.

        Raises
        ------
        RankError
            If this rank cannot read what the first one can.
        """
        saved = self._newest() if self.ranks.rank == 0 else None
        chosen = torch.tensor([saved["step"] if saved else -1], device=self.ranks.device)
        step = int(self.ranks.max(chosen))
        if step < 0:
            return None
        if saved is None:
            try:
                saved = self._read(self._path(step))
            except UserError as error:
                raise RankError(
                    f"rank {self.ranks.rank}: {error}; expected a folder that all nodes share"
                ) from None
        self.best_score, self.best_step = saved["best"]
        return saved

    def skip(self, step: int) -> None:
        """Never load the checkpoint of this step; it is left where it is."""
        self.skipped.add(self._path(step))

    def _newest(self) -> dict[str, Any] | None:
        for path in self._sound():
            try:
                return self._read(path)
            except UserError as error:
                line = f"aiv-rba train: {error}; trying the checkpoint before it"
                warn(line)
                self.skipped.add(path)
        return None

    def _read(self, path: Path) -> dict[str, Any]:
        saved = load_plain(path, KIND)
        if saved.get("training") != self.folder.name:
            found = saved.get("training")
            raise UserError(
                f"{path}: a checkpoint of training {found!r}, expected {self.folder.name!r}"
            )
        return saved

    def _write(self, step: int, content: dict[str, Any]) -> None:
        path = self._path(step)
        save_plain(path, KIND, content)
        self.skipped.discard(path)
        if self.best_step == step:
            with atomic_path(self.folder / BEST, link=True) as temporary:
                temporary.symlink_to(path.name)
        for old in self._sound()[KEEP:]:
            if old != self._path(self.best_step):
                old.unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"step_{step:08d}.pt"

    def _sound(self) -> list[Path]:
        """Those not skipped, the newest first."""
        return sorted(set(self.folder.glob("step_*.pt")) - self.skipped, reverse=True)


def _copy(tree: Any) -> Any:
    """The same nest of containers with copies of its tensors, which training does not change."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True)
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_copy(value) for value in tree]
    return tree
