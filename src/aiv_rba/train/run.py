"""Stage train: from a case and its collocation points to a trained network."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from aiv_rba import config
from aiv_rba.errors import Interrupted, UserError
from aiv_rba.nn.flow import FlowNetwork
from aiv_rba.nn.model_file import Model, save_model
from aiv_rba.parallel.ddp import Ranks, process_group
from aiv_rba.store import Case, atomic_path, read_case, sha256
from aiv_rba.train.adam import Adam
from aiv_rba.train.batches import COMPONENTS, Batch, Batches
from aiv_rba.train.checkpoint import Checkpoints
from aiv_rba.train.gauss_newton import GaussNewton
from aiv_rba.train.interrupt import stop_request
from aiv_rba.train.loss import (
    Residuals,
    cauchy_weights,
    check_finite,
    global_weights,
    term_losses,
)
from aiv_rba.train.provenance import versions
from aiv_rba.weights import Blocks, Weighting, make_weighting


class Optimiser(Protocol):
    """What the loop asks of an optimiser."""

    @property
    def control(self) -> float:
        """Learning rate or damping, for the history."""
        ...

    def step(self, batch: Batch, weigh: Any) -> Blocks:
        """One step; the weighted residual rows before it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...


def train(
    settings: config.Train,
    *,
    case: Path,
    points: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
) -> None:
    """Train one network; every rank calls this.

    Writes `model` and `history` when done. Checkpoints go into a folder named after the hash of
    settings, case and points, so that a run resumes from its own checkpoints and no other's.

    Raises
    ------
    UserError
        If a file does not fit, or a residual is not finite.
    Interrupted
        If SIGTERM or SIGUSR1 came; a checkpoint of the step is written.
    """
    with process_group() as ranks:
        experiment = read_case(case)
        dtype = torch.float64 if settings.precision == "double" else torch.float32
        batches = Batches(
            experiment,
            points,
            groups_per_step=settings.groups_per_step,
            seed=settings.seed,
            ranks=ranks,
            dtype=dtype,
        )
        run = Run(settings, experiment, batches, ranks, dtype)
        run.train(checkpoints / _identity(settings, experiment, points)[:12])
        if ranks.rank == 0:
            _write(run, experiment, points, model, history)


def _identity(settings: config.Train, case: Case, points: Path) -> str:
    text = json.dumps([asdict(settings), case.identity, sha256(points)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Run:
    """Network, multipliers and optimiser of one training, and the loop."""

    def __init__(
        self,
        settings: config.Train,
        case: Case,
        batches: Batches,
        ranks: Ranks,
        dtype: torch.dtype,
    ) -> None:
        self.settings = settings
        self.batches = batches
        self.ranks = ranks
        self.components = [COMPONENTS.index(name) for name in case.tracks.velocity]
        self.weights = global_weights(settings.weights, self.components)

        torch.manual_seed(settings.seed)
        lower = np.append(0.0, case.wall.points.min(axis=0))
        upper = np.append(case.scales.nondimensional_period, case.wall.points.max(axis=0))
        self.network = FlowNetwork(
            settings.network, torch.tensor(lower, dtype=dtype), torch.tensor(upper, dtype=dtype)
        ).to(ranks.device)
        residuals = Residuals(self.network, case.scales, self.components)
        self.weighting: Weighting = make_weighting(settings.weighting, batches.sizes, ranks)
        self.optimiser = _optimiser(settings, residuals, ranks)

        held_out = case.tracks.validation
        self.validation_points = torch.tensor(case.tracks.points[held_out], dtype=dtype)
        self.validation = torch.tensor(
            np.stack([values[held_out] for values in case.tracks.velocity.values()], axis=1),
            dtype=dtype,
        )
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0

    def train(self, folder: Path) -> None:
        """Train to the last iteration, from the newest checkpoint in `folder` if there is one."""
        iterations = self.settings.optimiser.iterations
        checkpoints = Checkpoints(folder, self.ranks)
        first = self._resume(checkpoints)
        started = time.perf_counter() - self.seconds
        progress = tqdm(
            range(first, iterations),
            initial=first,
            total=iterations,
            desc="train",
            disable=self.ranks.rank != 0,
            mininterval=1.0,
        )
        with stop_request(self.ranks) as asked_to_stop:
            for step in progress:
                rows = self.optimiser.step(self.batches.batch(step), self.weigh)
                self.seconds = time.perf_counter() - started
                last = step + 1 == iterations
                if (step + 1) % self.settings.history_every == 0 or last:
                    progress.set_postfix_str(_short(self._record(step + 1, rows)))
                stop = bool(asked_to_stop) and not last
                if stop or ((step + 1) % self.settings.checkpoint_every == 0 and not last):
                    self._save(checkpoints, step + 1)
                if stop:
                    progress.close()
                    checkpoints.finish()
                    # A launcher ends all ranks when the first one leaves.
                    self.ranks.wait()
                    raise Interrupted(f"stopped at step {step + 1}; run again to go on from there")
        checkpoints.finish()

    def weigh(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Factor of each residual row: sqrt(w / n) lambda*; its square sums to Eqs. 39-41."""
        check_finite(batch, residuals)
        multipliers = self.weighting.update(residuals, batch.rows)
        if self.settings.robust_tracks:
            robust = cauchy_weights(residuals["tracks"], self.ranks)
            multipliers["tracks"] = multipliers["tracks"] * robust
        return {
            block: values * torch.sqrt(values.new_tensor(self.weights[block]) / batch.counts[block])
            for block, values in multipliers.items()
        }

    def _record(self, step: int, rows: Blocks) -> dict[str, float]:
        terms = term_losses(rows, self.ranks)
        record = {"step": float(step), "seconds": self.seconds, "loss": sum(terms.values())}
        record |= terms
        for block, values in self.weighting.state.items():
            low, high = _extremes(values, self.ranks)
            total = self.ranks.sum(torch.stack([values.sum(), values.new_tensor(values.numel())]))
            record[f"lambda_{block}_min"] = float(low)
            record[f"lambda_{block}_mean"] = float(total[0] / total[1])
            record[f"lambda_{block}_max"] = float(high)
        for component, error in zip(self.components, self._validation_error(), strict=True):
            record[f"validation_{COMPONENTS[component]}"] = float(error)
        record["control"] = self.optimiser.control
        self.history.append(record)
        return record

    @torch.no_grad()
    def _validation_error(self) -> Tensor:
        """Relative L2 error of each measured component on the held-out rows; Eq. 27."""
        points = self.validation_points.to(self.ranks.device)
        predicted = self.network.value(points)[:, self.components].cpu()
        error: Tensor = (predicted - self.validation).norm(dim=0)
        relative: Tensor = error / self.validation.norm(dim=0)
        return relative

    def _save(self, checkpoints: Checkpoints, step: int) -> None:
        score = float(self._validation_error().mean())
        checkpoints.save(step, self._state(), self.weighting.state, score=score)

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": list(self.history),
            "seconds": self.seconds,
        }

    def _resume(self, checkpoints: Checkpoints) -> int:
        saved = checkpoints.load()
        if saved is None:
            return 0
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        for block, values in self.weighting.state.items():
            values.copy_(self.ranks.part(saved["multipliers"][block]))
        self.history, self.seconds = saved["history"], saved["seconds"]
        if self.ranks.rank == 0:
            tqdm.write(f"resuming at step {saved['step']} from {checkpoints.folder}")
        return int(saved["step"])


def _optimiser(settings: config.Train, residuals: Residuals, ranks: Ranks) -> Optimiser:
    if isinstance(settings.optimiser, config.Adam):
        return Adam(settings.optimiser, residuals, ranks)
    if settings.network.weight_normalisation:
        raise UserError(
            "train.network.weight_normalisation: found true, expected false with the optimiser "
            "gauss_newton, which is indifferent to it"
        )
    return GaussNewton(settings.optimiser, residuals, ranks, settings.seed)


def _extremes(values: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Minimum and maximum over all ranks, of which some may own no row."""
    infinity = values.new_tensor([torch.inf])
    own = values.flatten()
    return ranks.min(torch.cat([own, infinity]).amin()), ranks.max(
        torch.cat([own, -infinity]).amax()
    )


def _short(record: dict[str, float]) -> str:
    parts = [f"loss {record['loss']:.3g}"]
    for block, name in (("no_slip", "BC"), ("tracks", "PTV"), ("navier_stokes", "NS")):
        if f"lambda_{block}_min" in record:
            low, high = record[f"lambda_{block}_min"], record[f"lambda_{block}_max"]
            parts.append(f"{name} lambda {low:.2g}..{high:.2g}")
    parts += [f"{k[-1]} {v:.4f}" for k, v in record.items() if k.startswith("validation")]
    return ", ".join(parts)


def _write(run: Run, case: Case, points: Path, model: Path, history: Path) -> None:
    settings = run.settings
    metadata = {
        "seconds": run.seconds,
        "world_size": run.ranks.size,
        "device": run.ranks.device.type,
        "iterations": settings.optimiser.iterations,
        "seed": settings.seed,
        "weighting": settings.weighting.name,
        "optimiser": settings.optimiser.name,
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "points": {
            "interior": run.batches.groups * run.batches.epoch_length,
            "wall": run.batches.wall_groups * run.batches.epoch_length,
        },
        "settings": asdict(settings),
        "versions": versions(),
    }
    with atomic_path(history) as temporary:
        pd.DataFrame(run.history).to_csv(temporary, index=False)
    trained = Model(run.network.cpu(), case.scales, case.identity, metadata)
    save_model(model, trained, settings.network)
