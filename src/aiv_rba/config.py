"""Configuration of an experiment: frozen dataclasses, strict loader, JSON schema.

An experiment is one YAML file with a section per stage. A stage reads its own section only, so
it accepts the whole file as well as a file that holds nothing but that section.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from aiv_rba.errors import UserError

_strict = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Triple = tuple[NonNegative, NonNegative, NonNegative]
Auto = Literal["auto"]


@dataclass(frozen=True, config=_strict)
class Fluid:
    density: Positive
    """Density, kg/m^3."""
    viscosity: Positive
    """Dynamic viscosity, Pa s."""


@dataclass(frozen=True, config=_strict)
class Units:
    length: str = "um"
    """Unit of the positions in the tracks."""
    time: str = "s"
    """Unit of the times in the tracks."""
    velocity: str = "um/s"
    """Unit of the velocities in the tracks."""
    wall: str = "um"
    """Unit of the wall's coordinates."""


@dataclass(frozen=True, config=_strict)
class Split:
    by: Literal["track", "point"] = "track"
    """Put whole tracks, or single points, on one side of the split."""
    train: Fraction = 0.6
    """Share used for training; the rest validates."""
    seed: Seed = 0
    """Seed of the split."""


@dataclass(frozen=True, config=_strict)
class Ingest:
    tracks: str
    """CSV file of tracks: t, x, y, z (or z_plane), u, v[, w], track[, plane][, frame]."""
    wall: str
    """Triangulated wall: STL, PLY, VTP or VTK."""
    fluid: Fluid
    """Properties of the fluid."""
    period: Positive
    """Cardiac period, s."""
    length_scale: Positive | Auto = "auto"
    """Unit of length L, m; auto: the hydraulic radius of the lumen."""
    velocity_scale: Positive | Auto = "auto"
    """Unit of velocity U, m/s; auto: the rms of the measured axial velocity, or of the speed."""
    pressure_scaling: Literal["auto", "inertial", "viscous"] = "auto"
    """Measure pressure in rho U^2 (Eq. 33) or in mu U / L; auto: the latter where Re < 1."""
    inner_wall: str | None = None
    """Inner wall of an annular lumen; none for a single lumen."""
    axis: Literal["x", "y", "z"] = "y"
    """Vessel axis in the coordinates of the files."""
    units: Units = field(default_factory=Units)
    """Units of the files."""
    velocities: Literal["columns", "differences"] = "columns"
    """Take velocities from the columns, or from central differences along each track."""
    outside: Literal["drop", "keep", "error"] = "drop"
    """What to do with track points outside the wall."""
    split: Split = field(default_factory=Split)
    """Training and validation rows."""


@dataclass(frozen=True, config=_strict)
class Points:
    n_theta: Count = 12
    """Angular patches."""
    n_y: Count = 10
    """Axial patches."""
    n_r: Count = 3
    """Radial groups of the interior points."""
    n_t: Count = 5
    """Temporal groups of the interior points."""
    wall_n_t: Count = 5
    """Temporal groups of the wall points."""
    per_group: Count = 40
    """Points in every group: the number of mini-batches of an epoch."""
    layers: Count = 40
    """Equally spaced shrunk copies of the wall."""
    time_levels: Count = 101
    """Equally spaced times over the period with which the points are tiled."""
    bins: Literal["quantile", "uniform"] = "quantile"
    """Patches of equal numbers of wall points, or of equal angle and length."""
    seed: Seed = 0
    """Seed of the order within each group."""


@dataclass(frozen=True, config=_strict)
class Perceptron:
    """Architecture of a network."""

    architecture: Literal["mlp", "modified_mlp"] = "mlp"
    """Plain multilayer perceptron, or the modified one of Eqs. 14-17."""
    layers: Count = 3
    """Hidden layers."""
    width: Count = 32
    """Neurons in each hidden layer."""
    activation: Literal["sin", "tanh"] = "tanh"
    """Activation function."""
    weight_normalisation: bool = False
    """Train length and direction of the weight vectors apart (Eqs. 18-19)."""


@dataclass(frozen=True, config=_strict)
class Network(Perceptron):
    """Network of the flow."""

    time: Literal["coefficients", "input"] = "coefficients"
    """The network of the position alone gives Fourier coefficients of every field in time, or time
    is one of its inputs as in the paper."""
    time_harmonics: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Harmonics of time; auto: as many as the tracks support. As an input, time is embedded by
    them (Eq. 22), and 0 leaves it as it is."""
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


@dataclass(frozen=True, config=_strict)
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
    """Factor by which Gauss-Newton may raise the tolerances of automatic weights of momentum and
    mass while the inferred flow is too slow by more than 0.2 percent (amplitude bias on the
    tracks)."""
    mass_tolerance: Positive = 0.01
    """Divergence that an automatic weight allows, velocity scales over the hydraulic radius."""


@dataclass(frozen=True, config=_strict)
class NoWeighting:
    name: Literal["none"] = "none"
    """All multipliers are one."""


@dataclass(frozen=True, config=_strict)
class RBA:
    name: Literal["rba"] = "rba"
    """Residual-based attention, Eq. 12."""
    gamma: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay; the memory of the multipliers is 1 / (1 - gamma) steps."""
    eta: Positive = 0.1
    """Learning rate eta* of the multipliers of tracks and Navier-Stokes residuals."""
    eta_wall: Positive = 0.1
    """Learning rate eta* of the multipliers of the no-slip condition."""
    offset: NonNegative = 1.0
    """Lower bound lambda_o."""
    init: Literal[1, 2] = 1
    """Initialisation of Algorithm 1."""


@dataclass(frozen=True, config=_strict)
class SelfAdaptive:
    name: Literal["self_adaptive"] = "self_adaptive"
    """Gradient ascent in the multipliers (McClenny & Braga-Neto 2020)."""
    learning_rate: Positive = 5e-3
    """Learning rate of their Adam."""
    start: dict[str, Positive] = field(default_factory=dict)
    """Blocks whose multipliers start anywhere between zero and this; others start at one."""


@dataclass(frozen=True, config=_strict)
class Annealing:
    name: Literal["annealing"] = "annealing"
    """Learning-rate annealing: one multiplier per block (Wang, Teng & Perdikaris 2021)."""
    every: Count = 10
    """Training steps between updates."""
    rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share alpha of the new value in the moving average."""


@dataclass(frozen=True, config=_strict)
class Causal:
    name: Literal["causal"] = "causal"
    """Later times wait for earlier ones (Wang, Sankaran & Perdikaris 2022)."""
    chunks: Count = 32
    """Parts of equal length of the time span."""
    tolerances: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.01, 0.1, 1.0, 10.0, 100.0)
    """Causality parameters epsilon, one after the other."""
    threshold: Fraction = 0.99
    """Smallest weight at which the next tolerance is taken."""


Weighting = Annotated[
    RBA | SelfAdaptive | Annealing | Causal | NoWeighting, Field(discriminator="name")
]


@dataclass(frozen=True, config=_strict)
class Adam:
    name: Literal["adam"] = "adam"
    """Adam with exponential decay of the learning rate."""
    iterations: Count = 250_000
    """Training steps."""
    learning_rate: Positive = 2e-3
    """Initial learning rate."""
    final_learning_rate: Positive = 1.5e-4
    """Final learning rate."""
    decay: Fraction = 0.9
    """Factor of each decay; the interval follows from the two learning rates."""
    compile: bool = True
    """Compile the residuals with torch.compile where a C++ compiler is present."""


@dataclass(frozen=True, config=_strict)
class GaussNewton:
    name: Literal["gauss_newton"] = "gauss_newton"
    """Recursive Gauss-Newton with damping, for networks of a few thousand parameters."""
    iterations: Count = 200
    """Training steps."""
    damping: Positive = 1e-3
    """Initial damping, relative to the diagonal of J^T J or to its mean."""
    scaling: Literal["marquardt", "levenberg"] = "marquardt"
    """Damp every parameter by its own curvature (Marquardt), or all alike (Levenberg)."""
    acceleration: bool = False
    """Geodesic acceleration: follow the bend of the residuals (Transtrum & Sethna 2012)."""
    smallest_damping: Positive = 1e-9
    """Lower bound of the damping."""
    update: Literal["thirds", "gain"] = "thirds"
    """Change the damping by factors of three, or by how well a step was predicted (Nielsen)."""
    trials: Count = 6
    """Tries of one step, each with more damping."""
    rows: tuple[Count, ...] | Auto = "auto"
    """Points of each block of one step over all ranks, drawn at random: of wall (where no-slip is
    a loss term), tracks and interior. auto: 300, 2000 and 1200, or all on known problems."""
    redraw: Count = 1
    """Steps until other points are drawn."""
    adaptive: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the points drawn in proportion to their residuals; the others are drawn evenly."""
    memory: Positive | None = 10.0
    """Steps in which the memory of the curvature J^T J grows by one draw of these points; null
    forgets, and finds steps in the space of the rows where these are fewer than parameters."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the last step that the damping holds the next one to (SPRING)."""


@dataclass(frozen=True, config=_strict)
class LBFGS:
    name: Literal["lbfgs"] = "lbfgs"
    """L-BFGS with a strong Wolfe line search, on batches that do not change."""
    iterations: Count = 2000
    """Training steps."""
    pairs: Count = 50
    """Pairs of steps and gradient changes that the approximate Hessian is made of."""
    compile: bool = True
    """Compile the residuals with torch.compile where a C++ compiler is present."""


@dataclass(frozen=True, config=_strict)
class SSBroyden:
    name: Literal["ssbroyden"] = "ssbroyden"
    """Self-scaled Broyden method (Al-Baali 1998), on batches that do not change."""
    iterations: Count = 2000
    """Training steps."""
    compile: bool = True
    """Compile the residuals with torch.compile where a C++ compiler is present."""


Optimiser = Annotated[Adam | GaussNewton | LBFGS | SSBroyden, Field(discriminator="name")]


@dataclass(frozen=True, config=_strict)
class Training:
    """What the training loop needs to know, whatever the problem."""

    weighting: Weighting = field(default_factory=RBA)
    """Local multipliers."""
    optimiser: Optimiser = field(default_factory=GaussNewton)
    """The optimiser."""
    then: Optimiser | None = None
    """A second optimiser that goes on where the first one ends."""
    precision: Literal["single", "double"] = "double"
    """Floating-point precision."""
    history_every: Count = 5
    """Steps between rows of the history."""
    checkpoint_every: Count = 50
    """Steps between checkpoints."""
    settled: NonNegative | None = None
    """Stop Gauss-Newton when held-out errors do not fall any more, and the equations' loss falls by
    less than this part of the whole loss in 30 steps; null: not before the last step."""
    minutes: Positive | None = None
    """Stop after so many minutes of training; null: not before the last step."""
    restarts: Annotated[int, Field(ge=0)] = 0
    """Restarts from the last checkpoint, with steps half as long, should a number not be finite."""
    seed: Seed = 0
    """Seed of the network and of the order of the mini-batches."""

    @property
    def iterations(self) -> int:
        """Training steps of both optimisers."""
        return self.optimiser.iterations + (self.then.iterations if self.then else 0)

    @property
    def few_large_steps(self) -> bool:
        """Whether Gauss-Newton is the only optimiser; others take thousands of small steps."""
        return isinstance(self.optimiser, GaussNewton) and self.then is None


@dataclass(frozen=True, config=_strict)
class Train(Training):
    """Stage train."""

    network: Network = field(default_factory=Network)
    """The network."""
    weights: GlobalWeights = field(default_factory=GlobalWeights)
    """Global weights of the loss terms."""
    settled: NonNegative | None = 0.02
    """Stop Gauss-Newton when held-out errors do not fall any more, and the equations' loss falls by
    less than this part of the whole loss in 30 steps; null: not before the last step."""
    robust_tracks: bool = True
    """Weight rows of tracks by the probability that they are no mismatches."""
    groups_per_step: Annotated[int, Field(ge=0)] = 0
    """Take a rotating part of the groups at each step; 0 takes one point from every group."""


@dataclass(frozen=True, config=_strict)
class Fields:
    times: Count = 12
    """Equally spaced times over the period."""
    layers: Count = 12
    """Shrunk copies of the wall in the volume mesh."""
    sections: Count = 21
    """Cross-sections on which the flow rate and the mean pressure are integrated."""


@dataclass(frozen=True, config=_strict)
class Score:
    truth: str | None = None
    """File with the true fields, where they are known."""


@dataclass(frozen=True, config=_strict)
class Report:
    title: str = "Artificial intelligence velocimetry"
    """Title of the page."""
    phases: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.0, 0.33, 0.66)
    """Phases of the cycle (t / T) that are drawn."""


@dataclass(frozen=True, config=_strict)
class Experiment:
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    """Name of the results folder."""
    ingest: Ingest
    """Stage ingest: tracks, wall, units, scales."""
    points: Points = field(default_factory=Points)
    """Stage points: collocation points and training groups."""
    train: Train = field(default_factory=Train)
    """Stage train: network, loss, optimiser."""
    fields: Fields = field(default_factory=Fields)
    """Stage fields: VTK output."""
    score: Score = field(default_factory=Score)
    """Stage score: errors against held-out tracks and, where known, the truth."""
    report: Report = field(default_factory=Report)
    """Stage report: the page."""


@dataclass(frozen=True, config=_strict)
class ScalarNetwork(Perceptron):
    """Network of a benchmark."""

    embedding: Literal["none", "fourier_x", "fourier_each", "fourier_xy", "fourier_truncated"] = (
        "none"
    )
    """Periodic embedding: of x, or of each coordinate by itself (Eq. 22), of products of both
    (Eq. 23), or of these without those of two sines (Eq. 31)."""
    harmonics: Count = 5
    """Harmonics of the embedding."""
    first_spread: Positive = 1.0
    """Factor of the first layer's initial weights, whose biases then are spread as widely."""
    distance: bool = False
    """Multiply by a distance function that vanishes on the boundary (Eq. 32)."""
    kink: bool = False
    """Add the singular part that the initial condition of Allen-Cahn has at x = -1 and 1."""


@dataclass(frozen=True, config=_strict)
class Benchmark(Training):
    """One method on one benchmark."""

    network: ScalarNetwork = field(default_factory=ScalarNetwork)
    """The network."""
    points: Count = 2000
    """Collocation points; a grid has the nearest square number of nodes."""
    sampling: Literal["latin_hypercube", "grid"] = "latin_hypercube"
    """Where the collocation points lie."""
    boundary_points: Count = 200
    """Points on which initial or boundary values are imposed."""
    boundary_weight: NonNegative = 100.0
    """Global weight of initial and boundary values."""
    seeds: tuple[Seed, ...] = (0,)
    """Seeds, one training each; `seed` is not used."""
    reported: Positive | None = None
    """Relative L2 error that the paper reports for this method, with its own settings."""


@dataclass(frozen=True, config=_strict)
class Checks:
    """What the methods of a benchmark must reach; errors are means over seeds of relative L2."""

    at_most: dict[str, Positive] = field(default_factory=dict)
    """Largest error of a method."""
    within: dict[str, tuple[Positive, Annotated[float, Field(gt=1)]]] = field(default_factory=dict)
    """Expected error of a method, and the factor by which it may differ either way."""
    better: dict[str, tuple[str, Positive]] = field(default_factory=dict)
    """A method, another one, and how many times more accurate the first must be."""


@dataclass(frozen=True, config=_strict)
class Comparison:
    """Methods on one benchmark problem."""

    profile: str
    """Name of the file that lists them."""
    methods: dict[str, Benchmark]
    """Settings by name; costs are relative to the first."""
    checks: Checks = field(default_factory=Checks)
    """What they must reach."""
    reported: dict[str, Positive] = field(default_factory=dict)
    """Relative L2 errors of the literature, of methods that are not run."""


STAGES: dict[str, Any] = {
    "ingest": Ingest,
    "points": Points,
    "train": Train,
    "fields": Fields,
    "score": Score,
    "report": Report,
}


def load_stage(path: Path, stage: str) -> Any:
    """Read the section of one stage.

    Returns
    -------
    The stage's dataclass, such as `Ingest` for ``"ingest"``.

    Raises
    ------
    UserError
        If the file is missing, not YAML, or a key or value is wrong.
    """
    document = _read_yaml(path)
    unknown = document.keys() - STAGES.keys() - {"name"}
    if unknown:
        raise UserError(f"{path}: unknown key {min(unknown)!r}, expected name, {', '.join(STAGES)}")
    return _validated(STAGES[stage], document.get(stage) or {}, path, stage)


def load_benchmarks(path: Path, problem: str) -> Comparison:
    """Read the methods of one benchmark problem, and what they must reach.

    The file has a section per problem: `common` settings, `methods` that change some of them,
    `checks`, and errors of other methods as they were `reported`.

    Raises
    ------
    UserError
        If the file is missing, not YAML, or a key or value is wrong.
    """
    section = _read_yaml(path).get(problem)
    if not isinstance(section, dict) or not isinstance(section.get("methods"), dict):
        raise UserError(f"{path}: {problem}.methods: missing, expected a mapping of methods")
    keys = ("common", "methods", "checks", "reported")
    unknown = section.keys() - set(keys)
    if unknown:
        raise UserError(
            f"{path}: {problem}: unknown key {min(unknown)!r}, expected {', '.join(keys)}"
        )
    common = section.get("common") or {}
    methods = {
        name: _validated(Benchmark, _merge(common, changes or {}), path, f"{problem}.{name}")
        for name, changes in section["methods"].items()
    }
    others = {key: section.get(key) or {} for key in ("checks", "reported")}
    whole = {"profile": Path(path).stem, "methods": methods, **others}
    compared: Comparison = _validated(Comparison, whole, path, problem)
    return compared


def _validated(kind: Any, values: Any, path: Path, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_problem(error, where)}") from None


def _merge(common: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with changes; a mapping with another `name` replaces the whole mapping."""
    merged = dict(common)
    for key, value in changes.items():
        old = common.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            same = value.get("name", old.get("name")) == old.get("name")
            value = _merge(old, value) if same else value
        merged[key] = value
    return merged


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        found = type(document).__name__
        raise UserError(f"{path}: found {found}, expected a mapping with a section per stage")
    return document


def _first_problem(error: ValidationError, stage: str) -> str:
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    # Where auto may stand for a value, pydantic names the kind of the value in the path.
    names = [part for part in path if not part.startswith(("constrained-", "tuple["))]
    key = ".".join([stage, *names])
    if problem["type"] == "missing":
        return f"{key}: missing, expected a value"
    if problem["type"] == "unexpected_keyword_argument":
        return f"{key}: unknown key, expected one that the schema lists"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    if len(names) < len(path):
        message += " or auto"
    return f"{key}: found {problem['input']!r}, {message}"


def json_schema() -> dict[str, Any]:
    """JSON schema of an experiment file, references resolved and every default filled in."""
    schema: dict[str, Any] = TypeAdapter(Experiment).json_schema()
    definitions = schema.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_resolve(schema, definitions),
    }


def _resolve(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    resolved = {key: _resolve(value, definitions) for key, value in node.items()}
    if resolved.get("type") == "object" and not resolved.get("required"):
        resolved.setdefault("default", {})
    return resolved
