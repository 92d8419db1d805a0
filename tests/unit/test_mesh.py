"""Meshes of vessels of any shape, and interpolation between some of their points."""

import numpy as np
import pytest

from aiv_rba.fields.mesh import clipped_mesh, mesh_of
from aiv_rba.fields.thinned import Thinned
from aiv_rba.geometry import Lumen, Region
from tests.exact import tube
from tests.walls import bifurcation, box_with_sphere, slanted_tube

SHAPES = {"slanted": slanted_tube, "branched": bifurcation, "body": box_with_sphere}


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES)
def region(request):
    shape = request.param()
    return Region(shape.wall, shape.openings)


def test_volume_of_a_clipped_mesh_converges_with_order_two(region):
    exact = region.boundary.volume
    meshes = [clipped_mesh(region, region.radius / cells) for cells in (2, 4, 8)]
    errors = np.abs([mesh.volume / exact - 1 for mesh in meshes])
    assert np.all(np.log2(errors[:-1] / errors[1:]) > 1.6), errors
    assert errors[-1] < 4e-3


def test_points_of_a_clipped_mesh_lie_in_the_vessel_and_its_cuts_on_the_boundary(region):
    mesh = clipped_mesh(region, region.radius / 4)
    distance = region.distance(np.asarray(mesh.points))
    on_boundary = np.asarray(mesh["on_boundary"])
    assert distance.max() < 1e-9
    assert np.abs(distance[on_boundary]).max() < 1e-9
    assert distance[~on_boundary].max() < 0
    # Neither the openings nor the walls are left out.
    assert (region.wall_distance(mesh.points[on_boundary]) < 1e-9).mean() > 0.05


def test_a_linear_field_is_known_from_some_points_of_a_mesh(region):
    mesh = mesh_of(region, 5)
    points = np.asarray(mesh.points)
    thinned = Thinned.of_mesh(region, mesh, area=1.0)
    assert len(thinned.chosen) < len(points)
    found = thinned.everywhere(points[thinned.chosen])
    # Beyond the outermost of them the nearest is taken.
    assert np.median(np.abs(found - points)) < 1e-12
    assert np.abs(found - points).max() < 0.4 * region.radius
    distance = region.wall_distance(points)
    found = thinned.everywhere(distance[thinned.chosen])
    assert np.linalg.norm(found - distance) < 0.08 * np.linalg.norm(distance)


def test_lines_of_a_tube_carry_what_depends_on_the_layer_alone():
    lumen = Lumen.from_wall(tube(32, 9), 1)
    mesh = mesh_of(lumen, 3)
    thinned = Thinned.of_mesh(lumen, mesh, area=500.0)
    layer = np.arange(mesh.n_points) // (mesh.n_points // 4)
    assert len(thinned.chosen) < mesh.n_points
    np.testing.assert_allclose(thinned.everywhere(layer[thinned.chosen].astype(float)), layer)
