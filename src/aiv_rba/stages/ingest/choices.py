"""What the ingestion chooses from tracks, wall and fluid: scales, noise, harmonics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.case import Tracks, WallFunction
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.scales import PressureScaling, Scales, to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.settings.types import FlowKind
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.times import Timed
from aiv_rba.stages.ingest.tracks import TrackTable
from aiv_rba.stages.ingest.velocities import noise
from aiv_rba.stages.ingest.vessel import size_of
from aiv_rba.statistics import robust_deviation
from aiv_rba.time_modes import distinct_times, fewest_times, most_modes

MOST_HARMONICS = 8
# Functions of space that are fitted with each number of harmonics.
SHAPES = 4
# Rows that the choice of harmonics is made from: whole tracks, drawn at random if there are more.
ROWS_FOR_HARMONICS = 20_000
# Least noise that is believed, over a component's rms and over the velocity scale: the network
# does not follow the flow more closely.
LEAST_OF_RMS, LEAST_OF_SCALE = 0.02, 0.002
# Noise over rms where no track is long enough to show it.
ASSUMED = 0.1

# Successive rows of a track are taken to be no more alike.
MOST_ALIKE = 0.99
# Standard deviation of a wall's position over the height of its arcs above their chords.
SHARE_OF_HEIGHT = 0.03125
# The same over the scatter of its vertices about a smooth surface, which is a mean over many.
SHARE_OF_SCATTER = 0.25


@dataclass(frozen=True)
class ChosenScales:
    """Scales, and in words where each comes from."""

    scales: Scales
    reasons: dict[str, str]


def choose_scales(config: IngestSettings, found: Timed, enclosure: Enclosure) -> ChosenScales:
    """The scales that the experiment gives, and the others from the data.

    Length: the hydraulic radius. Velocity: root mean square of the measured axial velocity or,
    where that is not measured or the lumen is no tube, of the speed. Pressure: mu U / L below a
    Reynolds number of one, where the viscous terms of the momentum equation are the largest, and
    rho U^2 above.

    Parameters
    ----------
    config
        Section ``ingest``; a scale that is ``auto`` is chosen.
    found
        Rows with their times, SI units.
    enclosure
        The walls, m; the origin is the middle of the box round them.

    Raises
    ------
    UserError
        If no tracer moves and no velocity scale is given.
    """
    reasons = {}
    origin, radius = size_of(enclosure)
    length, velocity = config.length_scale, config.velocity_scale
    if length == "auto":
        length = radius
        reasons["length scale"] = f"{length:.4g} m, the {enclosure.radius_name} of the lumen"
    if velocity == "auto":
        measured = found.table.velocity
        axial = None if enclosure.axis is None else "uvw"[enclosure.axis]
        used = [axial] if axial in measured else list(measured)
        velocity = float(np.sqrt(sum(np.mean(measured[name] ** 2) for name in used)))
        if velocity == 0:
            raise UserError(
                f"{config.tracks_named}: every velocity {', '.join(used)} is zero, expected "
                "tracers that move, or ingest.velocity_scale"
            )
        reasons["velocity scale"] = f"{velocity:.4g} m/s, rms of {', '.join(used)} on the tracks"
    pressure: PressureScaling
    reynolds = config.fluid.density * velocity * length / config.fluid.viscosity
    if config.pressure_scaling == "auto":
        pressure = "viscous" if reynolds < 1 else "inertial"
        reasons["pressure scaling"] = f"{pressure}, Reynolds number {reynolds:.3g}"
    else:
        pressure = config.pressure_scaling
    scales = Scales(
        length=length,
        velocity=velocity,
        density=config.fluid.density,
        viscosity=config.fluid.viscosity,
        # In a steady flow any length of time will do.
        period=found.duration or length / velocity,
        origin=origin,
        pressure_scaling=pressure,
        flow=config.flow,
        start=found.start,
    )
    return ChosenScales(scales, reasons)


def choose_wall_error(
    config: IngestSettings, enclosure: Enclosure, function: WallFunction, scales: Scales
) -> tuple[float, str]:
    """Standard deviation of the wall's position, nondimensional, and where it comes from.

    An edge between vertices whose normals differ by an angle a is the chord of an arc, which it
    leaves by a / 8 of its length. Velocity vanishes on a smooth surface through the vertices, not
    on flat triangles, so that where nothing else is known the wall is as uncertain as a thirty-
    second of that (docs/uncertainty.md); if its vertices scatter, as a quarter of their scatter
    too. A wall from an image of labels is as uncertain as half a voxel.
    """
    if config.wall_error != "auto":
        unit = to_si(config.units.wall, "[length]", "ingest.units.wall")
        error = config.wall_error * unit / scales.length
        return error, f"{config.wall_error:.3g} {config.units.wall}, as given"
    heights = []
    for wall in enclosure.walls:
        for ends in (
            wall.triangles[:, [0, 1]],
            wall.triangles[:, [1, 2]],
            wall.triangles[:, [2, 0]],
        ):
            length = np.linalg.norm(np.diff(wall.points[ends], axis=1)[:, 0], axis=1)
            cosine = np.sum(wall.normals[ends[:, 0]] * wall.normals[ends[:, 1]], axis=1)
            heights.append(length * np.arccos(np.clip(cosine, -1, 1)) / 8)
    height = SHARE_OF_HEIGHT * float(np.sqrt(np.mean(np.concatenate(heights) ** 2)))
    voxel = max(wall.resolution for wall in enclosure.walls)
    scatter = SHARE_OF_SCATTER * function.roughness
    error = float(np.linalg.norm([height, scatter, voxel / 2]))
    return error, (
        f"{100 * error / enclosure.radius:.2g} % of the hydraulic radius, from the size of its "
        "triangles and the scatter of its vertices" + (", and half a voxel" if voxel else "")
    )


def choose_noise(
    table: TrackTable,
    velocity: float,
    given: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Standard deviation of each component's noise, in units of the velocity scale.

    As it is `given`, in m/s, or else from the rows that have their own, so that the mean of their
    weights is right. Where it is estimated, it is bounded from below by 2 percent of the
    component's rms and 0.2 percent of the scale; where no track has three rows in a row, 10 percent
    of the rms is assumed.
    """
    estimated, given = noise(table), given or {}
    chosen = {}
    for name, values in table.velocity.items():
        if name in given:
            chosen[name] = given[name] / velocity
            continue
        if name in table.deviation:
            chosen[name] = float(np.mean(table.deviation[name] ** -2.0) ** -0.5) / velocity
            continue
        rms = float(np.sqrt(np.mean(values**2))) / velocity
        estimate = estimated[name] / velocity if name in estimated else ASSUMED * rms
        chosen[name] = max(estimate, LEAST_OF_RMS * rms, LEAST_OF_SCALE)
    return chosen


def choose_harmonics(
    tracks: Tracks,
    noise: dict[str, float],
    function: WallFunction,
    period: float,
    axis: int | None = None,
) -> tuple[int, str]:
    """Number of harmonics of time by the Bayesian information criterion (Schwarz 1978).

    The training rows of each measured component are fitted by a few shapes that vanish on the
    wall times a Fourier series in time,

        sum_j phi (1, phi, s, phi s)_j sum_k (a_jk cos(k w t) + b_jk sin(k w t)),

    with s the axial coordinate (that along which the rows spread the most in a lumen without an
    axis), and n log(RSS) + parameters log(n) is smallest for the number that
    is chosen. What these shapes cannot fit is alike in successive rows of a track, with a
    correlation r. Fast waves stand out if every row is taken less r times the one before it (Prais
    & Winsten 1954), slow ones in the rows as they are, so that both are done, and the larger number
    counts. If rows are still alike afterwards, n is the effective number of independent ones,
    (1 - r) / (1 + r) of them (Bayley & Hammersley 1946), and at least one for each track. Rows
    farther than three standard deviations take no part in the fit, and count in RSS as if they
    were that far. Every Fourier coefficient needs at least two distinct phases, and with each shape
    two rows, which bounds the number.

    Of many rows a part stands for all.

    Returns
    -------
    int, str
        The number, and in words why.

    Raises
    ------
    UserError
        If the training rows have too few distinct times for a single harmonic.
    """
    tracks, represented = training_part(tracks, ROWS_FOR_HARMONICS)
    points = tracks.points
    by_times, times = supported("periodic", points[:, 0], period)
    most = min(MOST_HARMONICS, by_times, most_modes("periodic", len(points) // SHAPES))
    angles = 2 * np.pi * (points[:, 0] / period)[:, None] * np.arange(1, most + 1)
    bases = [
        np.hstack(
            [np.ones((len(points), 1)), np.cos(angles[:, :number]), np.sin(angles[:, :number])]
        )
        for number in range(most + 1)
    ]
    shapes = _shapes(function, points[:, 1:], axis)
    best = most_informative(tracks, noise, shapes, bases, represented)
    limit = f", as many as {times} distinct times support" if most == by_times else ""
    return best, f"{best}, by the Bayesian information criterion among 0 to {most}{limit}"


def supported(flow: FlowKind, times: Array, duration: float) -> tuple[int, int]:
    """Most modes that times (N,) of rows support, at least one, and how many of them are distinct.

    Raises
    ------
    UserError
        If they do not support one.
    """
    found, needed = distinct_times(times, duration), fewest_times(flow, 1)
    if found < needed:
        mode = {"periodic": "a mean and a harmonic", "unsteady": "a mean and a slope"}[flow]
        raise UserError(
            f"ingest: distinct times of the training rows: found {found}, expected at least "
            f"{needed}, two for each coefficient of {mode}; or ingest.flow: steady"
        )
    return most_modes(flow, found), found


def training_part(tracks: Tracks, rows: int) -> tuple[Tracks, float]:
    """The training rows, or of more than so many those of whole tracks drawn at random.

    Returns
    -------
    Tracks, float
        The rows, and how many each of them stands for.
    """
    training = np.flatnonzero(~tracks.validation)
    chosen = training
    if len(training) > rows:
        names, number, sizes = np.unique(
            tracks.track[training], return_inverse=True, return_counts=True
        )
        order = np.random.default_rng(0).permutation(len(names))
        drawn = np.zeros(len(names), dtype=bool)
        drawn[order[: 1 + np.searchsorted(np.cumsum(sizes[order]), rows)]] = True
        chosen = training[drawn[number]]
    return tracks.rows(chosen), len(training) / len(chosen)


def most_informative(
    tracks: Tracks,
    noise: dict[str, float],
    shapes: Array,
    bases: list[Array],
    represented: float = 1.0,
) -> int:
    """Number of the functions of time (N, ...) that serve best, by the information criterion.

    With functions of space `shapes` (N, ...) at all rows, each of which stands for so many that are
    `represented`; see `choose_harmonics`. What these shapes do not fit hides weak functions: slow
    ones in the rows less what follows from the one before, fast ones in the rows as they are. So
    both are looked at, and the larger number is taken.
    """
    criteria = np.zeros((2, len(bases)))
    order = np.lexsort((tracks.row, tracks.track))
    track, shapes = tracks.track[order], shapes[order]
    for name, values in tracks.velocity.items():
        scaled = values[order] / noise[name]
        as_they_are = [misfit(shapes, basis[order], scaled) for basis in bases]
        alike = (track, _correlation(as_they_are[-1], track))
        less_the_one_before = [misfit(shapes, basis[order], scaled, alike) for basis in bases]
        for criterion, fits in zip(criteria, (as_they_are, less_the_one_before), strict=True):
            rest = _correlation(fits[-1], track)
            independent = len(track) * (1 - rest) / (1 + rest)
            independent = max(independent, len(np.unique(track))) * represented
            # Values are in units of their noise: what is far below it says nothing.
            mean_squares = np.maximum([np.mean(misfit**2) for misfit in fits], 0.01)
            parameters = shapes.shape[1] * np.array([basis.shape[1] for basis in bases])
            criterion += independent * np.log(mean_squares) + parameters * np.log(independent)
    return int(criteria.argmin(axis=1).max())


def values_of(function: WallFunction, positions: Array) -> Array:
    """Phi at positions (N, 3), in parts since each of them meets every source."""
    parts = np.array_split(positions, 1 + len(positions) // 2_000)
    return np.concatenate([function(part) for part in parts])


def _shapes(function: WallFunction, positions: Array, axis: int | None) -> Array:
    """(N, 4) functions of space."""
    phi = values_of(function, positions)
    phi = phi / np.abs(phi).max()
    if axis is None:
        spread = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=False)[2]
        height = positions @ spread[0]
    else:
        height = positions[:, axis]
    s = (height - height.mean()) / max(float(np.ptp(height)), np.finfo(float).tiny)
    return np.stack([phi, phi**2, phi * s, phi**2 * s], axis=1)


def misfit(
    shapes: Array, waves: Array, values: Array, alike: tuple[IntArray, float] | None = None
) -> Array:
    """What shapes (N, ...) times functions of time (N, ...) do not fit, outliers capped.

    Generalised least squares where the misfit is `alike` in successive rows: with the tracks of the
    rows, which lie together and in their order, and the correlation of successive rows.
    """
    matrix = (shapes[:, :, None] * waves[:, None]).reshape(len(values), -1)
    if alike is not None:
        matrix, values = _decorrelated(matrix, *alike), _decorrelated(values, *alike)
    kept = np.ones(len(values), dtype=bool)
    for _ in range(3):
        solution = np.linalg.lstsq(matrix[kept], values[kept], rcond=None)[0]
        residual = values - matrix @ solution
        spread = float(robust_deviation(residual))
        kept = np.abs(residual) < 3 * max(spread, np.finfo(float).tiny)
    # Trimmed at three of its own deviations, a fit that explains more would lose rows that count.
    return np.asarray(residual.clip(-3 * spread, 3 * spread))


def _correlation(residual: Array, track: IntArray) -> float:
    """Correlation of successive rows of tracks, at least zero; rows of a track lie together."""
    joined = track[1:] == track[:-1]
    squares = np.sum(residual[:-1][joined] ** 2)
    if not squares > 0:
        return 0.0
    correlation = float(np.sum((residual[1:] * residual[:-1])[joined]) / squares)
    return min(max(correlation, 0.0), MOST_ALIKE)


def _decorrelated(rows: Array, track: IntArray, correlation: float) -> Array:
    """Rows (N, ...) less what follows from the one before of the same track (Prais & Winsten)."""
    joined = track[1:] == track[:-1]
    found: Array = rows * np.sqrt(1 - correlation**2)
    found[1:][joined] = (rows[1:] - correlation * rows[:-1])[joined]
    return found
