"""The wall function, and the vessel continued beyond its ends."""

import numpy as np
import pytest
import pyvista as pv
from scipy.linalg import LinAlgError

from aiv_rba.errors import UserError
from aiv_rba.scales import Scales
from aiv_rba.stages.ingest import continuation, wall_function
from aiv_rba.stages.ingest.continuation import continued
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.smoothing import ROUGH, smoothed
from aiv_rba.stages.ingest.tubes import tube_along
from aiv_rba.stages.ingest.vessel import make_vessel
from aiv_rba.stages.ingest.wall_function import fit_wall_function
from aiv_rba.stages.ingest.walls import Surface, read_surfaces

SLOPE = 0.12


def cone(folder, low, high, axis=1, around=48, rings=61, core=0.0):
    """Wall of radius core or 1 + SLOPE s at the heights s between `low` and `high`."""
    angle, s = np.meshgrid(
        2 * np.pi * np.arange(around) / around, np.linspace(low, high, rings), indexing="ij"
    )
    radius = core if core else 1 + SLOPE * s
    # Right-handed for every axis.
    points = np.roll(
        np.stack([s, radius * np.cos(angle), radius * np.sin(angle)], axis=-1), axis, axis=-1
    ).reshape(-1, 3)
    i, j = (g.ravel() for g in np.meshgrid(np.arange(around), np.arange(rings - 1), indexing="ij"))
    a, b = i * rings + j, (i + 1) % around * rings + j
    triangles = np.concatenate([np.stack([a, a + 1, b], 1), np.stack([b, a + 1, b + 1], 1)])
    path = folder / f"cone_{low}_{high}_{core}.vtp"
    pv.PolyData(points, np.insert(triangles, 0, 3, axis=1)).save(path)
    (surface,) = read_surfaces(path, "m", inner=core > 0)
    return tube_along(surface, axis)


def radii(wall: Surface, axis: int):
    return np.linalg.norm(np.delete(wall.points, axis, axis=1), axis=1)


def fit(wall, axis):
    enclosure = Enclosure(wall, axis=axis)
    return fit_wall_function(continued(enclosure), enclosure)


@pytest.mark.parametrize(("around", "rings"), [(28, 41), (72, 161)])
def test_phi_of_a_rough_tube_is_nearly_that_of_the_smooth_one(around, rings, tmp_path):
    axis, scatter = 1, 0.03
    wall = cone(tmp_path, -6.0, 6.0, axis, around=around, rings=rings)
    wall.points[:, [0, 2]] /= radii(wall, axis)[:, None]
    away = wall.points * [1, 0, 1]
    exact = wall.points.copy()
    rng = np.random.default_rng(4)
    wall.points[:] += scatter * rng.standard_normal((len(away), 1)) * away
    function = fit(wall, axis)
    assert 0.9 * scatter < function.roughness < 1.5 * scatter
    # phi falls by half the distance to the wall.
    distance = 2 * function(exact)
    assert np.sqrt(np.mean(distance**2)) < scatter / 2.5
    step = 1e-4 * away
    slope = (function(exact + step) - function(exact - step)) / 2e-4
    assert np.std(slope) < 0.1 * abs(np.mean(slope))
    np.testing.assert_allclose(np.sum(function.gradient(exact) * away, axis=1), slope, rtol=1e-5)

    smooth = smoothed(Enclosure(wall, axis=axis), function).outer
    np.testing.assert_array_equal(smooth.points[:, axis], exact[:, axis])
    off = radii(smooth, axis) - 1
    assert np.sqrt(np.mean(off**2)) < scatter / 2.5
    angle = np.degrees(np.arccos(np.sum(smooth.normals * away, axis=1)))
    assert np.sqrt(np.mean(angle**2)) < 3


def test_a_smooth_wall_is_taken_as_given(tmp_path):
    wall = cone(tmp_path, -3.0, 3.0)
    enclosure = Enclosure(wall, axis=1)
    function = fit(wall, 1)
    assert function.roughness < ROUGH * enclosure.radius / 4
    assert smoothed(enclosure, function) is enclosure


def test_phi_of_a_round_tube_is_the_parabola(tmp_path):
    axis = 2
    wall = cone(tmp_path, -3.0, 3.0, axis)
    across = np.arange(3) != axis
    wall.points[:, across] /= radii(wall, axis)[:, None]
    function = fit(wall, axis)
    points = np.random.default_rng(1).uniform(-0.7, 0.7, (200, 3))
    points[:, axis] *= 4
    exact = (1 - np.sum(points[:, across] ** 2, axis=1)) / 4
    assert np.abs(function(points) - exact).max() < 1e-4


def not_converging(*_, **__):
    raise LinAlgError("SVD did not converge")


@pytest.mark.parametrize(
    ("scatter", "broken", "why"),
    [
        (0.5, {}, "what fits best is negative in the lumen, or as large on the wall"),
        (0.0, {"svd": not_converging}, "SVD did not converge"),
        (0.0, {"cdist": lambda a, b: np.full((len(a), len(b)), np.nan)}, "its equations are not"),
    ],
)
def test_a_wall_that_no_function_fits_is_told_in_one_line(
    scatter, broken, why, tmp_path, monkeypatch
):
    wall = cone(tmp_path, -3.0, 3.0, around=24, rings=21)
    off = np.random.default_rng(0).standard_normal(wall.points.shape) * [1, 0, 1]
    wall.points[:] += scatter * off
    for name, function in broken.items():
        monkeypatch.setattr(wall_function, name, function)
    scales = Scales(1.0, 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(UserError) as error:
        make_vessel(Enclosure(wall, axis=1), scales, ["wall.stl"])
    line = str(error.value)
    assert line.startswith("wall.stl: found no smooth function that is zero on the wall and")
    assert why in line
    assert line.endswith("smooth the wall or mesh it anew")
    assert "\n" not in line


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_cone_goes_on_as_a_cone(axis, tmp_path):
    wall = cone(tmp_path, -2.0, 2.0, axis)
    longer = continued(Enclosure(wall, axis=axis)).outer
    s = longer.points[:, axis]
    assert s.min() < -2.9
    assert s.max() > 2.9
    np.testing.assert_allclose(radii(longer, axis), 1 + SLOPE * s, atol=4e-3)
    np.testing.assert_array_equal(longer.points[: len(wall.points)], wall.points)
    # The new triangles are wound like the given ones, and the ends are where the wall ends.
    away = np.delete(longer.points, axis, axis=1) / radii(longer, axis)[:, None]
    assert np.sum(np.delete(longer.normals, axis, axis=1) * away, axis=1).min() > 0.9
    for loop, end in zip(longer.loops, (s.min(), s.max()), strict=True):
        np.testing.assert_allclose(s[loop], end)


def test_both_walls_of_an_annulus_are_continued(tmp_path):
    outer, inner = cone(tmp_path, -2.0, 2.0), cone(tmp_path, -2.0, 2.0, core=0.4)
    longer = continued(Enclosure(outer, (inner,), axis=1))
    (core,) = longer.inner
    np.testing.assert_allclose(radii(core, 1), 0.4, atol=1e-3)
    assert np.ptp(core.points[:, 1]) == pytest.approx(np.ptp(longer.outer.points[:, 1]))
    longer.check_nested("outer", ["inner"])


def test_phi_near_the_ends_is_that_of_a_longer_vessel(tmp_path, monkeypatch):
    whole, part = cone(tmp_path, -4.0, 4.0, rings=121), cone(tmp_path, -2.0, 2.0)
    whole, part = Enclosure(whole, axis=1), Enclosure(part, axis=1)
    exact = fit_wall_function(whole, whole)
    rng = np.random.default_rng(2)
    angle = rng.uniform(0, 2 * np.pi, 300)
    s = rng.choice([-1.0, 1.0], 300) * rng.uniform(1.6, 2, 300)
    radius = 0.9 * np.sqrt(rng.uniform(size=300)) * (1 + SLOPE * s)
    points = np.stack([radius * np.cos(angle), s, radius * np.sin(angle)], axis=1)

    def slope(function):
        """Slope of phi along the axis, which is what the end spoils."""
        step = np.array([0, 1e-3, 0])
        return (function(points + step) - function(points - step)) / 2e-3

    def error(enclosure):
        found = slope(fit_wall_function(enclosure, part))
        return np.linalg.norm(found - slope(exact)) / np.linalg.norm(slope(exact))

    cut, normal = error(part), error(continued(part))
    assert cut > 0.5
    assert normal < 0.1
    # A cone goes on straight, so the longer it is continued the better.
    monkeypatch.setattr(continuation, "LENGTH", 2.0)
    assert error(continued(part)) < 0.01
