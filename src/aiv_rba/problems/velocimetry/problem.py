"""Artificial intelligence velocimetry as a problem of the training loop; Eqs. 33-41."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aiv_rba.files.case import Case
from aiv_rba.mixture import Everyone, Mixture, amplitude_bias, fit
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.problems.velocimetry import navier_stokes
from aiv_rba.problems.velocimetry.batches import Batches
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.problems.velocimetry.softening import next_softening
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AdamSettings, GlobalWeights, TrainSettings

COMPONENTS = "uvw"
# Steps between two fits of the mixture of matched and mismatched rows where steps are small: a fit
# takes thirteen sums over ranks, and hardly changes meanwhile.
SMALL_STEPS = 10


class FlowResiduals(Residuals):
    """The nine terms of the loss, Eqs. 39-41; six where no-slip is exact."""

    network: FlowNetwork
    components: Tensor

    def __init__(
        self,
        network: FlowNetwork,
        inertia: float,
        diffusion: float,
        components: list[int],
        *,
        soft_wall: bool,
    ) -> None:
        super().__init__(network)
        self.terms = {"no_slip": ("no_slip_u", "no_slip_v", "no_slip_w")} if soft_wall else {}
        self.terms |= {
            "tracks": ("tracks_u", "tracks_v", "tracks_w"),
            "navier_stokes": ("momentum_x", "momentum_y", "momentum_z", "mass"),
        }
        self.governing = "navier_stokes"
        self.inertia = inertia
        self.diffusion = diffusion
        # On the device: an index that lies on the host would make a GPU wait.
        columns = torch.tensor(components, device=network.scales.device)
        self.register_buffer("components", columns, persistent=False)

    def forward(self, inputs: dict[str, tuple[Tensor, ...]]) -> Blocks:
        """Residuals (n, terms) of each block; velocities of wall and tracks in one pass."""
        if "no_slip" not in inputs or "tracks" not in inputs:
            return super().forward(inputs)
        (wall,), (points, measured) = inputs["no_slip"], inputs["tracks"]
        velocity = self.network.value(torch.cat([wall, points]))
        at_wall, at_tracks = torch.split(velocity, [len(wall), len(points)])
        found = {
            "no_slip": at_wall[:, :3],
            "tracks": at_tracks[:, self.components] - measured,
        }
        rest = {block: tensors for block, tensors in inputs.items() if block not in found}
        return found | super().forward(rest)

    def no_slip(self, points: Tensor) -> Tensor:
        """Velocity at the wall, (n, 3)."""
        return self.network.value(points)[:, :3]

    def tracks(self, points: Tensor, measured: Tensor) -> Tensor:
        """Velocity less measured velocity, (n, components)."""
        return self.network.value(points)[:, self.components] - measured

    def navier_stokes(self, points: Tensor) -> Tensor:
        """Momentum and mass, (n, 4)."""
        return navier_stokes.residuals(self.network.jet(points), self.inertia, self.diffusion)


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
        self.residuals: Residuals = FlowResiduals(
            self.network,
            case.scales.inertia,
            case.scales.diffusion,
            self.components,
            soft_wall=settings.network.no_slip == "soft",
        )

        held_out = case.tracks.validation
        self.validation_points = torch.tensor(case.tracks.points[held_out], dtype=dtype)
        self.validation = torch.tensor(
            np.stack([values[held_out] for values in case.tracks.velocity.values()], axis=1),
            dtype=dtype,
        )

    def batch(self, step: int) -> Batch:
        """One point from every training group, and all tracks."""
        return self.batches.batch(step)

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
        small = isinstance(self.settings.optimiser_at(batch.step), AdamSettings)
        if not self.state or not small or batch.step % SMALL_STEPS == 0:
            everyone = None
            if self.ranks.size > 1:
                everyone = Everyone(batch.counts["tracks"], self.ranks.sum)
            self.state = vars(fit(*rows, everyone=everyone))
        own = Mixture(**self.state).probability(*rows).to(e.dtype)
        return {"tracks": own[:, None].sqrt() / relative.to(e)}

    @torch.no_grad()
    def adapt(self, step: int, history: Sequence[dict[str, float]]) -> dict[str, float]:
        """Soften or stiffen the equations by the amplitude bias on the tracks."""
        predicted = self.network.value(self.batches.tracks)[:, self.components].double()
        measured = self.batches.measured.double()
        biases, deviations = amplitude_bias(predicted, measured, self.batches.all_tracks)
        bias, deviation = float(biases[self.main]), float(deviations[self.main])
        softening = 1.0
        if any(self.automatic):
            largest = self.settings.global_weights.largest_softening
            softening = next_softening(step, bias, deviation, history, largest)
            self._soften(softening)
        return {"amplitude_bias": bias, "softening": softening}

    def _soften(self, softening: float) -> None:
        """Multiply the tolerances that are automatic."""
        self.weights["navier_stokes"] = [
            weight / softening**2 if automatic else weight
            for weight, automatic in zip(self.resolved, self.automatic, strict=True)
        ]

    @torch.no_grad()
    def errors(self) -> dict[str, float]:
        """Relative L2 error of each measured component on the held-out rows; Eq. 27."""
        points = self.validation_points.to(self.ranks.device)
        predicted = self.network.value(points)[:, self.components].cpu()
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
