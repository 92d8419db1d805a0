"""What a linearised least-squares fit may be off by, from its curvature and random rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aiv_rba.optimisers.normal_equations import add_upper_gram, factored
from aiv_rba.ranks.ddp import Ranks


class Posterior:
    """Where errors of the rows move the minimum of |r(theta)|^2 + |theta - theta_0|^2 / prior^2.

    If the rows r are off by dr, the minimum moves by -H^-1 J^T dr, with the curvature
    H = J^T J + 1 / prior^2. For independent dr of unit variance and the prior's own share that is
    the Gaussian posterior of covariance H^-1, the Laplace approximation (MacKay 1992); for other
    dr, such as correlated ones, it is the sandwich H^-1 J^T Cov(dr) J H^-1 (White 1982). Sums run
    over the rows of all ranks.

    Parameters
    ----------
    parameters
        (P,) tensor like the parameters.
    sources
        Names of the kinds of errors, which are kept apart.
    samples
        Number S of random errors of each kind.
    """

    def __init__(
        self, parameters: Tensor, sources: Sequence[str], samples: int, ranks: Ranks
    ) -> None:
        count = len(parameters)
        self.ranks = ranks
        self._curvature = parameters.new_zeros(count, count)
        self._moments = {source: parameters.new_zeros(count, samples) for source in sources}

    def add(self, jacobian: Tensor, errors: dict[str, Tensor]) -> None:
        """Add rows of this rank: their Jacobian (n, P), and errors (n, S) of some sources."""
        add_upper_gram(jacobian, self._curvature)
        for source, values in errors.items():
            self._moments[source] -= jacobian.T @ values

    def deviations(
        self, prior: float, source: str, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Deviations (S, P) by source, those that the prior allows in `source`.

        Every rank calls this, once.
        """
        for total in (self._curvature, *self._moments.values()):
            self.ranks.sum(total)
        moments = self._moments[source]
        draws = torch.randn(tuple(moments.shape), generator=generator, dtype=torch.float64)
        moments += draws.to(moments) / prior
        self._curvature.diagonal().add_(prior**-2)
        solve = factored(self._curvature)
        return {name: solve(values).T.contiguous() for name, values in self._moments.items()}
