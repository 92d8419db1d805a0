"""VTK files of stage fields: meshes, arrays, units, series."""

import numpy as np
import pytest
import pyvista as pv
import torch

from aiv_rba.errors import UserError
from aiv_rba.fields.mesh import grid, volume_mesh
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen
from aiv_rba.settings import FieldsSettings
from aiv_rba.stages.fields.run import fields
from aiv_rba.stages.fields.vtk import write, write_series
from tests.exact import LENGTH, RADIUS, SCALES, annulus, tube, write_trained


def polygon_area(radius, around=64):
    """Area of a regular polygon with `around` corners on a circle."""
    return around / 2 * radius**2 * np.sin(2 * np.pi / around)


@pytest.mark.parametrize(
    ("wall", "area"),
    [
        (tube(), polygon_area(RADIUS)),
        (annulus(0.3), polygon_area(RADIUS) - polygon_area(0.3)),
    ],
    ids=["single", "annular"],
)
def test_prisms_fill_the_lumen(wall, area):
    """Positive volumes that sum to section times length; a thread at the centre is left out."""
    points, prisms = volume_mesh(Lumen.from_wall(wall, 1), 5)
    volumes = grid(points, prisms).compute_cell_sizes()["Volume"]
    assert np.abs(volumes).min() > 0
    assert np.abs(np.sign(volumes).sum()) == len(prisms)
    assert np.abs(volumes).sum() == pytest.approx(area * LENGTH, rel=2e-3)


def test_layers_start_at_the_wall_and_thin_out_towards_it():
    wall = tube()
    points, prisms = volume_mesh(Lumen.from_wall(wall, 1), 6)
    layers = points.reshape(7, -1, 3)
    radii = np.hypot(layers[..., 0], layers[..., 2])
    np.testing.assert_allclose(radii.std(axis=1), 0, atol=1e-6)
    steps = np.abs(np.diff(np.sort(radii.mean(axis=1))[::-1]))
    assert np.all(np.diff(steps) > 0)
    assert radii.max() == pytest.approx(RADIUS, rel=1e-9)
    assert len(prisms) == 6 * len(wall.triangles)


def test_written_file_is_compressed_and_carries_units(tmp_path):
    wall = tube(8, 3)
    mesh = pv.PolyData(wall.points, np.insert(wall.triangles, 0, 3, axis=1))
    mesh.point_data["pressure"], mesh.point_data["normal"] = wall.points[:, 0], wall.normals
    write(tmp_path / "wall.vtp", mesh)
    head = (tmp_path / "wall.vtp").read_bytes()[:2000]
    assert b"vtkZLibDataCompressor" in head
    assert b'format="appended"' in head
    again = pv.read(tmp_path / "wall.vtp")
    np.testing.assert_allclose(again["pressure"], wall.points[:, 0], rtol=1e-6)
    np.testing.assert_allclose(again["normal"], wall.normals, rtol=1e-6)
    assert again.field_data["unit of pressure"][0] == "Pa"
    assert again.field_data["unit of coordinates"][0] == "m"
    assert [path.name for path in tmp_path.iterdir()] == ["wall.vtp"]


def test_series_has_physical_times(tmp_path):
    write(tmp_path / "a & b.vtp", bare_sphere())
    write_series(tmp_path / "all.pvd", {0.0: "a & b.vtp", 0.1515: "a & b.vtp"})
    reader = pv.PVDReader(tmp_path / "all.pvd")
    assert reader.time_values == [0.0, 0.1515]
    assert reader.read()[0].n_points == pv.Sphere().n_points


def test_a_name_that_is_a_folder_is_told(tmp_path):
    (tmp_path / "wall.vtp").mkdir()
    with pytest.raises(UserError, match="is a folder, expected the name of a file"):
        write(tmp_path / "wall.vtp", bare_sphere())


def bare_sphere():
    mesh = pv.Sphere()
    mesh.clear_data()
    return mesh


def test_stage_writes_the_network_in_si_units(tmp_path):
    """Values against the network's plain forward, gradients against automatic differentiation."""
    network = write_trained(tmp_path)
    fields(FieldsSettings(times=3, layers=2, sections=3), Results(tmp_path))
    reader = pv.PVDReader(tmp_path / "fields" / "volume.pvd")
    np.testing.assert_allclose(reader.time_values, SCALES.period * np.arange(3) / 3, rtol=1e-6)
    reader.set_active_time_point(1)
    mesh = reader.read()[0]
    # Coordinates are stored in single precision beside an origin of a few radii.
    at = (np.asarray(mesh.points, dtype=float) - np.array(SCALES.origin)) / SCALES.length
    time = np.full(len(at), SCALES.nondimensional_period / 3)
    points = torch.tensor(np.column_stack([time, at]), requires_grad=True)
    flow = network.double().value(points)
    u, v, w, p = (column.detach().numpy() for column in flow.unbind(-1))
    velocity = np.stack([u, v, w], axis=1) * SCALES.velocity
    size = np.abs(velocity).max()
    np.testing.assert_allclose(mesh["velocity"], velocity, atol=1e-4 * size)
    pressure = (p - p.mean()) * SCALES.pressure
    np.testing.assert_allclose(mesh["pressure"], pressure, atol=1e-4 * np.abs(pressure).max())
    gradients = [
        torch.autograd.grad(flow[:, i].sum(), points, retain_graph=True)[0].numpy()
        for i in range(3)
    ]
    around_y = (gradients[0][:, 3] - gradients[2][:, 1]) * SCALES.shear_rate
    np.testing.assert_allclose(
        mesh["vorticity"][:, 1], around_y, atol=1e-3 * np.abs(around_y).max()
    )
    script = Results(tmp_path).paraview.read_text()
    compile(script, "open_in_paraview.py", "exec")
    assert "AXIS = 1 " in script
    assert "speed (m/s)" in script
    wall = pv.PVDReader(tmp_path / "fields" / "wall.pvd").read()[0]
    along = np.sum(wall["wall_shear_stress"] * wall["normal"], axis=1)
    assert np.abs(along).max() < 1e-5 * np.abs(wall["wall_shear_stress"]).max()
