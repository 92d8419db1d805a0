"""Linear least squares for harmonics, from rows that each have their own time.

The coefficients c_k (B,) of harmonics k minimise

    sum_i w_i (d_i - Re sum_k a_i . c_k exp(i k w t_i))^2 + sum_k c_k . G_k c_k - 2 Re r_k . c_k.

Rows at many times nearly keep the harmonics apart. So conjugate gradients that are preconditioned
by the fits of single harmonics need few steps. Combinations that few rows see, and these within a
short time, would need many; they are left where the last step leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator, cg

from aiv_rba.files.formats import Array
from studies.rivals.flow import ComplexArray, product
from studies.rivals.tracks import Rows

TOLERANCE = 1e-6
STEPS = 150


class HarmonicFit:
    """The least-squares problem of one set of rows.

    Parameters
    ----------
    rows
        N rows with C components.
    designs
        (N, M) for each component: it is the design times the coefficients in its columns.
    columns
        For each component, where these M are among the B coefficients.
    normal
        G_k (B, B), Hermitian and positive, for each harmonic.
    right
        r_k (B,) for each harmonic.
    """

    def __init__(
        self,
        rows: Rows,
        designs: Sequence[Array],
        columns: Sequence[slice],
        normal: Sequence[ComplexArray],
        right: ComplexArray,
    ) -> None:
        self.rows, self.designs, self.columns = rows, designs, columns
        self.normal, self.right = normal, right
        self.coefficients = np.zeros_like(right)

    def solve(self, weights: Array) -> Array:
        """Find `coefficients` (K, B) for weights (N, C); the fitted velocities (N, C)."""
        data = self._transposed(weights * self.rows.measured)
        factors = [cho_factor(matrix) for matrix in self._apart(weights)]

        def apply(flat: Array) -> Array:
            c = self._unflatten(flat)
            out = self._transposed(weights * self.fitted(c))
            for k, matrix in enumerate(self.normal):
                out[k] += matrix @ c[k]
            return out.view(float).ravel()

        def precondition(flat: Array) -> Array:
            c = self._unflatten(flat)
            out = np.array([cho_solve(f, part) for f, part in zip(factors, c, strict=True)])
            return out.view(float).ravel()

        size = 2 * self.right.size
        solution, _ = cg(
            LinearOperator((size, size), matvec=apply, dtype=float),
            (data + self.right).view(float).ravel(),
            x0=self.coefficients.view(float).ravel(),
            rtol=TOLERANCE,
            maxiter=STEPS,
            M=LinearOperator((size, size), matvec=precondition, dtype=float),
        )
        self.coefficients = self._unflatten(solution).copy()
        return self.fitted(self.coefficients)

    def fitted(self, coefficients: ComplexArray) -> Array:
        """Velocities (N, C) of coefficients (K, B)."""
        parts = [
            np.sum(product(design, coefficients[:, where].T) * self.rows.waves.T, axis=1).real
            for design, where in zip(self.designs, self.columns, strict=True)
        ]
        return np.stack(parts, axis=1)

    def _unflatten(self, flat: Array) -> ComplexArray:
        return np.ascontiguousarray(flat).view(complex).reshape(self.right.shape)

    def _transposed(self, values: Array) -> ComplexArray:
        """Transpose of `fitted`, of values (N, C)."""
        out = np.zeros_like(self.right)
        for column, design, where in zip(values.T, self.designs, self.columns, strict=True):
            out[:, where] += product(design.T, (self.rows.waves.conj() * column).T).T
        return out

    def _apart(self, weights: Array) -> list[ComplexArray]:
        """The normal matrices of harmonics as if the times were equally spaced."""
        whole = np.zeros(self.normal[0].shape)
        for column, design, where in zip(weights.T, self.designs, self.columns, strict=True):
            whole[where, where] += design.T @ (column[:, None] * design)
        return [share(k) * whole + matrix for k, matrix in enumerate(self.normal)]


def share(harmonic: int) -> float:
    """Mean over a period of the squared cosine of a harmonic: one for the mean, else a half."""
    return 1.0 if harmonic == 0 else 0.5
