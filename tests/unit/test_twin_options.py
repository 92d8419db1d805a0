"""Options of a twin: waveforms, sizes, planes, the family file, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from aiv_rba.cli import main
from aiv_rba.twin.axes import Axes
from aiv_rba.twin.family import load_family
from aiv_rba.twin.options import Twin, preset
from aiv_rba.twin.shapes import Stenosis, Tube
from aiv_rba.twin.tracers import Camera
from aiv_rba.twin.wave import DrawnWave, Wave

FAMILY = Path("workflow/config/twins.yaml")


@pytest.mark.parametrize("harmonics", [1, 3, 6])
@pytest.mark.parametrize("lowest", [-0.3, 0.2])
def test_drawn_waves_have_the_reversal_and_harmonics_asked_for(harmonics, lowest):
    wave = DrawnWave(harmonics=harmonics, lowest=lowest).drawn(5)
    values = np.array([wave(t, 2.0) for t in np.arange(720) / 360])
    assert values.min() / values.max() == pytest.approx(lowest, abs=1e-6)
    assert np.sqrt(np.mean(values**2)) == pytest.approx(1)
    assert wave.rms == pytest.approx(1)
    modes = np.abs(np.fft.rfft(values)) / 720
    assert (modes[1 : harmonics + 1] > 1e-3).all()
    assert modes[harmonics + 1 :].max() < 1e-12
    assert wave != DrawnWave(harmonics=harmonics, lowest=lowest).drawn(6)


def test_a_steady_wave_is_constant():
    wave = Wave(mean=2.0, amplitudes=())
    assert wave(0.0, 1.0) == wave(0.4, 1.0) == wave.rms == 2


@pytest.mark.parametrize(("reynolds", "womersley"), [(1e-3, 0.1), (200.0, 10.0)])
def test_sizes_follow_from_the_numbers(reynolds, womersley):
    """R = 1 in a round tube: U R / nu and R sqrt(2 pi / (nu T)), by hand."""
    twin = Twin(duct=Tube(), reynolds=reynolds, womersley=womersley, period=0.5)
    nu = twin.fluid.viscosity / twin.fluid.density
    assert twin.radius == pytest.approx(1, rel=1e-3)
    radius = twin.radius * twin.scales.length
    assert radius * np.sqrt(2 * np.pi / (nu * 0.5)) == pytest.approx(womersley)
    times = np.arange(200) / 200 * twin.scales.nondimensional_period
    rate = np.array([twin.flow_rate(t) for t in times]) * twin.scales.flow_rate
    speed = np.sqrt(np.mean(rate**2)) / (np.pi * twin.scales.length**2)
    assert speed * radius / nu == pytest.approx(reynolds, rel=3e-3)
    assert twin.numbers == pytest.approx(
        {"reynolds_hydraulic": reynolds, "womersley_hydraulic": womersley}
    )


def test_the_default_numbers_are_those_of_the_bundled_experiment():
    bundled = preset("phantom", 0)
    assert bundled.scales.reynolds == pytest.approx(1)
    assert bundled.numbers["reynolds_hydraulic"] == pytest.approx(Twin().reynolds, rel=0.05)
    assert bundled.numbers["womersley_hydraulic"] == pytest.approx(Twin().womersley, rel=0.01)


@pytest.mark.parametrize(("axis", "depths"), [("x", (-1, 1)), ("y", (-1, 1)), ("z", (0, 8))])
def test_planes_may_be_shares_of_the_depth(axis, depths):
    camera = Camera(depths=(0.0, 0.5))
    low, high = depths
    found = camera.plane_depths(Tube(length=8.0), Axes(axis))
    np.testing.assert_allclose(found, [low, (low + high) / 2], atol=1e-9)


def test_the_throat_of_a_stenosis_is_as_narrow_as_asked_for():
    duct = Stenosis(narrowing=0.4, throat=0.25, eccentricity=1.0)
    theta = np.linspace(0, 2 * np.pi, 400)
    x, z = duct.bend(np.cos(theta), np.sin(theta), np.full(400, 3.0))
    assert np.ptp(x) == pytest.approx(1.2, rel=1e-3)
    # It touches the wall of the tube on one side.
    assert np.hypot(x, z).max() == pytest.approx(1, rel=1e-3)


def test_the_family_has_two_halves_and_some_for_show():
    family = load_family(FAMILY)
    halves = [member.half for member in family.values()]
    assert len(family) >= 12
    assert halves.count("choose") >= halves.count("judge") >= 6
    assert family["bundled"].half == "choose"
    assert Path(family["bundled"].experiment).is_file()
    assert {name for name, member in family.items() if member.half == "show"} == {
        *("bend_steady", "bifurcation", "wake")
    }
    seeds = {member.options.seed for member in family.values() if member.options}
    assert len(seeds) == len(family) - 1


def write(folder, text):
    (folder / "family.yaml").write_text(text)
    return str(folder / "family.yaml")


@pytest.mark.parametrize(
    ("twin", "expected"),
    [
        ("{duct: {kind: pipe}}", "a.twin.duct: found {'kind': 'pipe'}"),
        ("{reynold: 1}", "a.twin.reynold: unknown key"),
        ("{reynolds: -1}", "a.twin.reynolds: found -1"),
        ("{duct: {kind: tube, radius: 0}}", "radius: found 0"),
        ("{duct: {kind: annulus, inner: 1.5}}", "the gap closes"),
        ("{camera: {planes: []}}", "no plane, expected planes or depths"),
        ("{wave: {kind: drawn, harmonics: 7}}", "harmonics: found 7"),
        ("{wave: {kind: listed, phases: [1]}}", "1 phases, expected none or 3"),
        ("{wave: {kind: listed, mean: 0, amplitudes: []}}", "the flow rate is zero"),
        ("{flow: steady}", "flow: steady, expected a listed wave without amplitudes"),
    ],
)
def test_bad_options_are_told_in_one_line(tmp_path, capsys, twin, expected):
    family = write(tmp_path, f"a:\n  half: choose\n  twin: {twin}\n")
    out = tmp_path / "out"
    assert main(["twin", "--family", family, "--name", "a", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (None, "a", "cannot be read"),
        ("a: [", "a", "not valid YAML"),
        ("a: 3", "a", "expected a mapping of names"),
        ("a: {half: choose}", "a", "expected either options of a twin, a bifurcation"),
        ("a: {half: show, twin: {}, wake: {}}", "a", "expected either options of a twin"),
        ("a: {half: show, wake: {reynolds: 0}}", "a", "a.wake.reynolds: found 0"),
        ("a: {half: both, twin: {}}", "a", "a.half: found 'both'"),
        ("a: {half: judge, twin: {}}", "b", "found no twin 'b', expected one of a"),
        ("a: {half: judge, experiment: x.yaml}", "a", "is made already (x.yaml)"),
    ],
)
def test_a_bad_family_is_told_in_one_line(tmp_path, capsys, text, name, expected):
    family = write(tmp_path, text) if text else str(tmp_path / "family.yaml")
    assert main(["twin", "--family", family, "--name", name, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_a_name_without_a_family_is_refused(tmp_path, capsys):
    assert main(["twin", "--name", "a", "--out", str(tmp_path)]) == 2
    assert "expected both or neither" in capsys.readouterr().err
