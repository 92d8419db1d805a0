"""How large the standard deviations are, what they come from, and whether they are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm

from aiv_rba.fields.derived import sample_series
from aiv_rba.fields.flow import Flow
from aiv_rba.fields.spread import VALUES
from aiv_rba.files.formats import Array
from aiv_rba.stages.score.truth import Compared

# Phases of the truth at which the deviations of fields are compared with the errors: every so many.
EVERY = 4
# Intervals that are to hold the truth with these probabilities: half, one standard deviation, ...
LEVELS = (0.5, 0.6827, 0.8, 0.9, 0.9545, 0.99)
# Points in the lumen and vertices of the wall, and phases, of the summary.
POINTS, TIMES = 400, 4


def summary(flow: Flow) -> dict[str, Any]:
    """Standard deviations over the sizes of the fields, root mean squares over space and time.

    And the share of each kind of error in the variance, where kinds are kept apart.
    """
    deviations = flow.deviations
    if deviations is None:
        return {"method": "none"}
    rng = np.random.default_rng(0)
    volume, wall, scales = flow.mesh_positions, flow.case.wall, flow.case.scales
    inside = volume[rng.choice(len(volume), min(POINTS, len(volume)), replace=False)]
    on_wall = rng.choice(len(wall.points), min(POINTS, len(wall.points)), replace=False)
    at = scales.shares(TIMES) * scales.nondimensional_period

    def mean_squares(source: str | None) -> dict[str, float]:
        found = flow.std.inside(inside, at, VALUES, source)
        stress = flow.std.on_wall(
            wall.points[on_wall], wall.normals[on_wall], at, ("wall_shear_stress",), source
        )
        spread = {name: [values[name] for values in found] for name in VALUES}
        spread["wss"] = [values["wall_shear_stress"] for values in stress]
        return {name: _mean_square(np.array(values)) for name, values in spread.items()}

    network = flow.model.network
    series = (
        sample_series(network, scales, inside, at, order=0),
        sample_series(network, scales, wall.points[on_wall], at),
    )
    fields: dict[str, list[Array]] = {"velocity": [], "pressure": [], "wss": []}
    for within, beside in zip(*series, strict=True):
        fields["velocity"].append(within.velocity)
        fields["pressure"].append(within.pressure - within.pressure.mean())
        stress = beside.wall_shear_stress(wall.normals[on_wall], scales.viscosity)
        fields["wss"].append(stress)
    sizes = {name: _mean_square(np.array(values)) for name, values in fields.items()}
    total = mean_squares(None)
    relative = {name: float(np.sqrt(total[name] / size)) for name, size in sizes.items() if size}
    table = flow.hydraulics(flow.times(TIMES))
    for name, column in (
        ("flow_rate", "flow_rate{}_m3_s"),
        ("pressure_drop", "pressure_drop{}_pa"),
    ):
        size = _mean_square(table[column.format("")].to_numpy())
        # A flow at rest has no size, a vessel with one opening no pressure drop.
        if size > 0:
            spread = _mean_square(table[column.format("_std")].to_numpy())
            relative[name] = float(np.sqrt(spread / size))
    parts = {source: mean_squares(source) for source in deviations.sources}
    whole = {name: sum(part[name] for part in parts.values()) for name in total}
    return {
        "method": deviations.method,
        "relative": relative,
        "shares": {
            source: {name: value / whole[name] for name, value in part.items() if whole[name]}
            for source, part in parts.items()
        },
    }


def coverage(flow: Flow, compared: Compared) -> dict[str, list[float]]:
    """How often the truth lies within an interval that is to hold it with a given probability.

    Shares for each of `nominal`, over points and times.
    """
    return shares_within(errors_and_deviations(flow, compared))


def errors_and_deviations(flow: Flow, compared: Compared) -> dict[str, tuple[Array, Array]]:
    """Errors and standard deviations at the points and times of the truth.

    Of u, v, w, the pressure, the components of the wall shear stress and, where the truth has it,
    the flow rate, which is one number and so is taken at all times.
    """
    places, at = compared.places, slice(None, None, EVERY)
    times = places.times[at]
    inside = flow.std.inside(places.inside, times, VALUES)
    on_wall = flow.std.on_wall(places.on_wall, places.normals, times, ("wall_shear_stress",))
    velocity = np.array([found["velocity"] for found in inside])
    spread = {
        **{name: velocity[..., i] for i, name in enumerate("uvw")},
        "pressure": np.array([found["pressure"] for found in inside]),
        "wss": np.array([found["wall_shear_stress"] for found in on_wall]),
    }
    wrong = {name: values[at] for name, values in compared.wrong.items()}
    if "flow_rate" in compared.wrong:
        table = flow.hydraulics(flow.case.scales.seconds(places.times))
        spread["flow_rate"] = table["flow_rate_std_m3_s"].to_numpy()
        wrong["flow_rate"] = compared.wrong["flow_rate"]
    wrong |= {name: wrong["velocity"][..., i] for i, name in enumerate("uvw")}
    return {name: (wrong[name], deviation) for name, deviation in spread.items()}


def shares_within(pairs: dict[str, tuple[Array, Array]]) -> dict[str, list[float]]:
    """How often errors lie within the interval of each of `nominal`, from standard deviations."""
    result: dict[str, list[float]] = {"nominal": list(LEVELS)}
    for name, (wrong, deviation) in pairs.items():
        size = np.abs(wrong) / np.maximum(deviation, np.finfo(np.float64).tiny)
        result[name] = [float(np.mean(size < norm.ppf((1 + level) / 2))) for level in LEVELS]
    return result


def _mean_square(values: Array) -> float:
    return float(np.mean(values**2))
