"""The training loop, for every problem, optimiser and scheme of multipliers."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from aiv_rba.errors import Interrupted, NotFinite
from aiv_rba.multipliers import MultiplierScheme, make_scheme
from aiv_rba.optimisers import Optimiser, Optimisers
from aiv_rba.problem import Batch, Blocks, Problem
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import LoopSettings
from aiv_rba.terminal import Progress, say, warn
from aiv_rba.training import state
from aiv_rba.training.averaging import TailAverage
from aiv_rba.training.checkpoints import Checkpoints
from aiv_rba.training.finite import check_parameters
from aiv_rba.training.history import History, short
from aiv_rba.training.interrupt import noted_signals
from aiv_rba.training.precision import matmul_precision
from aiv_rba.training.settled import has_settled
from aiv_rba.training.watch import Watch

Observer = Callable[[int], None]


class Run:
    """Multipliers, optimiser and history of one training, and the loop.

    Attributes
    ----------
    restarts
        Restarts so far; each halves the length of the steps.
    seconds
        Of all steps but the first of each start.
    ended
        What ended the training: the number of iterations, settled, or time.
    """

    def __init__(self, settings: LoopSettings, problem: Problem, ranks: Ranks) -> None:
        self.settings = settings
        self.problem = problem
        self.ranks = ranks
        self.scheme: MultiplierScheme = make_scheme(
            settings.multipliers, problem, ranks, settings.seed
        )
        self.history = History(problem, self.scheme, ranks)
        self.optimisers = Optimisers(problem, ranks, settings.seed)
        averaged = settings.averaged_steps if settings.few_large_steps else 0
        self.average = TailAverage(problem.residuals.network.parameters(), averaged)
        self.watch = Watch(problem.residuals.terms, self.batch, ranks)
        self._roots: dict[tuple[str, int, tuple[float, ...]], Tensor] = {}
        self.restarts = 0
        self.optimiser = self.optimiser_of(0)
        self.seconds = 0.0
        self.ended = "iterations"

    def train(self, folder: Path, observe: Observer | None = None) -> None:
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
            If SIGTERM, SIGUSR1 or Ctrl-C came; a checkpoint of the step is written.
        """
        with (
            Checkpoints(folder, self.ranks) as checkpoints,
            noted_signals(self.watch.ask),
            matmul_precision(self.settings.matmul_precision),
        ):
            first = self._resume(checkpoints)
            if first is None:
                first = 0
                if self.settings.restarts:
                    self._save(checkpoints, first)
            while True:
                try:
                    self.watch.start()
                    self._steps(first, checkpoints, observe)
                    return self.average.apply(int(self.history.rows[-1]["step"]))
                except NotFinite as failure:
                    first = self._restart(checkpoints, failure, first)

    def optimiser_of(self, step: int) -> Optimiser:
        """A new optimiser of the kind that takes this step, counted from 0."""
        return self.optimisers.make(self.settings.optimiser_at(step), scale=0.5**self.restarts)

    def batch(self, step: int) -> Batch:
        """The rows of a step."""
        return replace(self.problem.batch(self.settings.batch_at(step)), step=step)

    def weigh(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Factor of each residual row: sqrt(w / n) lambda*; its square sums to Eqs. 39-41."""
        # Nothing of this step is kept before it is known that its residuals are finite.
        self.watch.step(batch, residuals, look=self._is_kept(batch.step))
        multipliers = self.scheme.update(batch, residuals)
        self.history.note_multipliers()
        for block, factor in self.problem.factors(batch, residuals).items():
            multipliers[block] = multipliers[block] * factor
        return {
            block: values * self._root(block, batch.counts[block], values)
            for block, values in multipliers.items()
        }

    def _root(self, block: str, count: int, like: Tensor) -> Tensor:
        """sqrt(w / n) of the terms of a block, made once: a GPU waits for numbers of the host."""
        key = (block, count, tuple(self.problem.weights[block]))
        if key not in self._roots:
            self._roots[key] = torch.sqrt(like.new_tensor(key[2]) / count)
        return self._roots[key]

    def _is_kept(self, step: int) -> bool:
        """Whether a row of the history or a checkpoint follows this step, counted from 0."""
        done, settings = step + 1, self.settings
        kept = done % settings.history_every == 0 or done % settings.checkpoint_every == 0
        return kept or done == settings.iterations

    def _steps(self, first: int, checkpoints: Checkpoints, observe: Observer | None) -> None:
        iterations = self.settings.iterations
        switch = self.settings.optimiser.iterations if self.settings.second_optimiser else None
        last_row = self.history.rows[-1]["step"] if self.history.rows else 0
        if first and first == last_row and self._has_ended():
            # This is the checkpoint of the end.
            return
        started = 0.0
        with Progress("train", first, iterations, quiet=self.ranks.rank != 0) as progress:
            for step in range(first, iterations):
                if step == switch:
                    self.optimiser = self.optimiser_of(step)
                # A new optimiser compiles, which may take one rank longer than another.
                with self.ranks.compiling() if step in (first, switch) else nullcontext():
                    try:
                        rows = self.optimiser.step(self.batch(step), self.weigh)
                    except NotFinite:
                        # Perhaps a residual of an earlier step is the reason.
                        self.watch.look()
                        raise
                if step == first:
                    # The first step compiles, which says nothing about the others.
                    started = time.perf_counter() - self.seconds
                self.seconds = time.perf_counter() - started
                progress.step()
                if self.average.steps:
                    self.average.note(sum(self.history.losses(rows).values()))
                last = step + 1 == iterations
                stop = self.watch.stop and not last
                save = stop or (step + 1) % self.settings.checkpoint_every == 0
                if save or last:
                    check_parameters(self.problem.residuals.network, step + 1)
                ended = last
                if (step + 1) % self.settings.history_every == 0 or last:
                    row = self.history.add(step + 1, self.seconds, rows, self.optimiser.diagnostics)
                    progress.show(short(row))
                    if observe:
                        observe(step + 1)
                    if self._has_ended():
                        check_parameters(self.problem.residuals.network, step + 1)
                        ended = True
                if save or ended:
                    self._save(checkpoints, step + 1)
                if ended:
                    return
                if stop:
                    checkpoints.finish()
                    # A launcher ends all ranks when the first one leaves.
                    self.ranks.wait()
                    raise Interrupted(f"stopped at step {step + 1}; run again to go on from there")

    def _has_ended(self) -> bool:
        """Whether to end before the last step; the same on all ranks."""
        limit = self.settings.minutes
        late = torch.tensor([float(limit is not None and self.seconds > 60 * limit)])
        if bool(self.ranks.max(late.to(self.ranks.device))):
            self.ended = "time"
        elif has_settled(self.history.rows, self.problem.residuals, self.settings):
            self.ended = "settled"
        return self.ended != "iterations"

    def _restart(self, checkpoints: Checkpoints, failure: NotFinite, first: int) -> int:
        """Go back to the last good checkpoint, with steps half as long; the step it is of."""
        allowed = self.settings.restarts
        if self.restarts < allowed:
            checkpoints.finish()
            self.restarts += 1
            if failure.step == first + 1:
                # Shorter steps cannot help where the first one from a checkpoint fails.
                checkpoints.skip(first)
            line = f"{failure}; restart {self.restarts} of {allowed} with steps half as long"
            if self.ranks.rank == 0:
                warn(f"aiv-rba train: {line}")
            resumed = self._resume(checkpoints)
            if resumed is not None:
                return resumed
        raise NotFinite(
            failure.step,
            f"{failure.what}: lower the learning rate, raise the damping or allow more restarts; "
            "the last checkpoint is kept",
        ) from None

    def _save(self, checkpoints: Checkpoints, step: int) -> None:
        errors = self.problem.errors().values()
        score = sum(errors) / len(errors)
        checkpoints.save(step, state.take(self), self.scheme.state, score=score)

    def _resume(self, checkpoints: Checkpoints) -> int | None:
        saved = checkpoints.load(self.scheme.state)
        if saved is None:
            return None
        state.put_back(self, saved)
        if self.ranks.rank == 0:
            say(f"train: resuming at step {saved['step']} from {checkpoints.folder}")
        return int(saved["step"])
