"""Whether the package computes on this machine's GPU what it computes on cores, and how fast.

Every part runs in a process of its own with a limit of time, so that none can end the others.
Writes results/gpu_check.json, anew after every part.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch.cuda import nccl

from aiv_rba.files.records import revision, versions
from bench.measure import save, write

NAME = "gpu_check"
ROOT = Path(__file__).parents[1]
PYTEST = (sys.executable, "-m", "pytest", "-v", "-m", "gpu", "--tb=short")
OUTCOME = re.compile(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)
# Characters that are kept of what a part prints, where it fails.
KEPT = 4_000


@dataclass(frozen=True)
class Part:
    """A part of the check.

    Attributes
    ----------
    name
        Its name in the result.
    least
        Seconds without which it is not begun.
    most
        Seconds after which it is ended.
    """

    name: str
    least: float
    most: float


PARTS = (Part("tests", 40, 180), Part("step", 30, 180), Part("training", 60, 180))


def run(device: str = "cuda", seconds: float = 480.0) -> None:
    """Check the GPU, or with --device cpu rehearse the check on cores, in so many seconds."""
    if device == "cuda" and not torch.cuda.is_available():
        built = "with CUDA " + torch.version.cuda if torch.version.cuda else "without CUDA"
        sys.exit(
            f"gpu-check: found no GPU that torch {torch.__version__}, built {built}, can use; "
            "expected one: --device cpu (make gpu-check DEVICE=cpu) rehearses the check on cores"
        )
    result: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(Path(__file__)),
        "versions": versions(),
        **machine(device),
        "budget_seconds": seconds,
        "parts": {},
    }
    end = time.monotonic() + seconds
    for part in PARTS:
        left = end - time.monotonic()
        if left < part.least:
            found = {"outcome": "skipped", "error": f"{left:.0f} s left, needs {part.least:.0f} s"}
        else:
            found = attempt(part, device, min(part.most, left))
        result["parts"][part.name] = found
        print(f"gpu-check: {part.name}: {found['outcome']} {found.get('error', '')}".rstrip())
        save(NAME, result)
    write(NAME, result)
    if any(found["outcome"] != "passed" for found in result["parts"].values()):
        sys.exit(1)


def machine(device: str) -> dict[str, Any]:
    """What the check ran on."""
    if device == "cpu":
        return {"device": "cpu", "note": "a rehearsal on cores at small sizes, not a measurement"}
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "devices": torch.cuda.device_count(),
        "memory_gib": properties.total_memory / 2**30,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "nccl": ".".join(map(str, nccl.version())),  # type: ignore[no-untyped-call]
    }


def attempt(part: Part, device: str, limit: float) -> dict[str, Any]:
    """Run a part for at most so many seconds: its outcome, result, seconds, and error if any."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder, "result.json"), Path(folder, "log")
        tests = part.name == "tests"
        measured = (sys.executable, "-m", "bench.gpu_parts", part.name, device, str(out))
        command = (*PYTEST, *marked()) if tests else measured
        with log.open("w") as stream:
            code = ended(command, device, limit, stream.fileno())
        printed = log.read_text()
        if tests:
            result: dict[str, Any] = outcomes(printed)
        else:
            result = json.loads(out.read_text()) if out.exists() else {}
    found: dict[str, Any] = {"outcome": "passed", "result": result}
    if code is None:
        found |= {"outcome": "failed", "error": f"not done in {limit:.3g} s"}
    elif code or not result:
        lines = [line for line in printed.splitlines() if line.strip()] or ["nothing was printed"]
        found |= {"outcome": "failed", "error": f"exit code {code}: {lines[-1].strip()}"}
    if found["outcome"] == "failed":
        found["printed"] = printed[-KEPT:]
    return found | {"seconds": time.monotonic() - started}


def ended(command: tuple[str, ...], device: str, limit: float, log: int) -> int | None:
    """Exit code of a command, or None if it had to be ended, with all that it started."""
    environment = os.environ | {"GPU_CHECK_DEVICE": device, "PYTHONUNBUFFERED": "1"}
    if device == "cpu":
        # A rehearsal measures nothing: compilation takes longer than all the rest, and threads of
        # steps so small wait for each other.
        environment |= {"TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            process.wait()


def marked() -> list[str]:
    """Files of tests that need a GPU: no others are imported, which may need more packages."""
    files = ROOT.glob("tests/**/test_*.py")
    return sorted(str(file.relative_to(ROOT)) for file in files if "mark.gpu" in file.read_text())


def outcomes(printed: str) -> dict[str, list[str]]:
    """Tests by their outcome, from what pytest prints."""
    found: dict[str, list[str]] = {}
    for test, outcome in OUTCOME.findall(printed):
        found.setdefault(outcome.lower(), []).append(test)
    return found
