"""Collocation points in memory or read ahead of the step: the same, and never waited for."""

import threading

import h5py
import pytest
import torch

from aiv_rba import machine
from aiv_rba.files.points import PointsReader
from aiv_rba.problems.velocimetry.point_source import PointSource
from aiv_rba.ranks.ddp import Ranks
from tests.training_case import write_training_case

CPU = torch.device("cpu")
ONE, SECOND = Ranks(0, 1, CPU), Ranks(1, 3, CPU)


@pytest.fixture
def path(tmp_path):
    write_training_case(tmp_path)
    return tmp_path / "points.h5"


def source(path, kept, ranks=ONE, dtype=torch.float32):
    return PointSource(path, "training-case", ranks, dtype, kept)


NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_are_those_of_the_file_in_any_order(path, dtype, device):
    ranks = Ranks(1, 3, torch.device(device))
    held, streamed = source(path, "memory", ranks, dtype), source(path, "stream", ranks, dtype)
    # 23 and 11 groups on three ranks: the second has those from 8 and 4 on.
    assert (held.first_group, held.own_groups) == (8, 8)
    assert (held.first_wall_group, held.own_wall_groups) == (4, 4)
    with h5py.File(path) as file:
        for expected, b in ((1, 3), (1, 1), (0, 1), (2, 0), (2, 2), (3, 3), (0, 2)):
            for name, own in (("interior", slice(8, 16)), ("wall", slice(4, 8))):
                given = torch.as_tensor(file[f"{name}/points"][b, own], dtype=dtype)
                for kept in (held, streamed):
                    found = getattr(kept, name)(b)
                    assert found.device.type == device
                    torch.testing.assert_close(found.cpu(), given, rtol=0, atol=0)
            streamed.expect(expected)


def test_the_next_batch_is_read_by_another_thread(path, monkeypatch):
    streamed = source(path, "stream")
    streamed.interior(0)
    streamed.wall(0)
    disk, readers = threading.Event(), []
    read = PointsReader.read

    def slow(*arguments):
        readers.append(threading.current_thread())
        assert disk.wait(20)
        return read(*arguments)

    monkeypatch.setattr(PointsReader, "read", slow)
    streamed.expect(1)
    # This came back though nothing is read, and the step goes on with its own points.
    assert len(streamed.interior(0)) == 23
    streamed.expect(1)
    disk.set()
    streamed.interior(1)
    streamed.wall(1)
    assert len(readers) == 2
    assert threading.current_thread() not in readers


def test_no_more_is_held_than_is_asked_for(path):
    held, streamed = source(path, "memory"), source(path, "stream")
    for kept in (held, streamed):
        kept.interior(0)
    assert held.nbytes == 4 * 23 * 16
    assert streamed.nbytes == 2 * 23 * 16
    held.wall(0)
    assert held.nbytes == 4 * (23 + 11) * 16


@pytest.mark.parametrize(("ranks", "here"), [(ONE, 1), (SECOND, 3)])
def test_what_fits_is_held(path, monkeypatch, ranks, here):
    """Points of a quarter of the memory of each of the ranks on this machine, and one byte less."""
    monkeypatch.setattr(Ranks, "gather", lambda ranks, tensor: tensor.repeat(ranks.size))
    own = source(path, "memory", ranks)
    size = 4 * 16 * (own.own_groups + own.own_wall_groups)
    for spare, streamed in ((0, False), (-1, True)):
        monkeypatch.setattr(machine, "memory", lambda spare=spare: here * (4 * size + spare))
        assert source(path, "auto", ranks).streamed == streamed


def test_positions_of_some_groups_are_read_alone(path, monkeypatch):
    groups = torch.tensor([20, 3, 3])
    found = source(path, "stream", SECOND).first_positions(groups)
    with h5py.File(path) as file:
        given = torch.as_tensor(file["interior/points"][0][:, 1:], dtype=torch.float32)
    torch.testing.assert_close(found, given[groups], rtol=0, atol=0)
