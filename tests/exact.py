"""Exact flows in a tube along y, in the place of a trained network, and the files of their case."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.special import jv

from aiv_rba.files.case import Case, Tracks, Wall, write_case
from aiv_rba.files.formats import create_h5
from aiv_rba.files.results import Results
from aiv_rba.files.warnings import InputWarning
from aiv_rba.problems.velocimetry.deviations import CurvatureSamples, save_deviations
from aiv_rba.problems.velocimetry.model import Model, save_model
from aiv_rba.problems.velocimetry.navier_stokes import SECOND_ORDER
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.scales import Scales
from aiv_rba.settings import FlowNetworkSettings
from tests.exact_flows import jet_by_autograd
from tests.training_case import parabola

SCALES = Scales(2e-4, 3e-3, 1e3, 1e-3, 0.2, origin=(1e-3, -2e-3, 3e-3))
RADIUS, LENGTH = 0.8, 4.0
SPIN = 0.3
# Slices of the jets of a flow, by their order.
SLICES = (1, 5, 6)
WARNINGS = (
    InputWarning("velocity_sign", "v runs against the displacement", fatal=True, accepted=True),
    InputWarning("length_coverage", "tracks cover only 3 % of the length of the wall"),
)


class ExactFlow:
    """A flow given as a function of (N, 4) points, with its jet by nested autograd."""

    has_coefficients = False

    def __init__(self, function):
        self.function = function

    def jet(self, points, order=2):
        with torch.enable_grad():
            jet = jet_by_autograd(self.function, points, torch.tensor(SECOND_ORDER)).detach()
        return jet[: SLICES[order]]


def poiseuille(q):
    """V = 1 - r^2 / a^2, p = -4 y / (Re a^2)."""
    _, x, y, z = q.unbind(-1)
    v = 1 - (x * x + z * z) / RADIUS**2
    p = -4 * y / (SCALES.reynolds * RADIUS**2)
    return torch.stack([0 * x, v, 0 * x, p], dim=-1)


def pulse(t):
    """Factor of `swirling` at nondimensional time t: mean 1 and one harmonic."""
    return 1 + 0.5 * torch.cos(2 * torch.pi * t / SCALES.nondimensional_period)


def swirling(q):
    """A pulsating parabola and rigid rotation about y, which strains nothing."""
    t, x, y, z = q.unbind(-1)
    v = 1 - (x * x + z * z) / RADIUS**2
    return pulse(t)[:, None] * torch.stack([SPIN * z, v, -SPIN * x, 7 - 2 * y], dim=-1)


class Womersley:
    """Unit oscillating pressure gradient in a tube: exact velocity and its radial derivative."""

    def __init__(self):
        self.omega = 2 * np.pi / SCALES.nondimensional_period
        self.s = np.sqrt(-1j * self.omega * SCALES.reynolds) * RADIUS

    def jet(self, points, order=2):
        t, x, _, z = points.numpy().T
        r = np.hypot(x, z)
        wave = np.exp(1j * self.omega * t) / (1j * self.omega)
        profile = 1 - jv(0, self.s * r / RADIUS) / jv(0, self.s)
        slope = self.s / RADIUS * jv(1, self.s * r / RADIUS) / jv(0, self.s)
        jet = torch.zeros(6, len(points), 4, dtype=torch.float64)
        jet[0, :, 1] = torch.as_tensor((profile * wave).real)
        for index, coordinate in ((2, x), (4, z)):
            jet[index, :, 1] = torch.as_tensor((slope * wave).real * coordinate / r)
        return jet[: SLICES[order]]

    def flow_rate(self, time):
        """Nondimensional: pi a^2 / (i w) (1 - 2 J1(s) / (s J0(s))) e^(iwt), real part and size."""
        share = 1 - 2 * jv(1, self.s) / (self.s * jv(0, self.s))
        rate = np.pi * RADIUS**2 * share / (1j * self.omega) * np.exp(1j * self.omega * time)
        return rate.real, abs(rate)


def tube(around=64, along=21, radius=RADIUS, outward=1, squeeze=1.0):
    """Wall of a tube whose section is an ellipse of half axes `radius` and `squeeze` radius."""
    angle, y = np.meshgrid(
        2 * np.pi * np.arange(around) / around, np.linspace(0, LENGTH, along), indexing="ij"
    )
    points = np.stack(
        [radius * np.cos(angle), y, squeeze * radius * np.sin(angle)], axis=-1
    ).reshape(-1, 3)
    normals = points * [1, 0, 1 / squeeze**2]
    normals *= outward / np.linalg.norm(normals, axis=1, keepdims=True)
    i, j = (g.ravel() for g in np.meshgrid(np.arange(around), np.arange(along - 1), indexing="ij"))
    a, b = i * along + j, (i + 1) % around * along + j
    triangles = np.concatenate([np.stack([a, a + 1, b], 1), np.stack([b, a + 1, b + 1], 1)])
    return Wall(points, normals, triangles[:, ::outward], np.zeros(len(triangles), dtype=int))


def annulus(inner, around=64):
    """Walls of the annulus between two round tubes."""
    out, core = tube(around), tube(around, radius=inner, outward=-1)
    return Wall(
        np.concatenate([out.points, core.points]),
        np.concatenate([out.normals, core.normals]),
        np.concatenate([out.triangles, core.triangles + len(out.points)]),
        np.concatenate([out.patch, core.patch + 1]),
    )


def eccentric(inner, offset):
    """Walls of an annulus whose inner tube lies `offset` beside the outer one's axis, along x."""
    wall = annulus(inner)
    core = np.unique(wall.triangles[wall.patch == 1])
    points = wall.points.copy()
    points[core, 0] += offset
    return replace(wall, points=points)


def value(function, points):
    """A flow at points (N, 4), as an array."""
    return function(torch.as_tensor(points)).numpy()


def case_of(function, rows=200, seed=0):
    """Case with exact tracks of a flow in a tube."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, rows), RADIUS * np.sqrt(rng.uniform(0, 1, rows))
    time = rng.uniform(0, SCALES.nondimensional_period, rows)
    y = rng.uniform(0, LENGTH, rows)
    points = np.stack([time, radius * np.cos(angle), y, radius * np.sin(angle)], axis=1)
    flow = value(function, points)
    tracks = Tracks(
        points,
        {"u": flow[:, 0], "v": flow[:, 1]},
        np.arange(rows) // 5,
        np.zeros(rows, dtype=int),
        rng.permutation(rows + 20)[:rows],
        rng.uniform(size=rows) > 0.6,
    )
    return Case(
        tracks,
        tube(16, 9),
        SCALES,
        axis=1,
        lumen="single",
        radius=RADIUS,
        wall_function=parabola(RADIUS),
        wall_error=0.0,
        noise={"u": 0.01, "v": 0.01},
        harmonics=1,
        chosen={"length scale": "0.2 mm"},
        sources={"tracks.csv": "0" * 64},
        identity="exact",
    )


def model_of(flow):
    """An exact flow in the place of a trained network."""
    return Model(flow, SCALES, "exact")


def training_facts():
    """What the record of a training says of it."""
    return {
        "seconds": 12.0,
        "world_size": 2,
        "iterations": 4,
        "ended": "settled",
        "seed": 3,
        "multipliers": "rba",
        "optimiser": "gauss_newton",
        "parameters": 100,
        "points": {"interior": 600, "wall": 200},
        "settings": {"seed": 3, "network": {"layers": 1, "output_scales": (0.1, 1.0)}},
        "chosen": {"network.time_harmonics": 1},
    }


def write_records(results: Results):
    """Write the records of the stages before the report."""
    for number, stage in enumerate(("ingest", "points", "train", "fields", "score")):
        record = {"stage": stage, "seconds": 1.0 + number, "versions": {}, "revision": "abc"}
        if stage == "ingest":
            record["warnings"] = [warning.to_dict() for warning in WARNINGS]
        if stage == "train":
            record["training"] = training_facts()
        results.record(stage).parent.mkdir(exist_ok=True)
        results.record(stage).write_text(json.dumps(record))


def write_trained(folder: Path, identity="exact"):
    """Write case, points, model and deviations of a small untrained network; return it."""
    case = case_of(swirling)
    write_case(folder / "case.h5", case)
    with create_h5(folder / "points.h5", "points", {"identity": "exact"}):
        pass
    settings = FlowNetworkSettings(
        layers=1, width=6, time_harmonics=1, output_scales=(0.1, 1.0, 0.1, 100.0)
    )
    torch.manual_seed(1)
    low, high = case.wall.points.min(axis=0), case.wall.points.max(axis=0)
    period = SCALES.nondimensional_period
    network = FlowNetwork(
        settings,
        torch.tensor([0.0, *low]).double(),
        torch.tensor([period, *high]).double(),
        case.wall_function,
    )
    save_model(folder / "model.pt", Model(network, SCALES, identity), settings)
    count = sum(p.numel() for p in network.parameters())
    generator = torch.Generator().manual_seed(2)
    parameters = {
        source: 0.01 * torch.randn(8, count, generator=generator, dtype=torch.float64)
        for source in ("noise", "equations")
    }
    samples = CurvatureSamples(parameters, None, torch.full((8, 1), 0.02, dtype=torch.float64))
    save_deviations(folder / "deviations.pt", samples, identity)
    return network


def write_truth(path: Path, seed=4):
    """Write the truth of `swirling`, its derived fields from calculus by hand."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, 300), RADIUS * np.sqrt(rng.uniform(0, 1, 300))
    inside = np.stack(
        [radius * np.cos(angle), rng.uniform(0, LENGTH, 300), radius * np.sin(angle)], 1
    )
    wall = inside.copy()
    wall[:, [0, 2]] *= (RADIUS / radius)[:, None]
    x, y, z = inside.T
    velocity = np.stack([SPIN * z, 1 - (x * x + z * z) / RADIUS**2, -SPIN * x], 1)
    vorticity = np.stack([2 * z, 2 * SPIN * RADIUS**2 + 0 * x, -2 * x], 1) / RADIUS**2
    stress = np.tile([0, 2 / RADIUS, 0], (300, 1)) * SCALES.viscosity * SCALES.shear_rate
    modes = np.array([1.0, 0.5])

    def pulsating(field):
        return np.multiply.outer(modes, field).astype(np.complex64)

    origin = np.array(SCALES.origin)
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "aiv_rba/truth", "version": 1, "period": SCALES.period})
        file["points/position"] = inside * SCALES.length + origin
        file["points/velocity"] = pulsating(velocity * SCALES.velocity)
        file["points/pressure"] = pulsating(-2 * y * SCALES.pressure)
        file["points/vorticity"] = pulsating(vorticity * SCALES.shear_rate)
        file["wall/position"] = wall * SCALES.length + origin
        file["wall/normal"] = wall * [1, 0, 1] / RADIUS
        file["wall/wall_shear_stress"] = pulsating(stress)
        file["flow_rate"] = pulsating(np.pi / 2 * RADIUS**2 * SCALES.flow_rate)
        for name in "uv":
            file[f"tracks/{name}"] = np.zeros(220)


def noisy(case, factor):
    """The case with every measured velocity multiplied."""
    velocity = {name: factor * values for name, values in case.tracks.velocity.items()}
    return replace(case, tracks=replace(case.tracks, velocity=velocity))
