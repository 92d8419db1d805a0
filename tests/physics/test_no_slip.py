"""Exact no-slip: how small the velocity of a network is on the vertices of the given wall."""

import numpy as np
import pytest
import torch

from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.scales import Scales
from aiv_rba.settings import FlowNetworkSettings, Fluid, IngestSettings, Units
from aiv_rba.stages.ingest.lumen import read_walls
from aiv_rba.stages.ingest.vessel import make_vessel, scaled, size_of
from aiv_rba.twin.lobes import Crescent, Lobe
from aiv_rba.twin.shapes import Annulus, Tube
from aiv_rba.twin.surface import wall_surface

AROUND, ALONG = 36, 61
# Root mean square and largest speed on the vertices, in percent of the rms speed in the lumen. They
# were 0.03 and 0.3, 0.08 and 0.9, 0.16 and 2.0, 0.18 and 2.5 at most with three networks each.
TOLERANCES = {
    "tube": (Tube(length=6.0, flattening=0.2, irregularity=0.1), 0.05, 0.6),
    "annulus": (Annulus(length=6.0), 0.15, 1.8),
    "lobe with sharp tips": (Lobe(length=6.0, artery=1.2, gap=0.4, opening=0.8), 0.3, 4.0),
    "crescent": (Crescent(length=6.0), 0.3, 4.0),
}


def vessel_of(duct, folder):
    """The vessel that the ingestion makes of the walls of a duct, and their vertices (N, 3).

    In hydraulic radii.
    """
    files, vertices = [], []
    for number, r in enumerate(duct.walls):
        wall = wall_surface(duct, AROUND, ALONG, (0.0, duct.length), r)
        files.append(str(folder / f"wall_{number}.vtp"))
        wall.mesh.save(files[-1])
        vertices.append(wall.points)
    walls = read_walls(
        IngestSettings(
            tracks="",
            wall=files[0],
            inner_wall=tuple(files[1:]),
            fluid=Fluid(density=1.0, viscosity=1.0),
            period=1.0,
            units=Units(wall="m"),
        )
    )
    middle, radius = size_of(walls.enclosure)
    scales = Scales(radius, 1, 1, 1, 1, origin=middle)
    vessel = make_vessel(walls.enclosure, scales, walls.names)
    return vessel, scaled(np.concatenate(vertices), scales)


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_network_is_at_rest_on_the_vertices_of_the_wall(name, tmp_path):
    duct, root_mean_square, largest = TOLERANCES[name]
    vessel, wall = vessel_of(duct, tmp_path)
    random = np.random.default_rng(0)
    low, high = wall.min(axis=0), wall.max(axis=0)
    inside = random.uniform(low, high, (20_000, 3))
    inside = inside[vessel.enclosure.distance_closed(inside) < 0]

    settings = FlowNetworkSettings(width=32, time_harmonics=2, output_scales=(1.0, 1.0, 1.0, 1.0))
    torch.manual_seed(0)
    box = (torch.tensor([0.0, *low]).double(), torch.tensor([1.0, *high]).double())
    network = FlowNetwork(settings, *box, vessel.function)
    places = torch.tensor(inside)
    network.start_with_ridges(lambda number: places[number], len(places), length=2.0, seed=0)

    def speed(points):
        """At random times."""
        times = random.uniform(0, 1, len(points))
        with torch.no_grad():
            flow = network.value(torch.tensor(np.column_stack([times, points])))
        return np.linalg.norm(flow.numpy()[:, :3], axis=1)

    size = np.sqrt(np.mean(speed(inside) ** 2))
    on_wall = 100 * speed(wall) / size
    assert np.sqrt(np.mean(on_wall**2)) < root_mean_square
    assert on_wall.max() < largest
