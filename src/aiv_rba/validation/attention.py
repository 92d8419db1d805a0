"""Multipliers over the domain at some iterations, after Fig. 9."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.problems.scalar import ScalarProblem
from aiv_rba.training.loop import Run

# Shares of the training at which the multipliers are kept.
SHARES = (0.01, 0.1, 0.4, 1.0)


class Attention:
    """Keeps the multipliers of the equation's collocation points in a folder.

    Called by every rank at the rows of the history, of which those after the shares count.
    """

    def __init__(self, run: Run, trained: ScalarProblem, folder: Path) -> None:
        self.run = run
        self.trained = trained
        self.folder = folder
        every, last = run.settings.history_every, run.settings.iterations
        self.steps = {min(last, every * -(-int(share * last) // every)) for share in SHARES}

    def __call__(self, step: int) -> None:
        """Write the multipliers, if this step is one of those."""
        own = self.run.scheme.multipliers.get("equation")
        if step not in self.steps or own is None:
            return
        ranks = self.run.ranks
        multipliers = ranks.gather(own)[:, 0].cpu().numpy()
        points = ranks.gather(self.trained.inputs["equation"][0]).cpu().numpy()
        if ranks.rank == 0:
            path = self.folder / f"attention_{step:08d}.npz"
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, points=points, multipliers=multipliers)


def attention_maps(folder: Path) -> dict[int, tuple[Array, Array]]:
    """Points (n, 2) and multipliers (n,) by step, as far as the folder has them."""
    maps = {}
    for path in sorted(folder.glob("attention_*.npz")):
        with np.load(path) as file:
            maps[int(path.stem.removeprefix("attention_"))] = file["points"], file["multipliers"]
    return maps
