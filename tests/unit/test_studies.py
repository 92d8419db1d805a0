"""What the studies of accuracy compute, beside `test_generalise.py`."""

import h5py
import numpy as np
import pandas as pd
import pytest

from aiv_rba.twin.mesh import Discretisation
from studies import limits, twin_convergence


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


def test_true_velocities_replace_the_measured_ones_in_the_unit_of_the_file(tmp_path):
    pd.DataFrame({"t": [0.0, 0.1], "u": [1.0, 2.0]}).to_csv(tmp_path / "tracks.csv", index=False)
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["tracks/u"] = [3e-3, 4e-3]
    experiment = {
        "ingest": {"tracks": str(tmp_path / "tracks.csv"), "units": {"velocity": "mm/s"}},
        "score": {"truth": str(tmp_path / "truth.h5")},
    }
    limits.without_noise(experiment, tmp_path / "new.csv")
    new = pd.read_csv(tmp_path / "new.csv")
    np.testing.assert_allclose(new["u"], [3, 4])
    np.testing.assert_allclose(new["t"], [0, 0.1])
