"""The training loop, for every problem, optimiser and weighting scheme."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from aiv_rba import config
from aiv_rba.errors import Interrupted, NotFinite, RankError
from aiv_rba.parallel.ddp import Ranks
from aiv_rba.problem import Batch, Blocks, Problem, not_finite
from aiv_rba.train.adam import Adam, distributed
from aiv_rba.train.checkpoint import Checkpoints
from aiv_rba.train.gauss_newton import GaussNewton
from aiv_rba.train.interrupt import StopRequest, stop_request
from aiv_rba.train.lbfgs import LBFGS
from aiv_rba.train.settled import has_settled
from aiv_rba.train.ssbroyden import SSBroyden
from aiv_rba.weights import Weighting, make_weighting


class Optimiser(Protocol):
    """What the loop asks of an optimiser."""

    @property
    def control(self) -> float:
        """Learning rate, damping or step length, for the history."""
        ...

    def step(self, batch: Batch, weigh: Callable[[Batch, Blocks], Blocks]) -> Blocks:
        """One step; the weighted residual rows before it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...


class Run:
    """Multipliers and optimiser of one training, and the loop."""

    def __init__(self, settings: config.Training, problem: Problem, ranks: Ranks) -> None:
        self.settings = settings
        self.problem = problem
        self.ranks = ranks
        self.weighting: Weighting = make_weighting(
            settings.weighting, problem, ranks, settings.seed
        )
        self._wrapped: dict[bool, nn.Module] = {}
        # Every restart halves the length of the steps.
        self.restarts = 0
        self.optimiser = self._make(settings.optimiser)
        # Largest multiplier of each block since the last row of the history.
        self.peaks: Blocks = {}
        self.history: list[dict[str, float]] = []
        # Of all steps but the first of each start.
        self.seconds = 0.0
        # What ended the training: the number of iterations, settled, or time.
        self.ended = "iterations"

    def train(self, folder: Path, observe: Callable[[int], None] | None = None) -> None:
        """Train to the last iteration, from the newest checkpoint in `folder` if there is one.

        Parameters
        ----------
        folder
            Where the checkpoints are.
        observe
            Called with the number of the step at every row of the history, by every rank.

        Raises
        ------
        NotFinite
            If a residual, a derivative or a parameter is not finite and no restart is left.
        Interrupted
            If SIGTERM or SIGUSR1 came; a checkpoint of the step is written.
        """
        with Checkpoints(folder, self.ranks) as checkpoints, stop_request(self.ranks) as asked:
            first = self._resume(checkpoints)
            if first is None:
                first = 0
                if self.settings.restarts:
                    self._save(checkpoints, first)
            while True:
                try:
                    return self._steps(first, checkpoints, asked, observe)
                except NotFinite as failure:
                    first = self._restart(checkpoints, failure, first)

    def _steps(
        self,
        first: int,
        checkpoints: Checkpoints,
        asked_to_stop: StopRequest,
        observe: Callable[[int], None] | None,
    ) -> None:
        iterations = self.settings.iterations
        started = 0.0
        progress = tqdm(
            range(first, iterations),
            initial=first,
            total=iterations,
            desc="train",
            disable=self.ranks.rank != 0,
            mininterval=1.0,
        )
        with progress:
            for step in progress:
                if self.settings.then and step == self.settings.optimiser.iterations:
                    self.optimiser = self._make(self.settings.then)
                rows = self.optimiser.step(self.problem.batch(step), self.weigh)
                if step == first:
                    # The first step compiles, which says nothing about the others.
                    started = time.perf_counter() - self.seconds
                self.seconds = time.perf_counter() - started
                last = step + 1 == iterations
                stop = bool(asked_to_stop) and not last
                save = stop or (step + 1) % self.settings.checkpoint_every == 0
                if save or last:
                    self._check_parameters(step + 1)
                if (step + 1) % self.settings.history_every == 0 or last:
                    progress.set_postfix_str(_short(self._record(step + 1, rows)))
                    if observe:
                        observe(step + 1)
                    if self._ended():
                        return self._check_parameters(step + 1)
                if save and not last:
                    self._save(checkpoints, step + 1)
                if stop:
                    checkpoints.finish()
                    # A launcher ends all ranks when the first one leaves.
                    self.ranks.wait()
                    raise Interrupted(f"stopped at step {step + 1}; run again to go on from there")

    def _ended(self) -> bool:
        """Whether to end before the last step; the same on all ranks."""
        limit = self.settings.minutes
        late = torch.tensor([float(limit is not None and self.seconds > 60 * limit)])
        if bool(self.ranks.max(late.to(self.ranks.device))):
            self.ended = "time"
        elif has_settled(self.history, self.problem.residuals, self.settings):
            self.ended = "settled"
        return self.ended != "iterations"

    def weigh(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Factor of each residual row: sqrt(w / n) lambda*; its square sums to Eqs. 39-41."""
        self._check_residuals(batch, residuals)
        multipliers = self.weighting.update(batch, residuals)
        for block, values in self.weighting.multipliers.items():
            if values.numel():
                largest = values.amax()
                self.peaks[block] = torch.maximum(self.peaks.get(block, largest), largest)
        for block, factor in self.problem.factors(batch, residuals).items():
            multipliers[block] = multipliers[block] * factor
        weights = self.problem.weights
        return {
            block: values * torch.sqrt(values.new_tensor(weights[block]) / batch.counts[block])
            for block, values in multipliers.items()
        }

    def _check_residuals(self, batch: Batch, residuals: Blocks) -> None:
        failure: NotFinite | None = not_finite(batch, residuals, self.problem.residuals.terms)
        if self.settings.restarts:
            # All ranks go back together.
            flag = torch.tensor([float(failure is not None)], device=self.ranks.device)
            if bool(self.ranks.max(flag)) and failure is None:
                failure = NotFinite(
                    batch.step + 1, "a residual of another rank is not a finite number"
                )
        if failure:
            raise failure

    def _check_parameters(self, step: int) -> None:
        """What is saved must be worth going back to; all ranks have the same parameters."""
        for name, values in self.problem.residuals.network.named_parameters():
            if not values.isfinite().all():
                raise NotFinite(
                    step,
                    f"found a number in the network's {name} that is not finite, expected finite "
                    "ones",
                )

    def _restart(self, checkpoints: Checkpoints, failure: NotFinite, first: int) -> int:
        """Go back to the last good checkpoint, with steps half as long; the step it is of."""
        allowed = self.settings.restarts
        if self.restarts < allowed:
            checkpoints.finish()
            self.restarts += 1
            if failure.step == first + 1:
                # Shorter steps cannot help where the first one from a checkpoint fails.
                checkpoints.pass_over(first)
            line = f"{failure}; restart {self.restarts} of {allowed} with steps half as long"
            if self.ranks.rank == 0 or isinstance(failure, RankError):
                tqdm.write(f"aiv-rba train: {line}", file=sys.stderr)
            resumed = self._resume(checkpoints)
            if resumed is not None:
                return resumed
        raise type(failure)(
            failure.step,
            f"{failure.what}: lower the learning rate, raise the damping or allow more restarts; "
            "the last checkpoint is kept",
        ) from None

    def _make(self, settings: config.Optimiser) -> Optimiser:
        residuals, scale = self.problem.residuals, 0.5**self.restarts
        match settings:
            case config.Adam():
                return Adam(settings, self._distributed(settings.compile), self.ranks, scale)
            case config.LBFGS():
                return LBFGS(settings, residuals, self.ranks, scale)
            case config.SSBroyden():
                return SSBroyden(settings, residuals, self.ranks, scale)
            case config.GaussNewton():
                return GaussNewton(settings, residuals, self.ranks, self.settings.seed, scale)

    def _distributed(self, compile: bool) -> nn.Module:
        if compile not in self._wrapped:
            residuals = self.problem.residuals
            self._wrapped[compile] = distributed(residuals, self.ranks, compile=compile)
        return self._wrapped[compile]

    def _record(self, step: int, rows: Blocks) -> dict[str, float]:
        terms = self._losses(rows)
        record = {"step": float(step), "seconds": self.seconds, "loss": sum(terms.values())}
        record |= terms
        for block, values in self.weighting.multipliers.items():
            total = self.ranks.sum(torch.stack([values.sum(), values.new_tensor(values.numel())]))
            record[f"lambda_{block}_min"] = float(self._smallest(values))
            record[f"lambda_{block}_mean"] = float(total[0] / total[1])
            record[f"lambda_{block}_max"] = float(self._peak(block, values))
        self.peaks = {}
        record |= self.problem.adapt(step, self.history)
        record |= self.problem.errors()
        record["control"] = self.optimiser.control
        self.history.append(record)
        return record

    def _smallest(self, values: Tensor) -> Tensor:
        """Minimum over all ranks, of which some may own no row."""
        return self.ranks.min(torch.cat([values.flatten(), values.new_tensor([torch.inf])]).amin())

    def _peak(self, block: str, values: Tensor) -> Tensor:
        """Largest multiplier over all ranks and over the steps since the last row."""
        return self.ranks.max(self.peaks.get(block, values.new_tensor(0.0)).clone())

    def _losses(self, rows: Blocks) -> dict[str, float]:
        """Loss of each term over all ranks, from weighted residual rows."""
        names = self.problem.residuals.terms
        sums = torch.cat([values.detach().double().square().sum(0) for values in rows.values()])
        flat = [name for block, values in rows.items() for name in names[block][: values.shape[1]]]
        return dict(zip(flat, self.ranks.sum(sums).tolist(), strict=True))

    def _save(self, checkpoints: Checkpoints, step: int) -> None:
        state = {
            "network": self.problem.residuals.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "shared_weights": self.weighting.shared,
            "weights": self.problem.weights,
            "peaks": {
                block: self._peak(block, values)
                for block, values in self.weighting.multipliers.items()
            },
            "history": list(self.history),
            "seconds": self.seconds,
            "restarts": self.restarts,
        }
        errors = self.problem.errors().values()
        checkpoints.save(step, state, self.weighting.state, score=sum(errors) / len(errors))

    def _resume(self, checkpoints: Checkpoints) -> int | None:
        saved = checkpoints.load()
        if saved is None:
            return None
        self.problem.residuals.network.load_state_dict(saved["network"])
        self.restarts = max(self.restarts, saved["restarts"])
        first = saved["step"] <= self.settings.optimiser.iterations
        then = None if first else self.settings.then
        if then or self.restarts:
            self.optimiser = self._make(then or self.settings.optimiser)
        self.optimiser.load_state_dict(saved["optimiser"])
        for block, values in self.weighting.state.items():
            values.copy_(self.ranks.part(saved["multipliers"][block]))
        for name, values in self.weighting.shared.items():
            values.copy_(saved["shared_weights"][name])
        self.peaks = {b: v.to(self.ranks.device) for b, v in saved["peaks"].items()}
        self.problem.weights = saved["weights"]
        self.history, self.seconds = saved["history"], saved["seconds"]
        if self.ranks.rank == 0:
            tqdm.write(f"resuming at step {saved['step']} from {checkpoints.folder}")
        return int(saved["step"])


def _short(record: dict[str, float]) -> str:
    parts = [f"loss {record['loss']:.3g}"]
    for name, low in record.items():
        if name.startswith("lambda_") and name.endswith("_min"):
            block = name.removeprefix("lambda_").removesuffix("_min")
            parts.append(f"{block} lambda {low:.2g}..{record[f'lambda_{block}_max']:.2g}")
    known = ("validation_", "error_")
    parts += [f"{k.split('_')[-1]} {v:.4g}" for k, v in record.items() if k.startswith(known)]
    return ", ".join(parts)
