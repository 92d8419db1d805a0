"""Reference solutions of the literature."""

from __future__ import annotations

from pathlib import Path

import scipy.io
from scipy.io.matlab import MatReadError

from aiv_rba.errors import UserError
from aiv_rba.problems.scalar import Solution


def read_mat(path: Path) -> Solution:
    """Reference of the literature: a .mat file with the fields tt (T,), x (N,), uu (N, T).

    Raises
    ------
    UserError
        If the file cannot be read or lacks a field.
    """
    try:
        content = scipy.io.loadmat(path)
        t, x, u = content["tt"].ravel(), content["x"].ravel(), content["uu"]
    except (OSError, ValueError, NotImplementedError, MatReadError) as error:
        raise UserError(f"{path}: not a readable .mat file: {error}") from None
    except KeyError as error:
        raise UserError(f"{path}: field {error} is missing, expected tt, x and uu") from None
    if u.shape != (len(x), len(t)):
        raise UserError(
            f"{path}: uu is {u.shape[0]} x {u.shape[1]}, expected x by tt, {len(x)} x {len(t)}"
        )
    return t, x, u.T
