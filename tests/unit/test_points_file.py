"""points.h5: written in parts by many, read batch by batch, known by a hash of its content."""

import resource
from itertools import pairwise

import h5py
import numpy as np
import pytest

from aiv_rba.errors import RankError, UserError
from aiv_rba.files.points import PointsReader, PointsWriter, create_points
from tests.threads import on_ranks

BATCHES, SHAPES = 3, {"interior": (2, 5), "wall": (4,)}
POINTS = {
    name: np.random.default_rng(0).normal(size=(np.prod(shape), BATCHES, 4))
    for name, shape in SHAPES.items()
}


def written(path, points=POINTS, cuts=(0, 10)):
    """Write the groups between each two cuts in turn; the identity of the file."""
    with create_points(path, "case", BATCHES, SHAPES) as writer:
        for first, last in pairwise(cuts):
            for name, values in points.items():
                writer.write(name, first, values[first:last])
    return PointsReader(path, "case").identity


def test_the_file_is_plain_hdf5_of_batches(tmp_path):
    written(tmp_path / "points.h5", cuts=(0, 3, 4, 10))
    with h5py.File(tmp_path / "points.h5") as file:
        for name, values in POINTS.items():
            dataset = file[f"{name}/points"]
            np.testing.assert_array_equal(dataset[:], values.swapaxes(0, 1))
            assert tuple(dataset.attrs["shape"]) == SHAPES[name]


def test_a_batch_of_neighbouring_groups_is_read_alone(tmp_path):
    written(tmp_path / "points.h5")
    reader = PointsReader(tmp_path / "points.h5", "case")
    for name, values in POINTS.items():
        for b in range(BATCHES):
            found = reader.read(name, b, slice(1, 3))
            np.testing.assert_array_equal(found, values[1:3, b])


def test_the_identity_is_that_of_the_content_whoever_wrote_it(tmp_path):
    identity = written(tmp_path / "a.h5")
    assert written(tmp_path / "b.h5", cuts=(0, 2, 3, 10)) == identity
    others = {identity}
    for name, values in POINTS.items():
        changed = values.copy()
        changed[1, 2, 3] = np.nextafter(changed[1, 2, 3], 9)
        others.add(written(tmp_path / "c.h5", POINTS | {name: changed}))
        others.add(written(tmp_path / "d.h5", POINTS | {name: values[::-1]}))
    assert len(others) == 5


def test_many_processes_write_what_one_would(tmp_path):
    def work(ranks):
        rank = ranks.rank

        def every(own):
            return ranks.meeting.exchange(rank, own)

        with create_points(
            tmp_path / "many.h5", "case", BATCHES, SHAPES, rank=rank, every=every
        ) as writer:
            for name, values in POINTS.items():
                first, last = len(values) * rank // 3, len(values) * (rank + 1) // 3
                writer.write(name, first, values[first:last])

    on_ranks(3, work)
    assert [path.name for path in tmp_path.iterdir()] == ["many.h5"]
    identity = written(tmp_path / "one.h5")
    reader = PointsReader(tmp_path / "many.h5", "case")
    assert reader.identity == identity
    for name, values in POINTS.items():
        found = [reader.read(name, b, slice(0, len(values))) for b in range(BATCHES)]
        np.testing.assert_array_equal(found, values.swapaxes(0, 1))


def test_a_full_disk_is_told_and_leaves_no_file(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        with create_points(tmp_path / "points.h5", "case", BATCHES, SHAPES) as writer:
            # Writing past this size fails as it does on a full disk.
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
            writer.write("wall", 0, POINTS["wall"])

    try:
        with pytest.raises(UserError, match="cannot be written: File too large"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_process_that_sees_another_folder_says_so(tmp_path):
    with pytest.raises(UserError, match="expected a folder that all processes share"):
        PointsWriter(tmp_path / ".points.h5.tmp", {})


def test_a_file_that_shrinks_is_told(tmp_path):
    path = tmp_path / "points.h5"
    written(path)
    reader = PointsReader(path, "case")
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(RankError, match=r"points.h5: cannot be read: it has become shorter"):
        reader.read("interior", 0, slice(0, 3))


def test_points_in_chunks_are_refused(tmp_path):
    path = tmp_path / "points.h5"
    written(path)
    with h5py.File(path, "r+") as file:
        del file["wall/points"]
        file.create_dataset("wall/points", (BATCHES, 4, 4), "f8", chunks=(1, 4, 4))
    with pytest.raises(UserError, match="wall/points is stored in chunks"):
        PointsReader(path, "case")
