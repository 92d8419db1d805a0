"""How good an inferred flow is, judged without the true one: quantities and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aiv_rba.fields.derived import jet_series
from aiv_rba.fields.hydraulics import cross_sections, heights
from aiv_rba.fields.mesh import mesh_of
from aiv_rba.fields.through_openings import ThroughOpenings
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import Lumen, Region, lumen_of
from aiv_rba.jets import Order
from aiv_rba.problems.velocimetry import navier_stokes
from aiv_rba.problems.velocimetry.model import Model

SECTIONS, TIMES = 21, 8
# Cells from the middle of a general lumen to its wall.
LAYERS = 6
GRADES = ("good", "fair", "poor")
# A value is judged by what exceeds so many of its standard errors.
STANDARD_ERRORS = 2


@dataclass(frozen=True)
class Kind:
    """A quantity that is zero, or as small as the noise lets it be, where the flow is right.

    Attributes
    ----------
    title
        What it is, in words that follow "the".
    unit
        "percent", or "" for a plain number.
    good, fair
        The largest values that are called good and fair.
    """

    title: str
    unit: str
    good: float
    fair: float


# The limits are from the choosing half of the twins alone (docs/uncertainty.md): those of good lie
# between the five vessels that are inferred to one percent and stenosis_a, whose velocity is three
# percent wrong; those of fair are a few times higher. A bias of one percent is an error of one
# percent of the velocity, and so are harmonics that are missing; where none is, 0.2 percent were
# found. Where the flow is right chi-squared is 0.8 to 1.0; four is a residual of
# twice the noise. The sum of the flow rates of the openings has the limits of the spread over the
# sections of a tube.
KINDS = {
    "amplitude_bias": Kind("amplitude bias on the tracks", "percent", 1.0, 3.0),
    **{
        f"chi_squared_{name}": Kind(f"chi-squared of {name} on held-out tracks", "", 1.25, 4.0)
        for name in "uvw"
    },
    "missing_harmonics": Kind("next harmonics in the residuals of the tracks", "percent", 1.0, 3.0),
    "momentum": Kind("momentum residual", "percent", 2.5, 20.0),
    "mass": Kind("mass residual", "percent", 1.0, 5.0),
    "no_slip": Kind("speed on the wall", "percent", 1.0, 3.0),
    "flow_rate_spread": Kind("spread of the flow rate over sections", "percent", 1.0, 3.0),
    "mass_imbalance": Kind("sum of the flow rates of all openings", "percent", 1.0, 3.0),
    "velocity_std": Kind("standard deviation of the velocity", "percent", 1.5, 5.0),
}
"""Every quantity that is judged, in the order in which it is shown, and its limits."""


@dataclass(frozen=True)
class Quantity:
    """A value in the unit of its kind, with its standard error where there is one."""

    kind: Kind
    value: float
    standard_error: float | None = None

    @property
    def grade(self) -> str:
        """Grade of the part of the value that cannot be chance."""
        excess = abs(self.value) - STANDARD_ERRORS * (self.standard_error or 0.0)
        if excess <= self.kind.good:
            return "good"
        return "fair" if excess <= self.kind.fair else "poor"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for scores.json."""
        error = {} if self.standard_error is None else {"standard_error": self.standard_error}
        return {
            "title": self.kind.title,
            "unit": self.kind.unit,
            "value": self.value,
            **error,
            "good": self.kind.good,
            "fair": self.kind.fair,
            "grade": self.grade,
        }


def quality(
    case: Case, model: Model, on_tracks: dict[str, Any], relative: dict[str, float]
) -> dict[str, Any]:
    """Quantities, the verdict, and the names of those that made it worse than good.

    Parameters
    ----------
    case, model
        The experiment and the flow that was inferred.
    on_tracks
        Amplitude bias and chi-squared, from `aiv_rba.stages.score.tracks.on_tracks`.
    relative
        Standard deviations over the sizes of the fields; empty if there are none.
    """
    found = of_tracks(case, on_tracks, model.raised) | of_flow(case, model)
    if "velocity" in relative:
        spread = 100 * relative["velocity"]
        found["velocity_std"] = Quantity(KINDS["velocity_std"], spread)
    return judge({name: found[name] for name in KINDS if name in found})


def judge(quantities: dict[str, Quantity]) -> dict[str, Any]:
    """The verdict, which is the worst grade, with its reasons and all quantities."""
    worst = max((quantity.grade for quantity in quantities.values()), key=GRADES.index)
    because = [name for name, quantity in quantities.items() if quantity.grade == worst]
    return {
        "verdict": worst,
        "because": [] if worst == "good" else because,
        "quantities": {name: quantity.to_dict() for name, quantity in quantities.items()},
    }


def of_tracks(case: Case, on_tracks: dict[str, Any], raised: float) -> dict[str, Quantity]:
    """Bias of the main component, chi-squared of every measured one, harmonics that are missing.

    The bias is that of the flow before its amplitudes were fitted to the tracks, which raised it by
    a factor: a wrong vessel or fluid shows in what the equations make of the tracks, and no longer
    when the amplitudes follow the tracks alone.
    """
    found = {
        f"chi_squared_{name}": Quantity(KINDS[f"chi_squared_{name}"], **chi)
        for name, chi in on_tracks["chi_squared"].items()
    }
    missing = on_tracks["missing_harmonics"]
    if missing is not None:
        percent = (100 * missing["value"], 100 * missing["standard_error"])
        found["missing_harmonics"] = Quantity(KINDS["missing_harmonics"], *percent)
    # A flow at rest has no amplitude.
    if case.main_component in on_tracks["amplitude_bias"]:
        bias = on_tracks["amplitude_bias"][case.main_component]
        found["amplitude_bias"] = Quantity(
            KINDS["amplitude_bias"],
            100 * ((1 + bias["bias"]) * (1 + raised) - 1),
            100 * bias["standard_error"],
        )
    return found


def of_flow(case: Case, model: Model) -> dict[str, Quantity]:
    """How well the flow meets the equations and the wall, at quadrature points over all times.

    The residuals of momentum, Eq. 33, are compared with the acceleration, the pressure gradient
    and the viscous term; that of mass, Eq. 34, with the whole velocity gradient; and the speed on
    the vertices of the wall with that in the lumen. All are root mean squares over space and time.
    """
    scales = case.scales
    lumen = lumen_of(case)
    times = scales.nondimensional_period * scales.shares(TIMES)
    positions, volumes = _quadrature(lumen)

    def jets(at: Array, order: Order) -> Tensor:
        series = jet_series(model.network, at, times, order)
        return torch.as_tensor(np.concatenate(list(series), axis=1))

    jet, on_wall = jets(positions, 2), jets(case.wall.points, 0)
    shares = torch.as_tensor(volumes).repeat(len(times)) / (len(times) * volumes.sum())

    def mean_square(*fields: Tensor) -> float:
        """Of fields (N, C), summed over them and their components."""
        return float(sum(shares @ (field**2).sum(dim=1) for field in fields))

    terms = navier_stokes.terms(jet, scales.inertia, scales.diffusion)
    residuals = navier_stokes.residuals(jet, scales.inertia, scales.diffusion)
    velocity, gradients = jet[0, :, :3], jet[2:5, :, :3]
    squares = {
        "momentum": (
            mean_square(residuals[:, :3]),
            mean_square(terms.acceleration, terms.pressure_gradient, terms.viscous),
        ),
        "mass": (mean_square(terms.divergence), mean_square(*gradients)),
        "no_slip": (float((on_wall[0, :, :3] ** 2).sum(dim=1).mean()), mean_square(velocity)),
    }
    if isinstance(lumen, Region):
        squares["mass_imbalance"] = _imbalance(ThroughOpenings(case, lumen, model.network), times)
    else:
        through = velocity[:, case.axis].numpy().reshape(len(times), SECTIONS, -1)
        rates = np.sum(through * volumes.reshape(SECTIONS, -1), axis=2)
        squares["flow_rate_spread"] = _spread(rates)
    # Where nothing moves there is nothing to compare with.
    return {
        name: Quantity(KINDS[name], 100 * float(np.sqrt(part / whole)))
        for name, (part, whole) in squares.items()
        if whole > 0
    }


def _quadrature(lumen: Lumen | Region) -> tuple[Array, Array]:
    """Points (N, 3) in a lumen, and shares (N,) of its volume up to a factor.

    Points of cross-sections, which are equally far apart, so that areas are shares of the volume,
    or the middles of the cells of a mesh.
    """
    if isinstance(lumen, Region):
        mesh = mesh_of(lumen, LAYERS)
        volumes = mesh.compute_cell_sizes(length=False, area=False)["Volume"]
        return np.asarray(mesh.cell_centers().points, dtype=float), np.asarray(volumes)
    sections = cross_sections(lumen, heights(lumen, SECTIONS))
    return sections.points.reshape(-1, 3), sections.weights.ravel()


def _spread(rates: Array) -> tuple[float, float]:
    """Variance over sections of flow rates (T, S), and their mean square."""
    return float(rates.var(axis=1).mean()), float(np.square(rates.mean(axis=1)).mean())


def _imbalance(openings: ThroughOpenings, times: Array) -> tuple[float, float]:
    """Mean squares of the sum of the openings' flow rates, and of that through the vessel."""
    rates, _ = openings.at(times)
    whole = openings.main.throughput(rates)
    return float(np.square(rates.sum(axis=1)).mean()), float(np.square(whole).mean())
