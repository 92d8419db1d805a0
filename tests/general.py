"""Exact flows in vessels of any shape, in the place of a trained network, and their cases."""

import numpy as np
import torch

from aiv_rba.files.case import Case, Tracks
from tests.exact import SCALES, pulse, value
from tests.training_case import parabola
from tests.walls import CENTRE, SLANT, SLANTED_RADIUS, SPHERE

# Pressure gradient of the slanted tube, and speed of the stream round the sphere.
GRADIENT, STREAM = 2.0, 0.8


def slanted(q):
    """A pulsating parabola in the slanted tube, whose pressure falls along it."""
    axis = torch.as_tensor(SLANT)
    along = q[:, 1:] @ axis
    squares = (q[:, 1:] ** 2).sum(dim=1) - along**2
    velocity = (1 - squares / SLANTED_RADIUS**2)[:, None] * axis
    return pulse(q[:, 0])[:, None] * torch.cat([velocity, -GRADIENT * along[:, None]], dim=1)


def slanted_flow_rate():
    """Its mean flow rate, m^3/s."""
    return np.pi / 2 * SLANTED_RADIUS**2 * SCALES.flow_rate


def stokes(q):
    """Creeping flow round the sphere, that far away is a stream along x (Stokes 1851)."""
    at = q[:, 1:] - torch.as_tensor(CENTRE)
    r = at.norm(dim=1, keepdim=True)
    direction = torch.zeros_like(at)
    direction[:, 0] = STREAM
    a, along = SPHERE / r, STREAM * at[:, :1] / r
    velocity = (1 - 0.75 * a - 0.25 * a**3) * direction
    velocity = velocity - (0.75 * a - 0.75 * a**3) * along * at / r
    pressure = -1.5 * SPHERE * along / r**2 / SCALES.reynolds
    return torch.cat([velocity, pressure], dim=1)


def converging(q):
    """A linear velocity (x, y, -2 z), without divergence; its flux through any plane is known."""
    velocity = q[:, 1:] * torch.tensor([1.0, 1.0, -2.0], dtype=q.dtype)
    return torch.cat([velocity, q[:, 1:2]], dim=1)


def general_case(shape, function, rows=200):
    """Case with exact tracks of a flow in a vessel of any shape."""
    rng = np.random.default_rng(3)
    wall = shape.wall.points
    low, high = wall.min(axis=0), wall.max(axis=0)
    points = np.column_stack(
        [
            rng.uniform(0, SCALES.nondimensional_period, rows),
            rng.uniform(low, high, (rows, 3)),
        ]
    )
    flow = value(function, points)
    return Case(
        Tracks(
            points,
            dict(zip("uvw", flow.T, strict=False)),
            np.arange(rows) // 5,
            np.zeros(rows, dtype=int),
            np.arange(rows),
            rng.uniform(size=rows) > 0.6,
        ),
        shape.wall,
        SCALES,
        axis=int(np.argmax(high - low)),
        lumen="general",
        radius=1.0,
        wall_function=parabola(1.0),
        wall_error=0.0,
        noise={"u": 0.01, "v": 0.01, "w": 0.01},
        harmonics=1,
        chosen={"length scale": "0.2 mm"},
        sources={"tracks.csv": "0" * 64},
        identity="exact",
        openings=shape.openings,
    )
