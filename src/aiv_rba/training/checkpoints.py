"""Checkpoints: everything that a run needs to continue as if it had not stopped."""

from __future__ import annotations

import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import accumulate, pairwise
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

    A thread of every rank writes while training continues: that of the first rank what all ranks
    share and its own rows of multipliers, those of the others a file with their rows each. The
    rows are never put together. A checkpoint counts if the files of all ranks are there. Leaving
    the context waits for the thread, also after an error. `best.pt` is a link to the checkpoint
    with the lowest score.

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
        # The files of each checkpoint that this process has written or read.
        self._files: dict[Path, list[Path]] = {}
        self._counts: dict[str, list[int]] = {}
        # Sets the files of this start apart from what an earlier one may have left unfinished.
        self._start = 0
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

        If writing fails, a line on stderr says so and training continues: the checkpoint before
        stays valid.
        """
        self.finish()
        path = self._path(step)
        header = {
            "training": self.folder.name,
            "step": step,
            "start": self._start,
            "counts": self._rows_of_ranks(multipliers),
            "multipliers": multipliers,
        }
        parts = _parts(path, header)
        if self.ranks.rank == 0:
            if score < self.best_score:
                self.best_score, self.best_step = score, step
            header["best"] = [self.best_score, self.best_step]
            self._files[path] = [path, *parts]
            self._writing = self._thread.submit(self._write, step, _copy(header | content))
        elif parts:
            part = parts[self.ranks.rank - 1]
            self._writing = self._thread.submit(save_plain, part, KIND, _copy(header))

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

    def load(self, multipliers: Blocks) -> dict[str, Any] | None:
        """The newest readable checkpoint; None without one. Every rank calls this.

        It may have been written by another number of ranks. One that is damaged or belongs to
        another training is reported on stderr and left where it is, and the one before it is
        tried.

        Parameters
        ----------
        multipliers
            Blocks (owned rows, ...) with the shapes that this rank needs.

        Returns
        -------
        What was saved, the same on all ranks but for the rows of this rank in `multipliers`.

        Raises
        ------
        RankError
            If this rank cannot read what the first one can.
        """
        self.finish()
        # The other ranks have written their files too.
        self.ranks.wait()
        self._rows_of_ranks(multipliers)
        device = self.ranks.device
        while True:
            saved = self._newest() if self.ranks.rank == 0 else None
            chosen = [saved["step"] if saved else -1, secrets.randbits(31)]
            told = torch.tensor(chosen if self.ranks.rank == 0 else [-1, -1], device=device)
            step, self._start = self.ranks.max(told).tolist()
            if step < 0:
                return None
            saved = saved or self._read_elsewhere(step)
            rows: Blocks | None = None
            try:
                rows = self._own_rows(saved, multipliers)
            except UserError as error:
                self._report(error)
            if not self.ranks.max(torch.tensor([float(rows is None)], device=device)):
                self.best_score, self.best_step = saved["best"]
                return saved | {"multipliers": rows}
            self.skip(step)

    def skip(self, step: int) -> None:
        """Never load the checkpoint of this step; it is left where it is."""
        self.skipped.add(self._path(step))

    def _rows_of_ranks(self, multipliers: Blocks) -> dict[str, list[int]]:
        """Numbers of rows of every rank, by block; found once."""
        if self._counts.keys() != multipliers.keys():
            own = torch.tensor([[len(values) for values in multipliers.values()]])
            every = self.ranks.gather(own.to(self.ranks.device)).T.tolist()
            self._counts = dict(zip(multipliers, every, strict=True))
        return self._counts

    def _newest(self) -> dict[str, Any] | None:
        for path in self._sound():
            try:
                saved = self._read(path)
                parts = _parts(path, saved)
                for part in parts:
                    if not part.is_file():
                        raise UserError(f"{part}: not found, expected the rows of another rank")
            except UserError as error:
                self._report(error)
                self.skipped.add(path)
            else:
                self._files[path] = [path, *parts]
                return saved
        return None

    def _read_elsewhere(self, step: int) -> dict[str, Any]:
        """Read on another rank what the first one has read."""
        try:
            return self._read(self._path(step))
        except UserError as error:
            raise RankError(
                f"rank {self.ranks.rank}: {error}; expected a folder that all nodes share"
            ) from None

    def _own_rows(self, saved: dict[str, Any], multipliers: Blocks) -> Blocks:
        """This rank's rows, from the files of the ranks that had them."""
        parts = _parts(self._path(saved["step"]), saved)

        @cache
        def of_rank(rank: int) -> Blocks:
            found = self._read(parts[rank - 1]) if rank else saved
            return dict(found["multipliers"])

        own = {}
        for block, values in multipliers.items():
            first = sum(self._counts[block][: self.ranks.rank])
            edges = [0, *accumulate(saved["counts"][block])]
            pieces = [
                of_rank(rank)[block][max(first - start, 0) : first + len(values) - start]
                for rank, (start, stop) in enumerate(pairwise(edges))
                if start < first + len(values) and first < stop
            ]
            own[block] = torch.cat([values[:0].cpu(), *pieces])
        return own

    def _read(self, path: Path) -> dict[str, Any]:
        saved = load_plain(path, KIND)
        if saved.get("training") != self.folder.name:
            found = saved.get("training")
            raise UserError(
                f"{path}: a checkpoint of training {found!r}, expected {self.folder.name!r}"
            )
        return saved

    def _report(self, error: UserError) -> None:
        warn(f"aiv-rba train: {error}; trying the checkpoint before it")

    def _write(self, step: int, content: dict[str, Any]) -> None:
        path = self._path(step)
        save_plain(path, KIND, content)
        self.skipped.discard(path)
        if self.best_step == step:
            with atomic_path(self.folder / BEST, link=True) as temporary:
                temporary.symlink_to(path.name)
        self._remove_old()

    def _remove_old(self) -> None:
        """Remove all but the last whole checkpoints, the best, and what may still become whole."""
        sound = self._sound()
        known = {p: all(f.exists() for f in self._files[p]) for p in sound if p in self._files}
        whole = [path for path, is_whole in known.items() if is_whole]
        # No rank is more than one checkpoint behind the first.
        old = {path for path in known if not known[path] and path not in sound[:2]}
        if len(whole) >= KEEP:
            old |= {path for path in sound if path < whole[KEEP - 1]}
        old.discard(self._path(self.best_step))
        for path in old:
            path.unlink()
        kept = {_step(path) for path in self.folder.glob("step_*.pt")}
        for rows in self.folder.glob("rows_*.pt"):
            if _step(rows) not in kept and _step(rows) < _step(sound[0]):
                rows.unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"step_{step:08d}.pt"

    def _sound(self) -> list[Path]:
        """Those not skipped, the newest first."""
        return sorted(set(self.folder.glob("step_*.pt")) - self.skipped, reverse=True)


def _parts(path: Path, header: dict[str, Any]) -> list[Path]:
    """Files beside a checkpoint with the rows of the ranks after the first."""
    size = max(map(len, header["counts"].values()), default=1)
    end = f"of_{size}_{header['start']:08x}.pt"
    return [path.with_name(f"rows_{_step(path):08d}_{rank}_{end}") for rank in range(1, size)]


def _step(path: Path) -> int:
    """Step of which a file is."""
    return int(path.name.split("_")[1].removesuffix(".pt"))


def _copy(tree: Any) -> Any:
    """The same nest of containers with copies of its tensors, which training does not change."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True)
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_copy(value) for value in tree]
    return tree
