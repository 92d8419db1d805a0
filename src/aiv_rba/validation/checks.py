"""What the methods of a comparison must reach."""

from __future__ import annotations

from typing import Any

from aiv_rba.errors import UserError
from aiv_rba.settings import Checks

Results = dict[str, dict[str, Any]]
"""Content of the JSON file of each method."""


def check(problem: str, results: Results, checks: Checks) -> None:
    """Compare multipliers and errors with their bounds.

    Raises
    ------
    UserError
        At the first figure that is out of its bounds, and by how much.
    """
    for name, result in results.items():
        _multiplier_bound(problem, name, result)
    for name, most in checks.at_most.items():
        error = _error(problem, results, name)
        if not error <= most:
            raise UserError(
                f"{problem}: relative L2 of {name} is {error:.3g}, expected at most {most:.3g}"
            )
    for name, (expected, factor) in checks.within.items():
        error = _error(problem, results, name)
        if not expected / factor <= error <= expected * factor:
            raise UserError(
                f"{problem}: relative L2 of {name} is {error:.3g}, expected {expected:.3g} within "
                f"a factor of {factor:.3g}"
            )
    for better, (worse, factor) in checks.better.items():
        ratio = _error(problem, results, worse) / _error(problem, results, better)
        if not ratio >= factor:
            raise UserError(
                f"{problem}: {better} is {ratio:.3g} times more accurate than {worse}, expected at "
                f"least {factor:.3g} times"
            )


def _multiplier_bound(problem: str, name: str, result: dict[str, Any]) -> None:
    """Eq. 13; initialisation 2 may start above it, at 1."""
    scheme = result["settings"]["multipliers"]
    if scheme["name"] != "rba":
        return
    bound = scheme["eta"] / (1 - scheme["gamma"])
    if scheme["init"] == 2:
        bound = max(bound, 1.0)
    # The multipliers grow by many additions, each rounded.
    if result["largest_multiplier"] > bound * (1 + 1e-9):
        raise UserError(
            f"{problem}: {name}: largest multiplier is {result['largest_multiplier']:.4g}, "
            f"expected at most eta* / (1 - gamma) = {bound:.4g} (Eq. 13)"
        )


def _error(problem: str, results: Results, name: str) -> float:
    if name not in results:
        raise UserError(
            f"{problem}: checks name the method {name!r}, expected one of {', '.join(results)}"
        )
    return float(results[name]["mean"])
