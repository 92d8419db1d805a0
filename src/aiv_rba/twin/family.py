"""A family of twins: one YAML file that lists them in two halves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic.dataclasses import dataclass

from aiv_rba.errors import UserError
from aiv_rba.settings.types import STRICT
from aiv_rba.twin.options import Twin
from aiv_rba.twin.reading import validated

Half = Literal["choose", "judge"]


@dataclass(frozen=True, config=STRICT)
class Member:
    """One twin of a family."""

    half: Half
    """Settings may be chosen by looking at the results of one half; the other is run once."""
    twin: Twin | None = None
    """Its options; none if its files are there already."""
    experiment: str | None = None
    """Configuration of a twin whose files are there already."""
    like_bundled: bool = False
    """Whether noise, planes, Reynolds and Womersley number are like those of the bundled one."""

    def __post_init__(self) -> None:
        """Check that there are options or files."""
        if (self.twin is None) == (self.experiment is None):
            raise ValueError("expected either options of a twin or an experiment")


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


def find_twin(path: Path, name: str) -> Twin:
    """The options of one twin of a family.

    Raises
    ------
    UserError
        If the family has no such twin, or has its files already.
    """
    family = load_family(path)
    if name not in family:
        raise UserError(f"{path}: found no twin {name!r}, expected one of {', '.join(family)}")
    twin = family[name].twin
    if twin is None:
        raise UserError(
            f"{path}: {name}: is made already ({family[name].experiment}), expected a twin with "
            "options"
        )
    return twin
