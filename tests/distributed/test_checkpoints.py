"""Checkpoints: which are kept, written during training, skipped when damaged, and resumed."""

import resource
import socket
import subprocess
import threading
from pathlib import Path

import pytest
import torch

from aiv_rba.errors import RankError
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.training import checkpoints
from aiv_rba.training.checkpoints import Checkpoints
from tests.distributed.test_training import (
    EXACT,
    NETWORK,
    OPTIMISERS,
    THEN,
    assert_equal,
    train_in,
)
from tests.threads import on_ranks
from tests.training_case import write_config, write_training_case

ONE = Ranks(0, 1, torch.device("cpu"))
# What a rank asks for: the shapes of its multipliers.
ASKED = {"tracks": torch.zeros(2, 1)}


def save(checkpoints, step, score=1.0, size=3):
    multipliers = {"tracks": torch.full((2, 1), float(step))}
    content = {"network": {"weight": torch.full((size,), float(step))}, "history": [{"step": step}]}
    checkpoints.save(step, content, multipliers, score=score)
    checkpoints.finish()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_ones_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, ONE)
    for step, score in enumerate((0.5, 0.2, 0.4, float("nan"), 0.3), start=1):
        save(checkpoints, step, score)
    kept = [f"step_0000000{step}.pt" for step in (2, 4, 5)]
    assert names(tmp_path) == ["best.pt", *kept]
    assert (tmp_path / "best.pt").resolve().name == kept[0]
    # A resumed run knows which one is the best.
    resumed = Checkpoints(tmp_path, ONE)
    assert resumed.load(ASKED)["step"] == 5
    save(resumed, 6, 0.25)
    assert (tmp_path / "best.pt").resolve().name == kept[0]
    save(resumed, 7, 0.1)
    assert names(tmp_path) == ["best.pt", "step_00000006.pt", "step_00000007.pt"]
    assert (tmp_path / "best.pt").resolve().name == "step_00000007.pt"


def foreign(path):
    content = torch.load(path, weights_only=True)
    torch.save(content | {"training": "another"}, path)


DAMAGES = {
    "not a readable torch file": lambda path: path.write_bytes(b"rubbish"),
    "not a readable": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "not a readable torch": lambda path: path.write_bytes(b""),
    "of training 'another'": foreign,
    "format is None": lambda path: torch.save({"weights": 1}, path),
}


@pytest.mark.parametrize(("complaint", "damage"), DAMAGES.items())
def test_a_damaged_or_foreign_one_is_skipped(tmp_path, caplog, complaint, damage):
    checkpoints = Checkpoints(tmp_path, ONE)
    for step in (1, 2):
        save(checkpoints, step)
    damage(tmp_path / "step_00000002.pt")
    before = names(tmp_path)
    resumed = Checkpoints(tmp_path, ONE)
    saved = resumed.load(ASKED)
    assert saved["step"] == 1
    assert saved["multipliers"]["tracks"].tolist() == [[1.0], [1.0]]
    errors = caplog.messages
    assert len(errors) == 1
    assert "step_00000002.pt" in errors[0]
    assert complaint in errors[0]
    assert names(tmp_path) == before
    # It takes no place of the sound ones later either.
    for step in (3, 4):
        save(resumed, step)
    assert {"step_00000002.pt", "step_00000003.pt", "step_00000004.pt"} < set(names(tmp_path))


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    save(Checkpoints(tmp_path, ONE), 1)
    killed = subprocess.Popen(["true"])
    killed.wait()
    (tmp_path / f".step_00000002.pt.{socket.gethostname()}.{killed.pid}.tmp").write_bytes(b"half")
    resumed = Checkpoints(tmp_path, ONE)
    assert resumed.load(ASKED)["step"] == 1
    save(resumed, 3)
    assert names(tmp_path) == ["best.pt", "step_00000001.pt", "step_00000003.pt"]


def test_a_full_disk_leaves_the_one_before_and_says_so(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path, ONE)
    save(checkpoints, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Writing past this size fails as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        save(checkpoints, 2, size=100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    errors = caplog.messages
    assert len(errors) == 1
    assert "step_00000002.pt: cannot be written" in errors[0]
    assert "the checkpoint before it stays valid" in errors[0]
    assert names(tmp_path) == ["best.pt", "step_00000001.pt"]
    assert Checkpoints(tmp_path, ONE).load(ASKED)["step"] == 1


def test_training_goes_on_while_one_is_written(tmp_path, monkeypatch):
    disk = threading.Event()
    write = torch.save

    def slow(*arguments):
        assert disk.wait(20)
        write(*arguments)

    monkeypatch.setattr(torch, "save", slow)
    checkpoints = Checkpoints(tmp_path, ONE)
    parameters = torch.zeros(3)
    checkpoints.save(1, {"network": {"weight": parameters}}, ASKED, score=1.0)
    # `save` came back although nothing is written; what training does now is not in it.
    assert not list(tmp_path.glob("*.pt"))
    parameters += 1
    disk.set()
    checkpoints.finish()
    assert Checkpoints(tmp_path, ONE).load(ASKED)["network"]["weight"].tolist() == [0, 0, 0]


def test_a_rank_that_sees_another_folder_says_so(tmp_path):
    class Second(Ranks):
        def max(self, tensor):
            return torch.full_like(tensor, 5)

        def gather(self, tensor):
            return torch.cat([tensor, tensor])

        def wait(self):
            pass

    second = Second(1, 2, torch.device("cpu"))
    with pytest.raises(RankError, match=r"rank 1: .*step_00000005.pt: not found.*all nodes share"):
        Checkpoints(tmp_path, second).load(ASKED)


ROWS = 10


def rows_of(ranks, step=0):
    return {"tracks": torch.arange(float(ROWS))[ranks.share(ROWS), None] + 100 * step}


def saved_by(folder, size, steps):
    """Checkpoints of so many ranks, which start by loading."""

    def work(ranks):
        with Checkpoints(folder, ranks) as checkpoints:
            checkpoints.load(rows_of(ranks))
            for step in steps:
                checkpoints.save(step, {}, rows_of(ranks, step), score=1.0)
                # Steps of a training end together.
                ranks.wait()

    on_ranks(size, work)


def loaded_by(folder, size):
    """Step and rows of all ranks."""
    found = on_ranks(size, lambda ranks: Checkpoints(folder, ranks).load(rows_of(ranks)))
    steps = {saved["step"] for saved in found}
    assert len(steps) == 1
    return steps.pop(), torch.cat([saved["multipliers"]["tracks"] for saved in found])


@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 1), (3, 2), (3, 7), (4, 3)])
def test_rows_come_from_the_ranks_that_had_them(tmp_path, before, after):
    saved_by(tmp_path, before, [7])
    step, rows = loaded_by(tmp_path, after)
    assert step == 7
    torch.testing.assert_close(rows, rows_of(ONE, 7)["tracks"], rtol=0, atol=0)
    # No file has more rows than a rank.
    for path in tmp_path.glob("*.pt"):
        written = torch.load(path, weights_only=True)["multipliers"]["tracks"]
        assert len(written) <= -(-ROWS // before)
    assert len(list(tmp_path.glob("rows_*.pt"))) == before - 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"half")])
def test_without_the_rows_of_a_rank_the_checkpoint_before_is_taken(tmp_path, caplog, damage):
    saved_by(tmp_path, 3, [1, 2])
    (lost,) = tmp_path.glob("rows_00000002_2_of_3_*.pt")
    damage(lost)
    step, rows = loaded_by(tmp_path, 2)
    assert step == 1
    torch.testing.assert_close(rows, rows_of(ONE, 1)["tracks"], rtol=0, atol=0)
    assert all(lost.name in line for line in caplog.messages)


def test_rows_of_an_earlier_start_complete_no_checkpoint(tmp_path, monkeypatch):
    saved_by(tmp_path, 2, [1, 2])
    # The second rank is killed before it has written, where it has written once already.
    write = checkpoints.save_plain
    monkeypatch.setattr(
        checkpoints,
        "save_plain",
        lambda path, *rest: None if "rows_" in path.name else write(path, *rest),
    )
    saved_by(tmp_path, 2, [2])
    assert len(list(tmp_path.glob("rows_00000002_*.pt"))) == 1
    assert loaded_by(tmp_path, 2)[0] == 1


def test_only_whole_checkpoints_count_among_the_last(tmp_path, monkeypatch):
    saved_by(tmp_path, 2, range(1, 8))
    # When the first rank looks, the second one may still be writing 6 and 7; then 4 and 5 stay.
    for kind in ("step", "rows"):
        kept = {step_of(path) for path in tmp_path.glob(f"{kind}_*.pt")}
        assert {1, 6, 7} <= kept <= {1, 4, 5, 6, 7}
    write = checkpoints.save_plain
    monkeypatch.setattr(
        checkpoints,
        "save_plain",
        lambda path, *rest: None if "rows_" in path.name else write(path, *rest),
    )
    saved_by(tmp_path, 2, range(8, 14))
    assert loaded_by(tmp_path, 2)[0] == 7
    # The first is the best; 12 and 13 may still become whole.
    assert (
        {1, 7, 12, 13}
        <= {step_of(path) for path in tmp_path.glob("step_*.pt")}
        <= {1, 4, 5, 6, 7, 12, 13}
    )


def step_of(path):
    return int(path.name[5:13])


def stop_at(folder, run, step):
    """Take the run back to an earlier checkpoint."""
    (folder / run / "model.pt").unlink()
    for path in (folder / run).glob("checkpoints/*/step_*.pt"):
        if int(path.stem[5:]) > step:
            path.unlink()


@pytest.mark.parametrize(
    ("optimiser", "scheme", "step"),
    [
        ("gauss_newton", "rba", 4),
        ("exact_no_slip", "rba", 4),
        ("sample_space", "rba", 4),
        ("ssbroyden", "rba", 4),
        ("adam", "self_adaptive", 4),
        ("soap", "rba", 4),
        # Within the second optimiser, and before it.
        ("adam_then_lbfgs", "annealing", 8),
        ("adam_then_lbfgs", "rba", 4),
    ],
)
def test_a_resumed_run_is_bit_identical(tmp_path, pools, optimiser, scheme, step):
    write_training_case(tmp_path)
    then = THEN.get(optimiser)
    write_config(
        tmp_path,
        network=EXACT if optimiser == "exact_no_slip" else NETWORK,
        optimiser=OPTIMISERS[optimiser] | {"iterations": 6 if then else 12},
        second_optimiser=then and then | {"iterations": 6},
        multipliers={"name": scheme},
        history_every=3,
        checkpoint_every=4,
    )
    whole = train_in(pools, tmp_path, "run", 2)
    stop_at(tmp_path, "run", step)
    assert_equal(whole, train_in(pools, tmp_path, "run", 2), 0)


def test_points_that_are_read_ahead_change_nothing(tmp_path, pools):
    """Not even where a training with all points in memory is resumed."""
    write_training_case(tmp_path)
    settings = {
        "network": NETWORK,
        "optimiser": OPTIMISERS["adam"] | {"iterations": 12},
        "groups_per_step": 9,
        "checkpoint_every": 4,
    }
    write_config(tmp_path, **settings, points="memory")
    whole = train_in(pools, tmp_path, "run", 2)
    write_config(tmp_path, **settings, points="stream")
    assert_equal(whole, train_in(pools, tmp_path, "streamed", 2), 0)
    stop_at(tmp_path, "run", 4)
    assert_equal(whole, train_in(pools, tmp_path, "run", 2), 0)


def test_ranks_may_change_from_2_to_1_to_3(tmp_path, pools):
    # Four wall groups on three ranks are shared out 2, 2, 0.
    write_training_case(tmp_path, groups=5, wall_groups=4)
    settings = OPTIMISERS["gauss_newton"] | {"iterations": 12}
    write_config(tmp_path, network=NETWORK, optimiser=settings, history_every=1, checkpoint_every=4)
    whole = train_in(pools, tmp_path, "run", 2)
    stop_at(tmp_path, "run", 4)
    assert_equal(whole, train_in(pools, tmp_path, "run", 1), 1e-10)
    stop_at(tmp_path, "run", 8)
    assert_equal(whole, train_in(pools, tmp_path, "run", 3), 1e-10)
