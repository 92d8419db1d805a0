"""Problems that the training loop solves, one folder each.

The folders are the only list of problems. A folder whose module `problem` has a `ScalarProblem`
can be validated: its solution is known.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from aiv_rba.errors import UserError

if TYPE_CHECKING:
    from aiv_rba.problems.scalar import ScalarProblem


def find(name: str) -> type[ScalarProblem]:
    """The problem with a known solution that a folder of this name holds.

    Raises
    ------
    UserError
        If there is no such folder.
    """
    problems = known()
    if name not in problems:
        raise UserError(f"problem: found {name!r}, expected one of {', '.join(problems)}")
    return problems[name]


def known() -> dict[str, type[ScalarProblem]]:
    """Problems with a known solution, by the names of their folders."""
    # Torch is loaded by those who ask, and not by stages that do without it.
    from aiv_rba.problems.scalar import ScalarProblem

    problems = {}
    for folder in pkgutil.iter_modules(__path__):
        if not folder.ispkg:
            continue
        module = import_module(f"{__name__}.{folder.name}.problem")
        for found in vars(module).values():
            if (
                isinstance(found, type)
                and issubclass(found, ScalarProblem)
                and found.__module__ == module.__name__
            ):
                problems[folder.name] = found
    return problems
