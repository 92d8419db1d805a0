"""Numbers and tables of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from aiv_rba import __version__
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.pages import Table
from aiv_rba.settings.types import FlowKind
from aiv_rba.stages.report.opened import OpeningFlow
from aiv_rba.stages.report.units import Unit, unit_for
from aiv_rba.stages.report.unrolled import Unrolled
from aiv_rba.stages.report.wall_series import WallSeries
from aiv_rba.time_modes import mean_over_time

ENDED = {
    "iterations": "as many as allowed",
    "settled": "until nothing improved",
    "time": "until the limit of time",
}
QUANTITIES = {
    "velocity": "velocity",
    "u": "velocity u",
    "v": "velocity v",
    "w": "velocity w",
    "pressure": "pressure",
    "vorticity": "vorticity",
    "wss": "wall shear stress",
    "wss_magnitude": "magnitude of the wall shear stress",
    "flow_rate": "flow rate",
}
SPREAD = {name: QUANTITIES[name] for name in ("velocity", "pressure", "wss", "flow_rate")} | {
    "pressure_drop": "pressure drop"
}
SOURCES = {
    "noise": "noise of the tracks",
    "equations": "unresolved equations",
    "wall": "position of the wall",
    "amplitude": "amplitude of the flow",
}
# A mean flow rate below this share of the largest is no net flow.
NO_NET_FLOW = 0.01


def headlines(result: dict[str, Any]) -> dict[str, str]:
    """Lines to print at the end, from the summary."""
    because = reasons(result["quality"])
    lines = {"verdict": ": ".join(filter(None, (result["quality"]["verdict"], because)))}
    for warning in result["warnings"]:
        lines[f"warning {warning['name']}"] = warning["text"]
    for name, error in result["validation"].items():
        text = f"{100 * error:.2f} %"
        if "noise_floor" in result:
            floor = result["noise_floor"][name]
            text += f" (a perfect field: {100 * floor:.2f} %)"
        lines[f"relative L2 of {name} on held-out tracks"] = text
    for name, found in result["amplitude_bias"].items():
        lines[f"measured {name} exceeds the inferred by"] = (
            f"{100 * found['bias']:.2f} % +- {100 * found['standard_error']:.2f}"
        )
    for name, error in result.get("truth", {}).items():
        lines[f"relative L2 of {name} against the truth"] = f"{100 * error:.2f} %"
    for name, spread in result["uncertainty"].get("relative", {}).items():
        lines[f"standard deviation of {SPREAD[name]}"] = f"{100 * spread:.2f} % of its size"
    if "mass_imbalance" in result["quality"]["quantities"]:
        for opening in result["openings"]:
            rate = opening["mean_flow_rate_m3_s"]
            text = unit_for("flow rate", abs(rate)).text(rate)
            lines[f"mean flow rate out of {opening['name']}"] = text
        lines["sum of the flow rates"] = f"{_percent(result['mass_imbalance'])} of the flow rate"
    lines["training"] = training_line(result)
    return lines


def training_line(result: dict[str, Any]) -> str:
    """How long training was."""
    return (
        f"{result['iterations']} steps, {ENDED[result['ended']]}, {result['world_size']} ranks, "
        f"{result['seconds']['train']:.0f} s"
    )


def suspicious(result: dict[str, Any]) -> str:
    """How many rows and tracks are suspicious."""
    rows, tracks = result["suspicious"]["rows"], result["suspicious"]["tracks"]
    return (
        f"{rows['by_inferred_flow']:,} of {rows['of']:,} rows and {tracks['by_inferred_flow']:,} "
        f"of {tracks['of']:,} tracks are suspicious; suspicious_rows.csv and "
        "suspicious_tracks.csv list them."
    )


def numbers(
    table: pd.DataFrame,
    times: Array,
    peak_speed: Array,
    wall: Unrolled | WallSeries,
    kind: FlowKind,
    between: str = "",
) -> tuple[tuple[str, str], ...]:
    """Headline numbers of the flow: what, and how much.

    Parameters
    ----------
    table
        hydraulics.csv.
    times, peak_speed
        (T,) in s, and the largest speed then, m/s.
    wall
        The outer wall of a tube, or all walls, with their stress.
    kind
        Whether the flow is periodic, steady or unsteady.
    between
        Between which openings the pressure drops, where it is not the whole length.
    """
    fastest = int(np.argmax(peak_speed))
    flow, drop = table.flow_rate_m3_s, table.pressure_drop_pa
    flow_unit = unit_for("flow rate", float(flow.abs().max()))
    drop_unit = unit_for("pressure", float(drop.abs().max()))
    peak = float(peak_speed[fastest])
    stress = np.linalg.norm(wall.stress, axis=-1)
    place = np.unravel_index(np.argmax(stress), stress.shape)
    largest = float(stress[place])
    spread = float(wall.spread["stress"][place]) if wall.spread else None
    mean_flow, mean_drop = (
        float(mean_over_time(values.to_numpy(), times, kind)) for values in (flow, drop)
    )
    steady = kind == "steady"
    found = [
        (
            "largest speed" + ("" if steady else f", at {times[fastest]:.3g} s"),
            unit_for("speed", peak).text(peak),
        ),
        (
            "flow rate" if steady else f"mean flow rate, {_range(flow, flow_unit)}",
            flow_unit.text(mean_flow, _deviation(table, "mean_flow_rate_std_m3_s")),
        ),
        ("largest wall shear stress", unit_for("pressure", largest).text(largest, spread)),
    ]
    if drop.notna().all():
        title = f"pressure drop{between}"
        found.insert(
            2,
            (
                title if steady else f"mean {title}, {_range(drop, drop_unit)}",
                drop_unit.text(mean_drop, _deviation(table, "mean_pressure_drop_std_pa")),
            ),
        )
    known = table.hydraulic_resistance_pa_s_m3.notna().all()
    if known and abs(mean_flow) > NO_NET_FLOW * flow.abs().max():
        per_flow = table.hydraulic_resistance_pa_s_m3[0] / flow_unit.factor
        unit = unit_for("pressure", abs(per_flow))
        deviation = _deviation(table, "hydraulic_resistance_std_pa_s_m3")
        if deviation is not None:
            deviation /= flow_unit.factor
        found.append(
            (
                f"for each {flow_unit.name}: resistance, "
                + ("drop over flow" if steady else "mean drop over mean flow"),
                unit.text(per_flow, deviation),
            )
        )
    return tuple(found)


def openings(found: list[OpeningFlow], imbalance: float) -> Table:
    """Every opening with its area, mean flow rate and mean pressure, and the sum of the rates.

    The last is also given over the flow rate through the vessel, root mean squares over time.
    """
    rates = np.array([opening.mean_rate for opening in found])
    area = unit_for("area", max(opening.area for opening in found))
    rate = unit_for("flow rate", float(np.abs(rates).max()))
    pressure = unit_for("pressure", max(abs(opening.mean_pressure) for opening in found))
    rows = [
        (o.name, area.text(o.area), rate.text(mean), pressure.text(o.mean_pressure))
        for o, mean in zip(found, rates, strict=True)
    ]
    total = area.text(sum(opening.area for opening in found))
    rows.append((f"sum: {_percent(imbalance)} of the flow rate", total, rate.text(rates.sum()), ""))
    return Table("Openings", rows, ("", "area", "mean flow rate out", "mean pressure"))


def spread(uncertainty: dict[str, Any]) -> Table:
    """Standard deviations over the sizes of what they are of, and where their squares come from."""
    shares = uncertainty.get("shares", {})
    rows = [
        (
            SPREAD[name],
            _percent(value),
            *(_whole_percent(share.get(name)) for share in shares.values()),
        )
        for name, value in uncertainty.get("relative", {}).items()
    ]
    header = ("", "over its size", *(f"of it: {SOURCES[source]}" for source in shares))
    return Table("Standard deviations", rows, header)


def covered(coverage: dict[str, list[float]]) -> Table:
    """How often the truth lies within one and two standard deviations."""
    nominal = coverage["nominal"]
    one, two = (int(np.argmin(np.abs(np.array(nominal) - level))) for level in (0.6827, 0.9545))
    rows = [
        (QUANTITIES[name], _whole_percent(shares[one]), _whole_percent(shares[two]))
        for name, shares in coverage.items()
        if name != "nominal"
    ]
    header = ("", "within one (68 % if right)", "within two (95 %)")
    return Table("The truth within standard deviations", rows, header)


def _deviation(table: pd.DataFrame, column: str) -> float | None:
    """A standard deviation that is the same at all times, if there is one."""
    return float(table[column].iloc[0]) if column in table else None


def _range(values: pd.Series, unit: Unit) -> str:
    low, high = (number * unit.factor for number in (values.min(), values.max()))
    return f"from {low:.3g} to {high:.3g}"


def errors(result: dict[str, Any]) -> Table:
    """Relative L2 errors: a row for each quantity, a column for each thing compared with."""
    columns = {
        "against the truth": result.get("truth", {}),
        "on held-out tracks": result["validation"],
        "a perfect field, on held-out tracks": result.get("noise_floor", {}),
    }
    columns = {title: values for title, values in columns.items() if values}
    rows = [
        (label, *(_percent(values.get(name)) for values in columns.values()))
        for name, label in QUANTITIES.items()
        if any(name in values for values in columns.values())
    ]
    return Table("Relative L2 errors", rows, ("", *columns))


def reasons(quality: dict[str, Any]) -> str:
    """Which quantities made the verdict what it is, and the limits they exceed; empty if good."""
    better = {"fair": "good", "poor": "fair"}
    found = []
    for name in quality["because"]:
        quantity = quality["quantities"][name]
        grade = better[quality["verdict"]]
        value, limit = (_with_unit(quantity[key], quantity["unit"]) for key in ("value", grade))
        found.append(f"{quantity['title']} is {value} ({grade} up to {limit})")
    return "; ".join(found)


def verdict(quality: dict[str, Any]) -> Table:
    """Every quantity that needs no truth, with its limits and its grade."""
    rows = [
        (
            quantity["title"],
            _found(quantity),
            *(_with_unit(quantity[grade], quantity["unit"]) for grade in ("good", "fair")),
            quantity["grade"],
        )
        for quantity in quality["quantities"].values()
    ]
    header = ("", "found", "good up to", "fair up to", "grade")
    return Table(f"Verdict: {quality['verdict']}", rows, header)


def _found(quantity: dict[str, Any]) -> str:
    value = _with_unit(quantity["value"], quantity["unit"])
    if "standard_error" not in quantity:
        return value
    unit = " %" if quantity["unit"] == "percent" else ""
    return f"{value} ± {quantity['standard_error']:.2g}{unit}"


def _with_unit(number: float, unit: str) -> str:
    return f"{number:.2g} %" if unit == "percent" else f"{number:.3g}"


def bias(result: dict[str, Any]) -> Table:
    """By how much the measured velocities exceed the inferred ones."""
    rows = [
        (f"velocity {name}", f"{100 * b['bias']:.2f} % ± {100 * b['standard_error']:.2f} %")
        for name, b in result["amplitude_bias"].items()
    ]
    return Table("Amplitude", rows, ("", "measured exceeds inferred by"))


def challenge(errors: dict[str, float]) -> Table:
    """Bias and random errors as the data-assimilation challenges give them."""
    units = {
        "velocity": ("speed", "bulk speed"),
        "vorticity": ("size of the vorticity", "bulk speed / hydraulic radius"),
        "pressure": ("pressure", "density x bulk speed squared"),
    }
    rows = [
        (
            title,
            f"{errors[f'{name}_bias']:.2g}",
            f"{errors[f'{name}_random']:.2g}",
            unit,
            f"{errors['pressure_correlation']:.4f}" if name == "pressure" else "",
        )
        for name, (title, unit) in units.items()
        if f"{name}_bias" in errors
    ]
    title = f"Bias and random error, bulk speed {errors['bulk_speed_m_s']:.3g} m/s"
    return Table(title, rows, ("", "bias", "random error", "in units of", "correlation"))


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100 * error:.2f} %"


def _whole_percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def methods(case: Case, result: dict[str, Any], training: dict[str, Any]) -> tuple[Table, ...]:
    """Scales, what was chosen from the data, and the settings of the training."""
    scales = case.scales
    of_time = {
        "periodic": {
            "period": f"{scales.period:.4g} s",
            "Womersley number": f"{scales.womersley:.4g}",
        },
        "steady": {},
        "unsteady": {"window": f"{scales.start:.4g} to {scales.end:.4g} s"},
    }
    tables = {
        "Scales": {
            "length": f"{scales.length:.4g} m",
            "velocity": f"{scales.velocity:.4g} m/s",
            "Reynolds number": f"{scales.reynolds:.4g}",
            **of_time[case.flow],
            "pressure": f"{scales.pressure:.4g} Pa ({scales.pressure_scaling})",
        },
        "Chosen from the data": {k: plain(v) for k, v in result["chosen"].items()},
        "Training": {
            "length": training_line(result),
            **{key: plain(value) for key, value in _flat(training["settings"])},
        },
    }
    return tuple(Table(title, list(rows.items())) for title, rows in tables.items())


def provenance(result: dict[str, Any]) -> Table:
    """Where the numbers come from."""
    rows = {
        "aiv_rba": __version__,
        "revision": result["revision"],
        "case": result["case"],
        **{f"SHA-256 of {name}": value for name, value in result["sources"].items()},
        **{f"version of {name}": value for name, value in result["versions"].items()},
        **{f"seconds, {stage}": f"{s:.1f}" for stage, s in result["seconds"].items()},
    }
    return Table("", list(rows.items()))


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested settings."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def plain(value: Any) -> str:
    """A value of the settings as text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
