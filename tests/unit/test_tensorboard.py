"""The history in TensorBoard's event files."""

import sys

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aiv_rba.cli import main
from tests.training_case import arguments, write_tiny_training


@pytest.fixture
def folder(tmp_path):
    return write_tiny_training(tmp_path, iterations=4, history_every=2)


def test_events_are_the_rows_of_the_history(folder):
    assert main([*arguments(folder), "--tensorboard"]) == 0
    events = EventAccumulator(str(folder / "run" / "events")).Reload()
    history = pd.read_csv(folder / "run" / "history.csv")
    assert set(events.Tags()["scalars"]) == set(history.columns)
    for name in ("loss", "lambda_tracks_max", "damping"):
        written = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in written] == [2, 4]
        assert [value for _, value in written] == pytest.approx(list(history[name]), rel=1e-6)


def test_a_missing_tensorboard_is_named(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*arguments(folder), "--tensorboard"]) == 2
    assert "TensorBoard is not installed, expected the extra" in capsys.readouterr().err
