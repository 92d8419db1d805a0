"""The history of a training: losses, multipliers and measures of success every few steps."""

from __future__ import annotations

import torch
from torch import Tensor

from aiv_rba.multipliers import MultiplierScheme
from aiv_rba.problem import Blocks, Problem
from aiv_rba.ranks.ddp import Ranks

Row = dict[str, float]


class History:
    """Rows of the history, and the largest multipliers since the last of them.

    Attributes
    ----------
    rows
        One dictionary per row, the same on all ranks.
    peaks
        Largest multiplier of each block since the last row, on this rank.
    """

    def __init__(self, problem: Problem, scheme: MultiplierScheme, ranks: Ranks) -> None:
        self.problem = problem
        self.scheme = scheme
        self.ranks = ranks
        self.rows: list[Row] = []
        self.peaks: Blocks = {}

    def note_multipliers(self) -> None:
        """Keep the largest multipliers, at every step."""
        for block, values in self.scheme.multipliers.items():
            if values.numel():
                largest = values.amax()
                self.peaks[block] = torch.maximum(self.peaks.get(block, largest), largest)

    def largest_multipliers(self) -> Blocks:
        """Largest multiplier of each block over all ranks and the steps since the last row."""
        return {
            block: self.ranks.max(self.peaks.get(block, values.new_tensor(0.0)).clone())
            for block, values in self.scheme.multipliers.items()
        }

    def add(self, step: int, seconds: float, weighted: Blocks, diagnostics: Row) -> Row:
        """Add a row; every rank calls this.

        Parameters
        ----------
        step, seconds
            Steps and seconds of training so far.
        weighted
            Weighted residual rows (n, terms) of each block on this rank, whose squares are the
            losses.
        diagnostics
            What the optimiser says of its last step.
        """
        terms = self.losses(weighted)
        row: Row = {"step": float(step), "seconds": seconds, "loss": sum(terms.values())} | terms
        largest = self.largest_multipliers()
        for block, values in self.scheme.multipliers.items():
            total = self.ranks.sum(torch.stack([values.sum(), values.new_tensor(values.numel())]))
            row[f"lambda_{block}_min"] = float(self._smallest(values))
            row[f"lambda_{block}_mean"] = float(total[0] / total[1])
            row[f"lambda_{block}_max"] = float(largest[block])
        self.peaks = {}
        row |= self.problem.adapt(step, self.rows)
        row |= self.problem.errors()
        row |= diagnostics
        self.rows.append(row)
        return row

    def columns(self) -> dict[str, list[float | None]]:
        """Values by column; None in rows that lack it, as those of another optimiser do."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name) for row in self.rows] for name in names}

    def _smallest(self, values: Tensor) -> Tensor:
        """Minimum over all ranks, of which some may own no row."""
        return self.ranks.min(torch.cat([values.flatten(), values.new_tensor([torch.inf])]).amin())

    def losses(self, weighted: Blocks) -> Row:
        """Loss of each term over all ranks."""
        names = self.problem.residuals.terms
        sums = torch.cat([rows.detach().double().square().sum(0) for rows in weighted.values()])
        flat = [name for block, rows in weighted.items() for name in names[block][: rows.shape[1]]]
        return dict(zip(flat, self.ranks.sum(sums).tolist(), strict=True))


def short(row: Row) -> str:
    """Loss, errors and multipliers of a row in a line, what matters most first."""
    parts = [f"loss {row['loss']:.3g}"]
    known = ("validation_", "error_")
    parts += [f"{k.split('_')[-1]} {v:.4g}" for k, v in row.items() if k.startswith(known)]
    for name, low in row.items():
        if name.startswith("lambda_") and name.endswith("_min"):
            block = name.removeprefix("lambda_").removesuffix("_min")
            parts.append(f"{block} lambda {low:.2g}..{row[f'lambda_{block}_max']:.2g}")
    return ", ".join(parts)
