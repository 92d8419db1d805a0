"""The check of a GPU, rehearsed on processor cores."""

import json

import pytest

from bench import gpu_check, measure


def test_the_check_is_rehearsed_on_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    gpu_check.run(device="cpu")
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert found["device"] == "cpu"
    parts = {name: part["result"] for name, part in found["parts"].items()}
    assert len(parts["tests"]["passed"]) >= 12
    assert "failed" not in parts["tests"]
    # Wherever they are, and though they are skipped on cores.
    seen = {test.split("::")[0] for tests in parts["tests"].values() for test in tests}
    assert seen >= {"tests/unit/test_adam_step.py", "tests/unit/test_point_source.py"}
    step = parts["step"]
    assert step["jets_milliseconds"] > 0 < step["nested_autograd_milliseconds"]
    assert set(step["peak_tflops"]) == {"double", "single", "tf32", "bfloat16"}
    assert step["shares"]["jets"]["of_peak"] == pytest.approx(
        step["operations"] / step["jets_milliseconds"] / 1e9 / step["peak_tflops"]["single"]
    )
    assert parts["training"]["steps"] == 3
