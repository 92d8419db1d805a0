"""What studies/generalise.py keeps of runs that others did, and how it tells of failures."""

import json
import subprocess
import sys

import pytest
import yaml

from aiv_rba.twin.family import Member, load_family
from studies import generalise


def test_make_knows_every_twin_of_the_family():
    told = subprocess.run(
        ["make", "--dry-run", "twins"], capture_output=True, text=True, check=True
    ).stdout
    for name, member in load_family(generalise.FAMILY).items():
        assert (f"results/twins/{name}/experiment.yaml" in told) == (member.options is not None)


def outcome(error, seconds):
    return {"truth": {"velocity": error, "wss": 2 * error}, "seconds": {"train": seconds}}


def test_means_leave_out_what_failed():
    found = generalise.means([outcome(0.01, 10.0), {"failed": "why"}, outcome(0.03, 30.0)])
    assert found == pytest.approx({"velocity": 0.02, "wss": 0.04, "seconds": 20.0})
    assert generalise.means([{"failed": "why"}]) == {}


def test_table_has_errors_in_percent_and_reasons():
    twins = {"one": outcome(0.0123, 10.0), "two": {"failed": "no wall"}}
    text = generalise.table({"twins": twins, "means": {"all": generalise.means([twins["one"]])}})
    assert "| one | 1.2 |  | 2.5 |  |  |  |  | 10 |" in text
    assert "| two | failed: no wall |" in text
    assert "| mean, all | 1.2 |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_command_that_fails_gives_its_error(tmp_path):
    log = tmp_path / "logs" / "a.log"
    program = "print('first'); print('aiv-rba: error: no tracks'); raise SystemExit(2)"
    with pytest.raises(generalise.Failed, match="aiv-rba: error: no tracks"):
        generalise.run([sys.executable, "-c", program], log)
    assert "first" in log.read_text()
    with pytest.raises(generalise.Failed, match="exit code 3"):
        generalise.run([sys.executable, "-c", "raise SystemExit(3)"], log)


def test_one_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    """The workflow is stood in for: it writes a summary for all experiments but one."""
    monkeypatch.setattr(generalise, "RESULTS", tmp_path)
    family = {}
    for name in ("good", "bad"):
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump({"name": name}))
        family[name] = Member(half="judge", experiment=str(config), like_bundled=name == "good")
    family["other"] = Member(half="choose", experiment="other.yaml")
    monkeypatch.setattr(generalise, "load_family", lambda path: family)

    def run(command, log):
        if "bad.yaml" in command[-1]:
            raise generalise.Failed("it broke")
        (tmp_path / "good").mkdir()
        summary = outcome(0.01, 5.0) | {"seeds": [3], "histograms": "long"}
        (tmp_path / "good" / "summary.json").write_text(json.dumps(summary))

    monkeypatch.setattr(generalise, "run", run)
    result = generalise.generalise("judge", 1)
    assert result["twins"]["bad"] == {"like_bundled": False, "failed": "it broke"}
    assert result["twins"]["good"] == {"like_bundled": True, "seeds": [3]} | outcome(0.01, 5.0)
    assert result["means"]["like_bundled"]["velocity"] == pytest.approx(0.01)
    assert set(result["twins"]) == {"good", "bad"}
