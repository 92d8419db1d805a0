"""What the studies of accuracy compute, beside `test_generalise.py`."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from aiv_rba import example_flow
from aiv_rba.twin.mesh import Discretisation
from studies import depths, digits, limits, suspicious, twin_convergence


def test_amplitudes_are_found_with_the_depths_of_particles():
    """Of the small flow, which is measured in a light sheet a tenth of the radius thick."""
    flow = example_flow()
    model = replace(flow.model, depth_spread=0.06)
    rows = depths.Rows(flow.case, model)
    shift = torch.linspace(-0.1, 0.1, len(rows.points)).double()
    there = rows.points.clone()
    there[:, rows.depth] += shift
    with torch.no_grad():
        exact = model.network.double().value(there)[:, :3]
    torch.testing.assert_close(rows.velocity(shift), exact, rtol=1e-3, atol=1e-3)
    slope = (rows.velocity(shift + 1e-4) - rows.velocity(shift - 1e-4)) / 2e-4
    torch.testing.assert_close(rows.velocity(shift, 1), slope, rtol=1e-5, atol=1e-6)

    generator = torch.Generator().manual_seed(0)
    depth = 0.2 * (torch.rand(rows.tracks, generator=generator).double() - 0.5)
    velocity = rows.velocity(depth[rows.track])[:, rows.columns]
    noise = rows.noise * torch.randn(velocity.shape, generator=generator).double()
    for method in depths.METHODS.values():
        assert rows.amplitude(1.1 * velocity + noise, method) == pytest.approx(1.1, rel=0.03)


def test_difference_weighs_modes_as_the_mean_over_a_cycle():
    """One and 2 Re(exp(i w t)): mean squares 1 and 2."""
    exact = np.array([[1.0], [2.0]])
    other = np.array([[1.0], [3.0]])
    found = twin_convergence.difference(other, exact)
    assert found["relative_l2"] == pytest.approx((0.5 / 3) ** 0.5)
    assert found["maximum_over_maximum"] == pytest.approx(0.5)


def test_finer_ones_are_finer():
    coarse = Discretisation()
    finer = twin_convergence.finer(coarse)
    assert finer["half_time_step"].steps == 2 * coarse.steps
    assert finer["finer_mesh"].axial > coarse.axial


@pytest.mark.parametrize(
    ("units", "factor"),
    [({"units": {"velocity": "mm/s"}}, 1e3), ({"units": {"length": "mm"}}, 1e6), ({}, 1e6)],
)
def test_true_velocities_replace_the_measured_ones_in_the_unit_of_the_file(tmp_path, units, factor):
    """Which is um/s where the experiment says nothing."""
    pd.DataFrame({"t": [0.0, 0.1], "u": [1.0, 2.0]}).to_csv(tmp_path / "tracks.csv", index=False)
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["tracks/u"] = [3e-3, 4e-3]
    experiment = {
        "ingest": {"tracks": str(tmp_path / "tracks.csv"), **units},
        "score": {"truth": str(tmp_path / "truth.h5")},
    }
    limits.without_noise(experiment, tmp_path / "new.csv")
    new = pd.read_csv(tmp_path / "new.csv")
    np.testing.assert_allclose(new["u"], np.array([3e-3, 4e-3]) * factor)
    np.testing.assert_allclose(new["t"], [0, 0.1])


def test_replaced_rows_are_copies_and_gross_ones():
    """Rows 2 and 4 have the velocity of row 0, the one of row 5 is gone; a copy may be near."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(50, 2))
    measured = true + rng.normal(scale=0.1, size=(50, 2))
    measured[[2, 4]] = measured[0]
    measured[5] += 3
    true[4] = true[0] + 0.5
    assert np.flatnonzero(suspicious.replaced_rows(measured, true)).tolist() == [2, 4, 5]


def test_spoiled_tracks_have_flags_and_else_the_same_text(tmp_path):
    rows = 60
    table = pd.DataFrame(
        {
            "t": [f"{t:.6f}" for t in np.linspace(0, 0.2, rows)],
            "u": [f"{u:.3f}" for u in np.random.default_rng(1).normal(size=rows)],
            "track": np.arange(rows) // 10,
        }
    )
    table.to_csv(tmp_path / "tracks.csv", index=False)
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["tracers/u"] = table["u"].astype(float) * 1e-3
        file["tracks/mismatched"] = np.arange(rows) == 7
    experiment = {
        "ingest": {"tracks": str(tmp_path / "tracks.csv"), "units": {"velocity": "mm/s"}},
        "score": {"truth": str(tmp_path / "truth.h5")},
    }
    new = suspicious.spoil(experiment, 0.4, 0, tmp_path / "out")
    spoiled = pd.read_csv(new["ingest"]["tracks"], dtype=str)
    with h5py.File(new["score"]["truth"]) as file:
        flags = file["tracks/mismatched"][:].astype(bool)
    changed = (spoiled["u"] != table["u"]).to_numpy()
    assert changed.any()
    assert flags[7]
    assert not (changed & ~flags).any()
    assert (spoiled[["t", "track"]] == table[["t", "track"]].astype(str)).all().all()
    known = pd.read_csv(tmp_path / "out" / "known.csv")["row"]
    assert known.tolist() == np.flatnonzero(flags).tolist()


def test_numbers_are_rounded_to_the_nearest_with_few_digits():
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(digits.rounded(values, 7), values.bfloat16().float())
    assert torch.equal(digits.rounded(values, 23), values)
    # One and eleven digits more, of which the last is lost, and two numbers as near.
    ulp = 2.0**-10
    given = torch.tensor([1 + ulp + ulp / 4, -1 - ulp / 2, 1 + 1.5 * ulp])
    assert digits.rounded(given, 10).tolist() == [1 + ulp, -1.0, 1 + 2 * ulp]


def test_factors_of_products_are_rounded_on_the_way_back_too():
    generator = torch.Generator().manual_seed(0)
    jet, weight = torch.randn(6, 50, 8, generator=generator), torch.randn(4, 8, generator=generator)
    exact, few = jet.bfloat16().float(), weight.bfloat16().float()
    weight.requires_grad_()
    with digits.FewDigits(7):
        found = jet @ weight.T
        # Its gradient is one, which has no more digits.
        found.sum().backward()
    torch.testing.assert_close(found, exact @ few.T)
    torch.testing.assert_close(weight.grad, exact.sum((0, 1)).expand(4, 8))
    assert not torch.allclose(weight.grad, jet.sum((0, 1)).expand(4, 8), rtol=1e-5)
