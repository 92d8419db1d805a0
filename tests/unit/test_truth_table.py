"""Errors against a table of true values, on flows whose errors are known."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from aiv_rba.errors import UserError
from aiv_rba.fields.flow import Flow
from aiv_rba.files.results import Results
from aiv_rba.settings import ScoreSettings
from aiv_rba.stages.score.run import score
from aiv_rba.stages.score.truth_table import against_table, compared_deviations, read_truth_table
from tests.exact import (
    LENGTH,
    RADIUS,
    SCALES,
    ExactFlow,
    case_of,
    model_of,
    swirling,
    write_trained,
)
from tests.unit.test_score import Off


def true_table(rows=400):
    """`swirling` at random points and four times, and its stress on the wall; SI units."""
    rng = np.random.default_rng(3)
    angle = rng.uniform(0, 2 * np.pi, rows)
    radius = 0.98 * RADIUS * np.sqrt(rng.uniform(0, 1, rows))
    on_wall = np.arange(rows) < 50
    radius[on_wall] = RADIUS
    y = rng.uniform(0.05, 0.95, rows) * LENGTH
    places = np.stack([radius * np.cos(angle), y, radius * np.sin(angle)], axis=1)
    time = rng.integers(0, 4, rows) / 4
    at = np.column_stack([time * SCALES.nondimensional_period, places])
    jet = ExactFlow(swirling).jet(torch.as_tensor(at)).numpy()
    x, y, z = (places * SCALES.length + np.array(SCALES.origin)).T
    table = pd.DataFrame({"t": time * SCALES.period, "x": x, "y": y, "z": z})
    for i, name in enumerate("uvw"):
        table[name] = jet[0, :, i] * SCALES.velocity
    table["p"] = jet[0, :, 3] * SCALES.pressure + 7.0
    factor = 1 + 0.5 * np.cos(2 * np.pi * time)
    stress = 2 / RADIUS * factor * SCALES.viscosity * SCALES.shear_rate
    table["wss"] = np.where(on_wall, stress, np.nan)
    table.loc[on_wall, ["u", "v", "w", "p"]] = np.nan
    return table


def compared(tmp_path, table, factor=1.0):
    path = tmp_path / "truth.csv"
    table.to_csv(path, index=False)
    flow = Flow(case_of(swirling), model_of(ExactFlow(lambda q: factor * swirling(q))), Off())
    return against_table(path, read_truth_table(path, timed=True), flow), flow


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_errors_are_the_known_ones(tmp_path, factor):
    found, flow = compared(tmp_path, true_table(), factor)
    for name in ("velocity", "u", "v", "w", "pressure"):
        assert found.errors[name] == pytest.approx(factor - 1, abs=1e-9)
    # The coarse wall of the case is 2 percent off the round one.
    assert found.errors["wss_magnitude"] == pytest.approx(factor - 1, abs=0.03)
    assert found.challenge["pressure_correlation"] == pytest.approx(1)
    bulk = found.challenge["bulk_speed_m_s"]
    true = true_table().dropna(subset=["u"])
    assert bulk == pytest.approx(np.linalg.norm(true[["u", "v", "w"]], axis=1).mean(), rel=0.02)
    assert found.challenge["velocity_bias"] == pytest.approx(factor - 1, abs=1e-9)
    # Every deviation is 5 percent of the flow.
    wrong, deviation = compared_deviations(found, flow)["v"]
    np.testing.assert_allclose(np.abs(wrong) * 0.05 * factor, deviation * (factor - 1), atol=1e-12)


def test_partial_truth_is_scored_as_far_as_it_goes(tmp_path):
    found, _ = compared(tmp_path, true_table()[["t", "x", "y", "z", "v"]])
    assert set(found.errors) == {"v"}
    assert set(found.challenge) == {"bulk_speed_m_s"}
    found, _ = compared(tmp_path, true_table()[["t", "x", "y", "z", "wss"]])
    assert set(found.errors) == {"wss_magnitude"}
    assert found.outside["wall_of"] == 50


def test_pressure_of_single_rows_says_nothing(tmp_path):
    table = true_table()[["t", "x", "y", "z", "p"]].dropna()
    table["t"] = np.linspace(0, 0.9, len(table)) * SCALES.period
    found, _ = compared(tmp_path, table)
    assert "pressure" not in found.errors


def test_npz_is_the_same_table(tmp_path):
    table = true_table()
    np.savez(tmp_path / "truth.npz", **{name: table[name].to_numpy() for name in table})
    table.to_csv(tmp_path / "truth.csv", index=False)
    first, second = (
        read_truth_table(tmp_path / f"truth.{kind}", timed=True) for kind in ("csv", "npz")
    )
    pd.testing.assert_frame_equal(first, second)


def test_truth_of_another_place_is_refused(tmp_path):
    table = true_table()
    table["x"] += 1.0
    with pytest.raises(
        UserError, match="found none of 400 rows inside or on the given wall at a time"
    ):
        compared(tmp_path, table)


def test_table_without_values_is_refused(tmp_path):
    table = true_table()[["t", "x", "y", "z"]]
    with pytest.raises(UserError, match="found no true value, expected some of u, v, w, p"):
        compared(tmp_path, table)


def test_stage_scores_a_table(tmp_path):
    write_trained(tmp_path)
    true_table().to_csv(tmp_path / "truth.csv", index=False)
    results = Results(tmp_path)
    score(ScoreSettings(truth=str(tmp_path / "truth.csv")), results)
    result = json.loads(results.scores.read_text())
    assert {"velocity", "pressure", "wss_magnitude"} <= set(result["truth"])
    assert {"u", "pressure"} <= set(result["uncertainty"]["coverage"])
    assert not results.differences.exists()
