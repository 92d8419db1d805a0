"""Command line: help, version, exit codes, one-line errors."""

import h5py
import pytest
import torch

from aiv_rba import __version__
from aiv_rba.cli import main
from aiv_rba.errors import UserError
from aiv_rba.files.results import Results
from tests.training_case import arguments, write_config, write_tiny_training

STAGES = ("ingest", "points", "train", "fields", "score", "report", "twin")


def test_help_lists_every_stage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(stage in text for stage in STAGES)


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.fixture
def folder(tmp_path):
    return write_tiny_training(tmp_path, iterations=2)


def assert_error(folder, capsys, fragment):
    assert main(arguments(folder)) == 2
    captured = capsys.readouterr().err.strip().splitlines()
    assert len(captured) == 1, captured
    assert captured[0].startswith("aiv-rba train: error: ")
    assert fragment in captured[0]
    assert not (folder / "run" / "model.pt").exists()


CONFIGS = {
    "not yaml": ("train: [", "expected YAML"),
    "a list": ("- 1", "found a list, expected a mapping"),
    "empty": ("", "found nothing, expected a mapping"),
    "unknown section": ("training: {}", "training: unknown key, did you mean train?"),
    "unknown key": ("train: {optimizer: {}}", "train.optimizer: unknown key"),
    "nested unknown key": ("train: {network: {depth: 3}}", "train.network.depth: unknown key"),
    "wrong type": ("train: {network: {width: wide}}", "train.network.width: found 'wide'"),
    "negative": ("train: {seed: -1}", "train.seed: found -1"),
    "zero width": ("train: {network: {width: 0}}", "train.network.width: found 0"),
    "not a number": (
        "train: {global_weights: {mass: .nan}}",
        "train.global_weights.mass: found nan",
    ),
    "short tuple": ("train: {global_weights: {no_slip: [1, 2]}}", "train.global_weights.no_slip"),
    "unknown activation": ("train: {network: {activation: relu}}", "'sin' or 'tanh'"),
    "unknown scheme": ("train: {multipliers: {name: magic}}", "train.multipliers"),
    "unknown optimiser": ("train: {optimiser: {name: sgd}}", "train.optimiser"),
    "decay": ("train: {multipliers: {name: rba, gamma: 1.0}}", "gamma: found 1.0"),
    "no name": ("train: {optimiser: {iterations: 3}}", "train.optimiser"),
    "weight normalisation": (
        "train: {network: {weight_normalisation: true}}",
        "train.network.weight_normalisation: found true, expected false",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_wrong_configuration(folder, capsys, name):
    text, fragment = CONFIGS[name]
    (folder / "train.yaml").write_text(text)
    assert_error(folder, capsys, fragment)


def test_missing_configuration(folder, capsys):
    (folder / "train.yaml").unlink()
    assert_error(folder, capsys, "is a link that leads nowhere, expected a YAML file")


@pytest.mark.parametrize("name", ["case.h5", "points.h5"])
def test_missing_damaged_foreign_and_old_files(folder, capsys, name):
    path = folder / name
    whole = path.read_bytes()
    path.unlink()
    assert_error(folder, capsys, "is a link that leads nowhere")
    path.write_bytes(whole[: len(whole) // 3])
    assert_error(folder, capsys, "not a readable HDF5 file")
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 99
    assert_error(folder, capsys, "format version is 99, expected ")
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "other"
    assert_error(folder, capsys, "format is 'other'")


def test_points_of_another_case(folder, capsys):
    with h5py.File(folder / "points.h5", "a") as file:
        file.attrs["identity"] = "another"
    assert_error(folder, capsys, "belongs to case another")


def test_wrong_launch_environment(folder, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert_error(folder, capsys, "RANK=2, expected 0 to 1")
    monkeypatch.setenv("RANK", "zero")
    assert_error(folder, capsys, "expected whole numbers")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert_error(folder, capsys, "MASTER_ADDR is not set")


def test_verbose_shows_the_traceback(folder):
    (folder / "case.h5").unlink()
    with pytest.raises(UserError):
        main(["--verbose", *arguments(folder)])


def test_train_then_score_refuses_a_foreign_or_damaged_model(folder, capsys):
    assert main(arguments(folder)) == 0
    capsys.readouterr()
    results = Results(folder / "run")
    model = results.model
    results.settings("score").write_text("score: {}")
    command = ["score", str(results.folder)]
    assert main(command) == 0
    content = torch.load(model, weights_only=True)
    for change, fragment in (
        ({"identity": "another"}, "belongs to case another"),
        ({"version": 7}, "format version is 7"),
        ({"format": "other"}, "format is 'other'"),
    ):
        torch.save(content | change, model)
        assert main(command) == 2
        assert fragment in capsys.readouterr().err
    model.write_bytes(b"junk")
    assert main(command) == 2
    assert "not a readable torch file" in capsys.readouterr().err
    model.unlink()
    assert main(command) == 2
    assert "not found" in capsys.readouterr().err


def test_damaged_checkpoint_is_skipped(folder, capsys):
    write_config(
        folder,
        network={"layers": 1, "width": 4},
        optimiser={"name": "gauss_newton", "iterations": 6, "rows": [9, 9]},
        checkpoint_every=2,
    )
    assert main(arguments(folder)) == 0
    expected = torch.load(folder / "run" / "model.pt", weights_only=True)["state"]
    newest = max((folder / "run" / "checkpoints").rglob("step_*.pt"))
    newest.write_bytes(newest.read_bytes()[:100])
    capsys.readouterr()
    assert main(arguments(folder)) == 0
    assert "trying the checkpoint before" in capsys.readouterr().err
    state = torch.load(folder / "run" / "model.pt", weights_only=True)["state"]
    assert all(torch.equal(state[name], expected[name]) for name in expected)
