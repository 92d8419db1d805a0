"""Warnings about the input, as the record of the ingestion holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from aiv_rba.settings.warnings import WarningName


@dataclass(frozen=True)
class InputWarning:
    """Something in the input that is probably a mistake.

    Attributes
    ----------
    name
        By which `ingest.accept` refers to it.
    text
        What was found, with its figure, and what to check.
    fatal
        Whether it stops the run unless it is accepted.
    accepted
        Whether the experiment accepts it.
    """

    name: WarningName
    text: str
    fatal: bool = False
    accepted: bool = False

    @property
    def stops(self) -> bool:
        """Whether the run ends because of it."""
        return self.fatal and not self.accepted

    def __str__(self) -> str:
        """Name, text, and whether it is accepted, in one line."""
        return f"{self.name}: {self.text}" + (" (accepted)" if self.accepted else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(**values)
