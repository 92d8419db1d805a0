"""What the benches share: experiments, rounds in which all take turns, statistics, results."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

RESULTS = Path("results")
BUNDLED = Path("workflow/config/perivascular.yaml")
PAPER = Path("workflow/config/paper.yaml")
Found = TypeVar("Found")


def in_turns(
    variants: Mapping[str, Callable[[], Found]], rounds: int, warm_up: int = 1
) -> dict[str, list[Found]]:
    """What every variant returns in every round, after some that do not count.

    In a round all take their turns, so that a drift of the machine's speed hits all of them.
    """
    found: dict[str, list[Found]] = {name: [] for name in variants}
    for number in range(warm_up + rounds):
        for name, turn in variants.items():
            result = turn()
            if number >= warm_up:
                found[name].append(result)
    return found


def timed(step: Callable[[], object]) -> Callable[[], float]:
    """A step that returns the seconds it took."""

    def seconds() -> float:
        started = time.perf_counter()
        step()
        return time.perf_counter() - started

    return seconds


def ratios(of: Sequence[float], to: Sequence[float], factor: float = 1.0) -> list[float]:
    """Ratios of what was measured in the same rounds, times a factor."""
    return [factor * a / b for a, b in zip(of, to, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def save(name: str, result: Mapping[str, Any]) -> str:
    """Write ``results/<name>.json``; its text."""
    text = json.dumps(result, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    return text


def write(name: str, result: Mapping[str, Any]) -> None:
    """Write ``results/<name>.json`` and print it."""
    print(save(name, result))


def renew(pages: Iterable[Path], tables: str) -> None:
    """Replace those tables on pages that have new ones of the same names."""
    table = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
    new = {found[2]: found[0] for found in table.finditer(tables)}
    for page in pages:
        text = page.read_text()
        renewed = table.sub(lambda found: new.get(found[2], found[0]), text)
        if renewed != text:
            page.write_text(renewed)
