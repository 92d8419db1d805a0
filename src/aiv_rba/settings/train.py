"""Settings of stage train: network, loss, optimiser."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from aiv_rba.settings.networks import PerceptronSettings
from aiv_rba.settings.optimisers import FIXED_BATCHES
from aiv_rba.settings.ranks import Device, TimeoutSettings
from aiv_rba.settings.training import LoopSettings
from aiv_rba.settings.types import STRICT, Auto, Count, NonNegative, Positive, Triple
from aiv_rba.settings.uncertainty import UncertaintySettings


@dataclass(frozen=True, config=STRICT)
class FlowNetworkSettings(PerceptronSettings):
    """Network of the flow."""

    width: Count | Auto = "auto"
    """Neurons in each hidden layer; auto: 32, or 48 where the Reynolds number of the hydraulic
    radius is at least 30."""
    time: Literal["coefficients", "input"] = "coefficients"
    """The network of the position alone gives coefficients of every field in time, of Fourier
    series or, in an unsteady flow, of Legendre polynomials; or time is one of its inputs as in the
    paper."""
    time_harmonics: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Harmonics of time, or highest degree of the polynomials in an unsteady flow; auto: as many as
    the tracks support. As an input, time is embedded by the harmonics of a periodic flow (Eq. 22),
    and 0 leaves it as it is."""
    no_slip: Literal["exact", "soft"] = "exact"
    """Multiply the velocity by a function that vanishes on the wall (Eq. 20), or impose the
    condition on points of the wall by a loss term (Eq. 39)."""
    first_layer: Literal["ridges", "xavier"] = "ridges"
    """Initial first layer of a network of the position alone: ridges of one length in all
    directions through random points of the lumen, or Xavier's weights. Where time is an input the
    weights are Xavier's."""
    ridge_length: Positive = 2.0
    """Length of the ridges, hydraulic radii."""
    output_scales: tuple[Positive, Positive, Positive, Positive] | Auto = "auto"
    """Scales of u, v, w, p (Eqs. 35-38), nondimensional."""


@dataclass(frozen=True, config=STRICT)
class GlobalWeights:
    """Global weights of the loss terms, nondimensional.

    A weight that is auto is the inverse square of the size that a residual may have.
    """

    no_slip: Triple | Auto = "auto"
    """No-slip condition in x, y, z."""
    tracks: Triple | Auto = "auto"
    """Measured velocity in x, y and, where it is measured, z; auto: 1 over the noise squared."""
    momentum: Triple | Auto = "auto"
    """Conservation of momentum in x, y, z."""
    mass: NonNegative | Auto = "auto"
    """Conservation of mass."""
    no_slip_tolerance: Positive = 0.02
    """Velocity at the wall that an automatic weight allows, velocity scales."""
    momentum_tolerance: Positive = 0.15
    """Residual of the axial momentum that an automatic weight allows, over the viscous and the
    unsteady force of a flow at the velocity scale in the hydraulic radius. Across the vessel it
    is smaller by the ratio of the velocities, down to a quarter."""
    largest_softening: Annotated[float, Field(ge=1)] = 4.0
    """Factor of the tolerances of automatic weights of momentum and mass with which Gauss-Newton
    starts. It falls to one while the inferred flow is large enough, and rises while it is too slow
    by more than 0.2 percent and its standard error (amplitude bias on the tracks)."""
    mass_tolerance: Positive = 0.01
    """Divergence that an automatic weight allows, velocity scales over the hydraulic radius."""


@dataclass(frozen=True, config=STRICT)
class TrainSettings(LoopSettings):
    """Stage train."""

    network: FlowNetworkSettings = field(default_factory=FlowNetworkSettings)
    """The network."""
    global_weights: GlobalWeights = field(default_factory=GlobalWeights)
    """Global weights of the loss terms."""
    settled: NonNegative | None = 0.02
    """Stop Gauss-Newton when the held-out errors no longer fall and the loss of the equations falls
    by less than this part of the whole loss in 20 steps, and the tolerances have been the same for
    50; null: never stop before the last step."""
    averaged_steps: Annotated[int, Field(ge=0)] = 20
    """Number of last steps of Gauss-Newton over which the parameters are averaged at the end, at
    most a quarter of all steps; 0: none."""
    robust_weights: bool = True
    """Weight each row of the tracks by the probability that it is not a mismatch."""
    light_sheet: Literal["auto", "thin"] = "auto"
    """auto: rows of the tracks are compared with the mean velocity over the depths that particles
    have in the light sheet, whose spread the tracks show; thin: with the velocity at the depth that
    they state. Where depths or all three components are measured it makes no difference."""
    fit_amplitudes: bool = True
    """When the training has ended, scale the mean flow and every harmonic so that the tracks are
    met best; an unsteady flow, or one whose time is an input, as a whole."""
    groups_per_step: Annotated[int, Field(ge=0)] = 0
    """Take a rotating part of the groups at each step, with Adam or Gauss-Newton; 0 takes one point
    from every group."""
    points: Literal["memory", "stream", "auto"] = "auto"
    """Hold all collocation points of a rank in memory, or read those of the next step from the file
    during a step; auto: hold them if they take at most a quarter of the rank's memory. The
    result is the same."""
    uncertainty: UncertaintySettings = field(default_factory=UncertaintySettings)
    """Standard deviations of the answer."""
    device: Device = "auto"
    """Train on GPUs, one for each rank, or on processor cores; auto: on GPUs where any are
    visible."""
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)
    """How long ranks wait for each other."""

    @model_validator(mode="after")
    def _all_groups_in_fixed_batches(self) -> Self:
        for optimiser in (self.optimiser, self.second_optimiser):
            if self.groups_per_step and isinstance(optimiser, FIXED_BATCHES):
                raise ValueError(
                    f"found groups_per_step: {self.groups_per_step} with the optimiser "
                    f"{optimiser.name}, expected 0: its batch does not change, so other groups "
                    "would never take part"
                )
        return self
