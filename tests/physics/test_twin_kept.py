"""A flow that is solved once: what is sampled from its file is what the twin itself writes."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from aiv_rba.twin import kept
from aiv_rba.twin.generate import lookup, write
from aiv_rba.twin.options import Truth, Twin
from aiv_rba.twin.shapes import Tube
from aiv_rba.twin.surface import GivenWall
from aiv_rba.twin.tracers import Camera
from tests.twins import one_cycle

COARSE = one_cycle(axial=4, steps=8, modes=2, lookup=(25, 16, 7))


def twin(ends="periodic", **changes):
    return Twin(
        seed=3,
        duct=Tube(length=6.0, flattening=0.2, irregularity=0.1),
        ends=ends,
        discretisation=COARSE,
        camera=Camera(depths=(0.3, 0.7), rows=300),
        wall=GivenWall(around=20, along=21, error=0.02),
        truth=Truth(points=60, wall_points=40),
        **changes,
    )


@pytest.mark.parametrize("ends", ["periodic", "open"])
def test_sampling_a_kept_flow_gives_the_files_of_the_twin(ends, tmp_path, monkeypatch):
    one = twin(ends)
    first = kept.kept_solution(one, tmp_path / "flow.h5")
    write(one, first, lookup(one, first), tmp_path / "own", None)
    monkeypatch.delattr(kept, "solve_twin")
    # The waveform of this seed is written out in the experiments of a study.
    written = replace(one, wave=one.pulse)
    again = kept.kept_solution(written, tmp_path / "flow.h5")
    write(written, again, lookup(written, again), tmp_path / "new", None)
    for name in ("tracks.csv", "wall.stl", "wall.vtp"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()
    with (
        h5py.File(tmp_path / "own/truth.h5") as own,
        h5py.File(tmp_path / "new/truth.h5") as new,
    ):
        names = []
        own.visititems(lambda name, item: names.append(name) if hasattr(item, "dtype") else None)
        assert len(names) > 10
        for name in names:
            np.testing.assert_array_equal(new[name][:], own[name][:], err_msg=name)
        assert dict(new.attrs) == dict(own.attrs)


def test_another_flow_is_solved_anew_and_other_tracers_are_not(tmp_path, monkeypatch):
    solved = []
    solve = kept.solve_twin
    monkeypatch.setattr(kept, "solve_twin", lambda one: solved.append(one) or solve(one))
    base = replace(twin(), wave=twin().pulse)
    path = tmp_path / "flow.h5"
    kept.kept_solution(base, path)
    others = {
        "seed": replace(base, seed=4),
        "camera": replace(base, camera=replace(base.camera, rows=7, frames=20.7)),
        "wall": replace(base, wall=GivenWall(error=0.05)),
    }
    for other in others.values():
        kept.kept_solution(other, path)
    assert solved == [base]
    faster = replace(base, reynolds=2 * base.reynolds)
    kept.kept_solution(faster, path)
    kept.kept_solution(faster, path)
    assert solved == [base, faster]
