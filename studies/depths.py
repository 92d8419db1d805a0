"""How right the amplitude of a flow is that is found together with the depths of the particles.

Takes finished experiments of twins. The inferred flow counts as the truth, and is measured as the
twin's tracks measured the true one: a row has the inferred velocity at the place that it states,
what the true velocity of its tracer differs from the true velocity at that place, and new noise.
Then the amplitude alone is found again, with the depths, by several methods. Prints its error in
percent, mean over draws of the noise, for every experiment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aiv_rba.fields.flow import open_flow
from aiv_rba.files.case import Case
from aiv_rba.files.truth import open_truth
from aiv_rba.problems.velocimetry.depths import depths_of_tracks, drifts
from aiv_rba.problems.velocimetry.light_sheet import depth_of
from aiv_rba.problems.velocimetry.model import Model
from aiv_rba.stages.score.tracks import at_rows
from studies.budget import good_twins
from studies.calibration import markdown

# Degree of the polynomial in depth that stands for the velocity at a row, the depths at which it is
# fitted, and how far they reach, in thicknesses of the light sheet to both sides.
DEGREE, NODES, REACH = 5, 13, 1.2
STEPS = 40


@dataclass(frozen=True)
class Method:
    """How depths are found: with the curvature of the velocity, and with the drift of particles."""

    curved: bool
    drift: bool


METHODS = {
    "slopes alone": Method(curved=False, drift=False),
    "curvature": Method(curved=True, drift=False),
    "curvature and drift": Method(curved=True, drift=True),
}


class Rows:
    """Training rows of the tracks, and the inferred flow above and below each.

    Parameters
    ----------
    case, model
        A finished experiment whose depths are not measured.
    """

    def __init__(self, case: Case, model: Model) -> None:
        tracks = case.tracks.rows(~case.tracks.validation)
        depth = depth_of(tracks)
        assert depth is not None
        self.depth, self.spread = 1 + depth, model.depth_spread
        self.thickness = np.sqrt(12) * self.spread
        self.points = torch.tensor(tracks.points)
        self.row = tracks.row
        self.names = list(tracks.velocity)
        self.columns = ["uvw".index(name) for name in self.names]
        self.noise = torch.tensor([case.noise[name] for name in self.names])
        self.track = torch.tensor(np.unique(tracks.track, return_inverse=True)[1])
        self.tracks = int(self.track.max()) + 1
        self.far = REACH * self.thickness
        share = torch.linspace(-1, 1, NODES, dtype=torch.float64)
        network = model.network.double()
        values = []
        for each in share:
            points = self.points.clone()
            points[:, self.depth] += each * self.far
            with torch.no_grad():
                values.append(network.value(points)[:, :3])
        powers = share[:, None] ** torch.arange(DEGREE + 1)
        found = torch.linalg.lstsq(powers, torch.stack(values).flatten(1)).solution
        self._coefficients = found.reshape(DEGREE + 1, -1, 3)

    def velocity(self, depth: Tensor, derivative: int = 0) -> Tensor:
        """The flow (n, 3), or a derivative of it in depth, at depths (n,) about the stated ones."""
        share = (depth / self.far).clamp(-1, 1)[:, None]
        total = torch.zeros_like(self._coefficients[0])
        for power in range(derivative, DEGREE + 1):
            factor = float(np.prod(np.arange(power, power - derivative, -1)))
            total = total + factor * self._coefficients[power] * share ** (power - derivative)
        result: Tensor = total / self.far**derivative
        return result

    def amplitude(self, measured: Tensor, method: Method) -> float:
        """The factor of the flow that is found from measured velocities (n, components)."""
        depth, drift = torch.zeros(self.tracks).double(), torch.zeros(len(self.points)).double()
        one, largest = torch.ones(len(self.points)).double(), torch.tensor(self.thickness)
        found = 1.0
        for _ in range(STEPS):
            at = depth[self.track] + drift
            if method.drift:
                drift = drifts(self.points, self.velocity(at), self.track, self.depth, largest)
                at = depth[self.track] + drift
            velocity, slope, bend = (
                found * self.velocity(at, order)[:, self.columns] / self.noise for order in range(3)
            )
            depth, left = depths_of_tracks(
                measured / self.noise - velocity,
                slope,
                bend if method.curved else 0 * bend,
                one,
                self.track,
                depth,
                self.spread**2,
                lambda sums: sums,
            )
            aside = left[:, 0, 0].sqrt()[self.track]
            above, below = (
                self.velocity(depth[self.track] + drift + side)[:, self.columns] / self.noise
                for side in (aside, -aside)
            )
            mean = (above + below) / 2
            squares = (above.square() + below.square()) / 2 if method.curved else mean.square()
            found = float((measured / self.noise * mean).sum() / squares.sum())
        return found


def errors(folder: Path, truth: Path, draws: int) -> dict[str, list[float]]:
    """Errors of the amplitude by method, one for each draw of the noise."""
    flow = open_flow(folder)
    rows = Rows(flow.case, flow.model)
    with open_truth(truth) as file:
        offsets = np.stack(
            [
                at_rows(truth, file, f"tracers/{name}", rows.row)
                - at_rows(truth, file, f"tracks/{name}", rows.row)
                for name in rows.names
            ],
            axis=1,
        )
    there = rows.velocity(torch.zeros(len(rows.points)).double())[:, rows.columns]
    exact = there + torch.tensor(offsets / flow.case.scales.velocity)
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(draws):
        noise = torch.randn(exact.shape, generator=generator, dtype=torch.float64)
        for name, method in METHODS.items():
            found[name].append(rows.amplitude(exact + rows.noise * noise, method) - 1)
    return found


def row_of(name: str, found: dict[str, list[float]]) -> Sequence[str]:
    """Means and standard errors over draws, in percent."""
    cells = []
    for values in found.values():
        doubt = np.std(values, ddof=1) / np.sqrt(len(values))
        cells.append(f"{100 * np.mean(values):+.2f} ± {100 * doubt:.2f}")
    return [name, *cells]


def main() -> int:
    """Find amplitudes and print."""
    parser = argparse.ArgumentParser(prog="python -m studies.depths", description=__doc__)
    parser.add_argument("--half", choices=["choose", "judge"], default="choose")
    parser.add_argument("--draws", type=int, default=6, help="draws of the noise")
    arguments = parser.parse_args()
    twins = good_twins(arguments.half)
    if not twins:
        sys.exit("found no good results, expected some: run make generalise HALF=choose")
    rows = [row_of(name, errors(*paths, arguments.draws)) for name, paths in twins.items()]
    print(markdown(["twin", *METHODS], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
