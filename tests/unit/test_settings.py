"""Settings: documented, overlaid, and helpful about keys that have other names now."""

import dataclasses
import inspect

import pytest
import yaml

from aiv_rba import settings
from aiv_rba.cli import main
from aiv_rba.errors import UserError
from aiv_rba.settings import json_schema, load_stage, read_experiment
from tests.synthetic import write_tube_experiment

LEAST = {
    "name": "a",
    "ingest": {
        "tracks": "t.csv",
        "wall": "w.stl",
        "fluid": {"density": 1e3, "viscosity": 1e-3},
        "period": 1.0,
    },
}


def test_every_class_and_field_is_documented():
    classes = [c for c in vars(settings).values() if inspect.isclass(c)]
    assert len(classes) > 20
    for found in classes:
        assert found.__doc__, found
        assert not found.__doc__.startswith(f"{found.__name__}("), found

    def undescribed(node, path):
        for name, child in node.get("properties", {}).items():
            if "description" not in child:
                yield f"{path}.{name}"
            yield from undescribed(child, f"{path}.{name}")
            for choice in child.get("oneOf", []):
                yield from undescribed(choice, f"{path}.{name}")

    assert list(undescribed(json_schema(), "")) == []
    assert all(dataclasses.is_dataclass(c) for c in classes)


def test_an_overlay_changes_some_keys(tmp_path):
    base, overlay = tmp_path / "a.yaml", tmp_path / "b.yaml"
    base.write_text(yaml.safe_dump(LEAST | {"train": {"seed": 3, "network": {"width": 7}}}))
    overlay.write_text(yaml.safe_dump({"name": "b", "train": {"network": {"layers": 2}}}))
    experiment = read_experiment(base, overlay)
    assert (experiment.name, experiment.train.seed) == ("b", 3)
    assert (experiment.train.network.width, experiment.train.network.layers) == (7, 2)
    assert experiment.ingest.period == 1.0


RENAMED = {
    "train: {weighting: {name: rba}}": "train.weighting: renamed, expected multipliers",
    "train: {weights: {}}": "train.weights: renamed, expected global_weights",
    "train: {then: {name: adam}}": "train.then: renamed, expected second_optimiser",
    "train: {robust_tracks: false}": "train.robust_tracks: renamed, expected robust_weights",
    "train: {optimiser: {name: gauss_newton, memory: 3}}": "expected curvature_memory",
    "train: {optimiser: {name: gauss_newton, adaptive: 0.3}}": "expected importance_sampling",
    "train: {optimiser: {name: gauss_newton, update: gain}}": "expected damping_update",
}


@pytest.mark.parametrize(("text", "message"), RENAMED.items())
def test_old_keys_name_the_new_ones(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_stage(path, "train")


def test_init_writes_the_settings_of_every_stage(tmp_path, capsys, monkeypatch):
    path = write_tube_experiment(tmp_path)
    overlay = tmp_path / "more.yaml"
    overlay.write_text("train: {seed: 8}")
    assert main(["init", str(path), str(overlay), "--results", str(tmp_path / "out")]) == 0
    written = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(written) == len(settings.STAGES)
    folder = tmp_path / "out" / "tube" / "settings"
    assert load_stage(folder / "train.yaml", "train").seed == 8
    assert load_stage(folder / "ingest.yaml", "ingest").period == pytest.approx(0.303)


def test_init_refuses_a_wrong_key_and_writes_nothing(tmp_path, capsys):
    path = write_tube_experiment(tmp_path)
    overlay = tmp_path / "more.yaml"
    overlay.write_text("train: {sead: 8}")
    assert main(["init", str(path), str(overlay), "--results", str(tmp_path / "out")]) == 2
    assert "train.sead: unknown key" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_stage_without_its_folder_says_how_to_make_one(tmp_path, capsys):
    assert main(["ingest", str(tmp_path / "none")]) == 2
    assert "make it with aiv-rba init" in capsys.readouterr().err
