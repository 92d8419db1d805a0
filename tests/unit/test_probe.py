"""Answers at points of a user's own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aiv_rba.cli import main
from aiv_rba.fields.flow import Flow
from aiv_rba.fields.probe import probe
from tests.exact import (
    LENGTH,
    RADIUS,
    SCALES,
    SPIN,
    ExactFlow,
    case_of,
    model_of,
    swirling,
    tube,
    write_trained,
)


def points_table():
    """A point in the middle at two times, one on the wall, one outside; SI units."""
    places = np.array(
        [
            [0.5 * RADIUS, LENGTH / 2, 0],
            [RADIUS, LENGTH / 2, 0],
            [0.5 * RADIUS, LENGTH / 2, 0],
            [2 * RADIUS, LENGTH / 2, 0],
        ]
    )
    x, y, z = (places * SCALES.length + np.array(SCALES.origin)).T
    return pd.DataFrame({"t": [0.0, 0.0, SCALES.period / 2, 0.0], "x": x, "y": y, "z": z})


def test_answers_are_those_of_the_flow():
    """swirling: v = (1 - r^2 / a^2) pulse, w = -spin x pulse, pulse 1.5 and 0.5."""
    case = replace(case_of(swirling), wall=tube(256, 3))
    found = probe(Flow(case, model_of(ExactFlow(swirling))), points_table())
    pulse = np.array([1.5, 1.5, 0.5, np.nan])
    assert list(found.inside) == [1, 1, 1, 0]
    speed = np.array([0.75, 0.0, 0.75, 0.0]) * pulse * SCALES.velocity
    np.testing.assert_allclose(found.v_m_s, speed, atol=1e-9 * SCALES.velocity)
    swirl = -SPIN * np.array([0.5, 1.0, 0.5, 0.0]) * RADIUS * pulse * SCALES.velocity
    np.testing.assert_allclose(found.w_m_s, swirl, rtol=1e-9)
    stress = 2 / RADIUS * 1.5 * SCALES.viscosity * SCALES.shear_rate
    np.testing.assert_allclose(found.wss_y_pa, [np.nan, stress, np.nan, np.nan], rtol=1e-3)
    assert not any("std" in name for name in found)


def test_command_writes_the_answers(tmp_path, capsys):
    write_trained(tmp_path)
    points_table().to_csv(tmp_path / "mine.csv", index=False)
    assert main(["probe", str(tmp_path), str(tmp_path / "mine.csv"), "--device", "cpu"]) == 0
    found = pd.read_csv(tmp_path / "probe" / "mine.csv")
    assert len(found) == 4
    assert found.loc[found.inside == 1, "u_std_m_s"].gt(0).all()
    assert found.loc[found.inside == 0, "u_m_s"].isna().all()
    assert "4 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y,z\n0,0,0\n", "missing columns t, found x, y, z"),
        ("t,x,y,z,q\n0,0,0,0,0\n", "unknown columns q, expected some of t, x, y, z"),
        ("t,x,y,z\n0,0,zero,0\n", "line 2, column y: found 'zero', expected a number"),
        ("t,x,y,z\n0,0,,0\n", "line 2, column y: found nan, expected a finite number"),
        ("t,x,y,z\n", "found no rows"),
        ("", "not a readable CSV file"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, capsys, content, message):
    write_trained(tmp_path)
    (tmp_path / "mine.csv").write_text(content)
    assert main(["probe", str(tmp_path), str(tmp_path / "mine.csv")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "probe").exists()
