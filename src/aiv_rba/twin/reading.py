"""Reading of a twin's options: one line per mistake."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from aiv_rba.errors import UserError


def validated(kind: Any, values: Any, where: str) -> Any:
    """The dataclass `kind` made of plain values.

    Raises
    ------
    UserError
        If a key is unknown or a value is wrong; `where` says in which part of which file.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join([where, *(str(part) for part in problem["loc"])])
        if problem["type"] == "unexpected_keyword_argument":
            raise UserError(f"{key}: unknown key, expected an option of a twin") from None
        message = problem["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        raise UserError(f"{key}: found {problem['input']!r}, {message}") from None
