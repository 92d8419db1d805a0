"""What an experiment will need: points, memory, disk, and the size of its network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from aiv_rba.files.case import WallFunction
from aiv_rba.problems.velocimetry.choices import ROWS, WIDTH
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.ranks.plan import collocation_memory, collocation_points, points_file_size
from aiv_rba.settings import (
    AdamSettings,
    GaussNewtonSettings,
    LBFGSSettings,
    OptimiserSettings,
    PointsSettings,
    SSBroydenSettings,
    TrainSettings,
)
from aiv_rba.settings.types import FlowKind
from aiv_rba.stages.ingest.choices import MOST_HARMONICS
from aiv_rba.stages.ingest.time_content import MOST as MOST_DEGREE
from aiv_rba.stages.train.uncertainty import method_of

MIB = 2**20
# Where two components of the velocity are measured.
_TERMS = {"no_slip": 3, "tracks": 2, "navier_stokes": 4}
_NO_WALL = WallFunction(
    sources=np.zeros((0, 3)),
    strengths=np.zeros(0),
    constant=1.0,
    linear=np.zeros(3),
    quadratic=np.eye(3) / -6,
    unit=1.0,
    slope=1.0,
    misfit=0.0,
)
# Most functions of time that the ingestion chooses, where their number is not given.
_MOST: dict[FlowKind, int] = {"periodic": MOST_HARMONICS, "steady": 0, "unsteady": MOST_DEGREE}


@dataclass(frozen=True)
class Costs:
    """What an experiment will need.

    Attributes
    ----------
    points
        Collocation points in the lumen and on the wall.
    parameters
        Least and largest number of the network's parameters, by the functions of time; where its
        width is chosen, those of the usual one.
    collocation, training
        Memory of stages points and train, all their processes together, bytes.
    disk
        ``points.h5`` and two checkpoints, bytes.
    """

    points: tuple[int, int]
    parameters: tuple[int, int]
    collocation: float
    training: float
    disk: float


def costs(points: PointsSettings, train: TrainSettings, flow: FlowKind, ranks: int) -> Costs:
    """Estimate what an experiment will need on so many ranks.

    Raises
    ------
    UserError
        If there is no network of such settings.
    """
    asked = train.network.time_harmonics
    least, most = (
        parameters(train, modes, flow)
        for modes in ((0, _MOST[flow]) if asked == "auto" else (asked, asked))
    )
    return Costs(
        points=collocation_points(points),
        parameters=(least, most),
        collocation=ranks * collocation_memory(points),
        training=ranks * training_memory(train, points, most, ranks),
        disk=points_file_size(points) + 2 * checkpoint_size(train, most),
    )


def parameters(train: TrainSettings, modes: int, flow: FlowKind) -> int:
    """Parameters of the flow's network with so many harmonics, or polynomials, of time.

    Raises
    ------
    UserError
        If there is no network of such settings.
    """
    network = replace(
        train.network,
        width=_width(train),
        time_harmonics=modes,
        output_scales=(1.0, 1.0, 1.0, 1.0),
    )
    made = FlowNetwork(network, torch.zeros(4), torch.ones(4), _NO_WALL, flow)
    return sum(p.numel() for p in made.parameters())


def training_memory(
    train: TrainSettings, points: PointsSettings, parameters: int, ranks: int
) -> float:
    """Most memory of a rank of the training, bytes.

    It is the sum of

    - 400 MiB of libraries and data,
    - the rank's share of the collocation points, at most 34 bytes each, and 16 more in single
      precision; those of two steps only where they are streamed,
    - with Gauss-Newton, 3 J + 2.5 H, where J is the Jacobian of this rank's residuals of a step
      and H the curvature, a square of the parameters; where standard deviations follow from the
      curvature 4.2 J + 2.5 H,
    - with another optimiser, the activations of a step: 6 jets for each layer.
    """
    number = 8 if train.precision == "double" else 4
    held = sum(collocation_points(points)) / ranks
    if train.points == "stream":
        held *= min(1, 2 / points.per_group)
    own = held * (34 if number == 8 else 50)
    optimisers = [o for o in (train.optimiser, train.second_optimiser) if o is not None]
    steps = [_step(o, train, points, parameters, ranks) for o in optimisers]
    return 400 * MIB + own + number * max(steps)


def checkpoint_size(train: TrainSettings, parameters: int) -> float:
    """Network and state of the optimiser in a checkpoint, bytes in double precision."""
    optimisers = [o for o in (train.optimiser, train.second_optimiser) if o is not None]
    return 8 * (parameters + max(_state(o, parameters) for o in optimisers))


def _state(optimiser: OptimiserSettings, parameters: int) -> float:
    """Numbers that a checkpoint keeps of an optimiser."""
    match optimiser:
        case GaussNewtonSettings(curvature_memory=None):
            return parameters
        case GaussNewtonSettings():
            return parameters**2 / 2
        case SSBroydenSettings():
            return parameters**2
        case LBFGSSettings():
            return (2 * optimiser.pairs + 3) * parameters
        case AdamSettings():
            return 2 * parameters


def _step(
    optimiser: OptimiserSettings,
    train: TrainSettings,
    points: PointsSettings,
    parameters: int,
    ranks: int,
) -> float:
    """Numbers that a step of an optimiser holds on a rank."""
    if isinstance(optimiser, GaussNewtonSettings):
        jacobian = _residuals(optimiser, train) / ranks * parameters
        curvature = method_of(train, parameters) == "curvature"
        return (4.2 if curvature else 3.0) * jacobian + 2.5 * parameters**2
    interior, _ = collocation_points(points)
    groups = train.groups_per_step or interior // points.per_group
    jet = 6 * groups / ranks * _width(train)
    return 6 * jet * (train.network.layers + 1)


def _width(train: TrainSettings) -> int:
    """Neurons of a hidden layer; the usual ones, where the Reynolds number decides."""
    return WIDTH if train.network.width == "auto" else train.network.width


def _residuals(optimiser: GaussNewtonSettings, train: TrainSettings) -> int:
    """Residuals of a step of Gauss-Newton, over all ranks."""
    blocks = [name for name in ROWS if name != "no_slip" or train.network.no_slip == "soft"]
    rows = [ROWS[name] for name in blocks] if optimiser.rows == "auto" else optimiser.rows
    return sum(n * _TERMS[name] for n, name in zip(rows, blocks, strict=False))


def lines(costs: Costs, results: str) -> Iterator[str]:
    """What will be made and what it needs, for people."""
    interior, wall = costs.points
    least, most = costs.parameters
    network = f"{most:,} parameters"
    if least < most:
        network = f"{least:,} to {network}, by the functions of time that the tracks support"
    yield f"results: {results}"
    yield f"points: {interior:,} in the lumen, {wall:,} on the wall"
    yield f"network: {network}"
    yield f"memory: {size(costs.collocation)} for stage points, {size(costs.training)} for training"
    yield f"disk: {size(costs.disk)} for points and checkpoints"


def size(amount: float) -> str:
    """A number of bytes for people."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB")):
        if amount >= unit:
            return f"{amount / unit:.1f} {name}"
    return f"{amount / MIB:.0f} MiB"
