"""Artificial intelligence velocimetry as a problem of the training loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aiv_rba.files.case import Case
from aiv_rba.mixture import Everyone, Mixture, amplitude_bias, fit
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.problems.velocimetry.batches import Batches
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.problems.velocimetry.depths import depths_of_tracks, information
from aiv_rba.problems.velocimetry.light_sheet import LightSheet, depth_of
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.residuals import FlowResiduals
from aiv_rba.problems.velocimetry.softening import next_softening
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, GaussNewtonSettings, GlobalWeights, TrainSettings

COMPONENTS = "uvw"
# Steps between two fits of the mixture of matched and mismatched rows where steps are small: a fit
# takes nineteen sums over ranks, and hardly changes meanwhile.
SMALL_STEPS = 10
# Depths move by so many times what a step of expectation says, since plain steps are slow where
# depths can make up for much of the flow (Salakhutdinov & Roweis 2003); it must be below two.
OVER_RELAXATION = 1.5


class Velocimetry:
    """Infer the flow in a vessel from tracks, wall and equations.

    Parameters
    ----------
    settings
        Network, global weights, batches.
    case, points
        The case and the file of its collocation points.

    Raises
    ------
    UserError
        If the points belong to another case, or there are more ranks than groups.
    """

    def __init__(self, settings: TrainSettings, case: Case, points: Path, ranks: Ranks) -> None:
        dtype = torch.float64 if settings.precision == "double" else torch.float32
        asked = settings.global_weights
        self.settings = settings = resolve(settings, case)
        self.ranks = ranks
        self.batches = Batches(
            case,
            points,
            groups_per_step=settings.groups_per_step,
            seed=settings.seed,
            ranks=ranks,
            dtype=dtype,
            soft_wall=settings.network.no_slip == "soft",
            kept=settings.points,
        )
        self.sizes, self.lengths = self.batches.sizes, self.batches.lengths
        self.state: dict[str, Tensor] = {}
        self.noise = torch.tensor(
            [case.noise[name] for name in case.tracks.velocity],
            dtype=torch.float64,
            device=ranks.device,
        )
        self.sheet = None
        depth = depth_of(case.tracks)
        if settings.light_sheet == "auto" and depth is not None:
            self.sheet = LightSheet(case, 1 + depth, self.noise, dtype, ranks)
            zero = torch.zeros((), dtype=torch.float64, device=ranks.device)
            self.state["depth_spread"] = zero
            # Of the particle of every track, about the depth that its rows state.
            tracks = self.batches.tracks_in_all
            self.state["depths"] = zero.repeat(tracks)
            self.state["depth_covariances"] = zero.repeat(tracks, 2, 2)
            # Of every row about that of its track.
            self.state["drifts"] = zero.repeat(self.batches.track_count)
        self.components = [COMPONENTS.index(name) for name in case.tracks.velocity]
        self.weights = _by_block(settings.global_weights, self.components)
        self.resolved = self.weights["navier_stokes"]
        # Which of the four equations may be softened.
        self.automatic = [
            settings.few_large_steps and weight == "auto"
            for weight in (*3 * [asked.momentum], asked.mass)
        ]
        self._soften(settings.global_weights.largest_softening)
        self.main = list(case.tracks.velocity).index(case.main_component)

        torch.manual_seed(settings.seed)
        duration = case.scales.nondimensional_period
        # Only an unsteady flow goes on from an initial state.
        self.time_span = (0.0, duration) if case.flow == "unsteady" else None
        lower = np.append(0.0, case.corners[0])
        upper = np.append(duration, case.corners[1])
        self.network = FlowNetwork(
            settings.network,
            torch.tensor(lower, dtype=dtype),
            torch.tensor(upper, dtype=dtype),
            case.wall_function if settings.network.no_slip == "exact" else None,
            case.flow,
        ).to(ranks.device)
        if settings.network.time == "coefficients" and settings.network.first_layer == "ridges":
            length, source = settings.network.ridge_length * case.radius, self.batches.points
            self.network.start_with_ridges(
                source.first_positions, source.groups, length, settings.seed
            )
        self.flow = FlowResiduals(
            self.network,
            case.scales.inertia,
            case.scales.diffusion,
            self.components,
            soft_wall=settings.network.no_slip == "soft",
            interval=case.interval,
            depth=None if self.sheet is None else self.sheet.depth,
        )
        self.residuals: Residuals = self.flow

        held_out = case.tracks.validation
        self.validation_points = torch.tensor(case.tracks.points[held_out], dtype=dtype)
        self.validation = torch.tensor(
            np.stack([values[held_out] for values in case.tracks.velocity.values()], axis=1),
            dtype=dtype,
        )

    def batch(self, step: int) -> Batch:
        """One point from every training group, and all tracks.

        Particles are one standard deviation of their depth above and below the mean by turns, so
        that squares of residuals are means over the depths that a particle may have.
        """
        batch = self.batches.batch(step)
        points, deviation = self.placed_tracks()
        if self.sheet is not None and deviation is not None:
            number = batch.firsts["tracks"] + batch.rows["tracks"]
            points[:, self.sheet.depth] += (1 - 2 * ((number + step) % 2)) * deviation
        batch.inputs["tracks"] = (points, self.batches.measured)
        return batch

    def placed_tracks(self) -> tuple[Tensor, Tensor | None]:
        """Points (n, 4) of this rank's rows of the tracks, and deviations of their depths (n,).

        Particles are where in the light sheet they seem to be.
        """
        points = self.batches.tracks
        if self.sheet is None:
            return points, None
        placed, track = points.clone(), self.batches.track
        drift = self.state["drifts"][self.ranks.share(self.batches.track_count)]
        placed[:, self.sheet.depth] += (self.state["depths"][track] + drift).to(points)
        variance = self.state["depth_covariances"][track, 0, 0]
        return placed, variance.sqrt().to(points)

    @property
    def depth_spread(self) -> float:
        """Standard deviation of the depths of particles about those that their rows state."""
        return 0.0 if self.sheet is None else float(self.state["depth_spread"])

    def factors(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Square roots of the weights of the rows of the tracks, (n, components).

        The weight is the probability that the row is not a mismatch, over the square of its noise
        where that is not the same for all rows.
        """
        relative = self.batches.relative_noise[batch.rows["tracks"]]
        if not self.settings.robust_weights:
            return {"tracks": 1 / relative}
        e = residuals["tracks"].detach()
        rows = (e.double(), batch.inputs["tracks"][1].double(), relative.double())
        optimiser = self.settings.optimiser_at(batch.step)
        small = isinstance(optimiser, AdamSettings)
        if "share" not in self.state or not small or batch.step % SMALL_STEPS == 0:
            everyone = None
            seen: tuple[Tensor, ...] = rows
            if isinstance(optimiser, GaussNewtonSettings):
                # It draws a few thousand rows, which all ranks may have.
                drawn = self.ranks.gather(torch.cat(rows, dim=1))
                seen = torch.split(drawn, e.shape[1], dim=1)
            elif not self.ranks.alone:
                everyone = Everyone(batch.counts["tracks"], self.ranks.sum)
            self.state |= vars(fit(*seen, everyone=everyone))
        mixture = self._mixture
        assert mixture is not None
        own = mixture.probability(*rows).to(e.dtype)
        return {"tracks": own[:, None].sqrt() / relative.to(e)}

    @property
    def _mixture(self) -> Mixture | None:
        """Of matched and mismatched rows; None where all count, and before the first step."""
        if "share" not in self.state:
            return None
        return Mixture(**{each.name: self.state[each.name] for each in fields(Mixture)})

    @torch.no_grad()
    def adapt(self, step: int, history: Sequence[dict[str, float]]) -> dict[str, float]:
        """Soften or stiffen the equations by the amplitude bias on the tracks."""
        bias, deviation = self.amplitude_bias()
        softening = 1.0
        if any(self.automatic):
            largest = self.settings.global_weights.largest_softening
            softening = next_softening(step, bias, deviation, history, largest)
            self._soften(softening)
        return {"amplitude_bias": bias, "softening": softening} | self._find_depths()

    @torch.no_grad()
    def amplitude_bias(self) -> tuple[float, float]:
        """By how much the measured main component exceeds the inferred one; its standard error.

        Depths at which particles seem to be make up for a part of a bias, which is put back. This
        is the estimate of generalised least squares, in which the rows of a track share an error.
        """
        predicted = self.flow.as_measured(*self.placed_tracks()).double()
        measured = self.batches.measured.double()
        biases, deviations = amplitude_bias(predicted, measured, self.batches.all_tracks)
        left, spread = self._unexplained(predicted)
        bias = (float(biases[self.main]) - spread) / left
        return bias, float(deviations[self.main]) / math.sqrt(left)

    def _unexplained(self, predicted: Tensor) -> tuple[float, float]:
        """Share of the squares of the main component that depths of particles do not make up.

        The second number is the variance of this component over the depths that particles may have,
        over its mean square: the mean square at depths that are not known is larger by it.
        """
        if not self.depth_spread:
            return 1.0, 0.0
        changes = self.changes_in_depth()
        assert changes is not None
        weight, noise = self.matched(predicted)
        flow = torch.zeros_like(predicted)
        flow[:, self.main] = predicted[:, self.main]
        flow = flow / noise
        left = float(self.information(flow.unsqueeze(-1), changes, weight, noise))
        change = changes[:, self.main].unsqueeze(1)
        covariance = self.state["depth_covariances"][self.batches.track]
        variance = (change @ covariance @ change.mT).flatten()
        main = predicted[:, self.main].square()
        squares = self.ranks.sum(
            torch.stack([weight @ variance, weight @ main, weight @ flow.square().sum(1)])
        )
        spread, square, whole = squares.clamp_min(torch.finfo(squares.dtype).tiny).tolist()
        return left / whole, spread / square

    def matched(self, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Probability (n,) that a row of the tracks is no mismatch, and noise (n, components)."""
        measured, relative = self.batches.measured.double(), self.batches.relative_noise.double()
        mixture = self._mixture
        if mixture is None:
            return torch.ones_like(measured[:, 0]), self.noise * relative
        weight = mixture.probability(predicted - measured, measured, relative)
        return weight, torch.maximum(self.noise, mixture.deviation) * relative

    def changes_in_depth(self) -> Tensor | None:
        """First two derivatives in depth (n, components, 2) of the velocity at this rank's rows.

        None where no component is missing, so that depths are known.
        """
        if self.sheet is None:
            return None
        return self.sheet.derivatives(self.flow, self.placed_tracks()[0])

    def information(
        self, values: Tensor, changes: Tensor | None, weight: Tensor, noise: Tensor
    ) -> Tensor:
        """What the tracks tell of k numbers with which their rows change by values, (k, k).

        Values (n, components, k) are over the noise, which comes with the weight from `matched`.
        With the `changes_in_depth`, rows of a track share the error of the depth of their particle.
        """
        if changes is None:
            return self.ranks.sum(torch.einsum("n,nci,ncj->ij", weight, values, values))
        return information(
            values,
            changes / noise.unsqueeze(-1),
            weight,
            self.batches.track,
            self.state["depth_covariances"],
            self.ranks.sum,
        )

    def _find_depths(self) -> dict[str, float]:
        """Find how thick the light sheet is and where particles are in it, for the next steps."""
        if self.sheet is None:
            return {}
        found = self.sheet.spread(self.flow, self.state["depth_spread"], self._mixture)
        if found is not None:
            self.state["depth_spread"].fill_(found)
            self.find_each_depth(OVER_RELAXATION)
        return {"depth_spread": self.depth_spread}

    def find_each_depth(self, relaxation: float = 1.0) -> None:
        """Find where in the light sheet the particle of each track is, given the flow.

        Depths move by `relaxation` times the step of expectation.
        """
        if self.sheet is None:
            return
        points, _ = self.placed_tracks()
        self.state["drifts"] = self.sheet.drifts(
            self.ranks.gather(points),
            self.ranks.gather(self.flow.velocity(points)),
            self.batches.track_of_all,
            self.state["depth_spread"],
        )
        points, _ = self.placed_tracks()
        predicted = self.flow.as_measured(points).double()
        weight, noise = self.matched(predicted)
        slope, bend = (self.sheet.derivatives(self.flow, points) / noise.unsqueeze(-1)).unbind(-1)
        before = self.state["depths"]
        found, self.state["depth_covariances"] = depths_of_tracks(
            (self.batches.measured - predicted) / noise,
            slope,
            bend,
            weight,
            self.batches.track,
            before,
            self.depth_spread**2,
            self.ranks.sum,
        )
        self.state["depths"] = before + relaxation * (found - before)

    def _soften(self, softening: float) -> None:
        """Multiply the tolerances that are automatic."""
        self.weights["navier_stokes"] = [
            weight / softening**2 if automatic else weight
            for weight, automatic in zip(self.resolved, self.automatic, strict=True)
        ]

    @torch.no_grad()
    def errors(self) -> dict[str, float]:
        """Relative L2 error of each measured component on the held-out rows; Eq. 27."""
        own = self.ranks.share(len(self.validation_points))
        points = self.validation_points[own].to(self.ranks.device)
        deviation = None
        if self.sheet is not None:
            deviation = self.state["depth_spread"].to(points).expand(len(points))
        predicted = self.ranks.gather(self.flow.as_measured(points, deviation)).cpu()
        relative = (predicted - self.validation).norm(dim=0) / self.validation.norm(dim=0)
        return {
            f"validation_{COMPONENTS[component]}": float(error)
            for component, error in zip(self.components, relative, strict=True)
        }


def _by_block(weights: GlobalWeights, components: list[int]) -> dict[str, list[float]]:
    """Weights of the terms of each block, of settings that leave nothing ``auto``."""
    if "auto" in (weights.no_slip, weights.tracks, weights.momentum, weights.mass):
        raise ValueError("the weights must be resolved, found auto")
    return {
        "no_slip": [float(weight) for weight in weights.no_slip],
        "tracks": [float(weights.tracks[component]) for component in components],
        "navier_stokes": [*map(float, weights.momentum), float(weights.mass)],
    }
