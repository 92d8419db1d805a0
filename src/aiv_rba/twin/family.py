"""A family of twins: one YAML file that lists them in two halves, and some for show."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic.dataclasses import dataclass

from aiv_rba.errors import UserError
from aiv_rba.settings.types import STRICT
from aiv_rba.twin.bifurcation import Bifurcation, generate_bifurcation
from aiv_rba.twin.generate import generate
from aiv_rba.twin.options import Twin
from aiv_rba.twin.reading import validated
from aiv_rba.twin.wake import Wake, generate_wake

Half = Literal["choose", "judge"]
Group = Literal[Half, "show"]
Options = Twin | Bifurcation | Wake


@dataclass(frozen=True, config=STRICT)
class Member:
    """One twin of a family."""

    half: Group
    """Settings may be chosen by looking at the results of one half; the other is run once. Twins
    for show belong to neither."""
    twin: Twin | None = None
    """Options of a duct."""
    bifurcation: Bifurcation | None = None
    """Options of a bifurcation."""
    wake: Wake | None = None
    """Options of a wake."""
    experiment: str | None = None
    """Configuration of a twin whose files are there already."""
    like_bundled: bool = False
    """Whether noise, planes, Reynolds and Womersley number are like those of the bundled one."""

    def __post_init__(self) -> None:
        """Check that there are options or files."""
        given = (self.twin, self.bifurcation, self.wake, self.experiment)
        if sum(one is not None for one in given) != 1:
            raise ValueError(
                "expected either options of a twin, a bifurcation or a wake, or an experiment"
            )

    @property
    def options(self) -> Options | None:
        """Its options; none if its files are there already."""
        return self.twin or self.bifurcation or self.wake


def load_family(path: Path) -> dict[str, Member]:
    """Read a family by name.

    Raises
    ------
    UserError
        If the file is missing, not YAML, or a key or value is wrong.
    """
    try:
        document: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not all(isinstance(m, dict) for m in document.values()):
        raise UserError(f"{path}: expected a mapping of names to half, like_bundled and twin")
    return {
        str(name): validated(Member, member, f"{path}: {name}") for name, member in document.items()
    }


def find_twin(path: Path, name: str) -> Options:
    """The options of one twin of a family.

    Raises
    ------
    UserError
        If the family has no such twin, or has its files already.
    """
    family = load_family(path)
    if name not in family:
        raise UserError(f"{path}: found no twin {name!r}, expected one of {', '.join(family)}")
    twin = family[name].options
    if twin is None:
        raise UserError(
            f"{path}: {name}: is made already ({family[name].experiment}), expected a twin with "
            "options"
        )
    return twin


def make_twin(twin: Options, out: Path, name: str) -> dict[str, float]:
    """Write the files of a twin, experiment.yaml last; returns the solver's figures.

    Raises
    ------
    UserError
        If NGSolve is missing, the flow cannot be solved or a file cannot be written.
    """
    match twin:
        case Bifurcation():
            return generate_bifurcation(twin, out, name)
        case Wake():
            return generate_wake(twin, out, name)
        case Twin():
            return generate(twin, out, name)
