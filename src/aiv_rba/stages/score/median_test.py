"""The normalised median test for scattered data, which needs no inferred flow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.time_modes import radians

NEIGHBOURS = 25
# Length along the vessel that counts as much as one across it: the flow changes more slowly there.
SLENDER = 3.0
# A row whose residual is larger is suspicious (Westerweel & Scarano 2005).
THRESHOLD = 2.0


def median_test(case: Case) -> Array:
    """Normalised median residual of every row of the tracks; Duncan et al. 2010, after W & S 2005.

    For a velocity component U_0 with neighbours U_i at distances d_i,

        |U_0 / (median d + e) - median(U_i / (d_i + e))|
        / (median |U_i / (d_i + e) - median(U_i / (d_i + e))| + e),

    and the residual of a row is the root of the sum of the squares over its components. Velocities
    are in units of their noise and distances in units of the median distance; the tolerance e,
    with e (1 + e) = 1, then is that of Westerweel & Scarano for a noise of one. Duncan et al. take
    the neighbours of a Delaunay triangulation at one instant. Here they are the nearest rows of
    other tracks in the same optical plane, near in space and phase: rows of one track are false
    together where a tracker follows the wrong particle.

    References
    ----------
    Westerweel & Scarano 2005, Exp. Fluids 39, 1096, https://doi.org/10.1007/s00348-005-0016-6.
    Duncan, Dabiri, Hove & Gharib 2010, Meas. Sci. Technol. 21, 057002,
    https://doi.org/10.1088/0957-0233/21/5/057002.

    Returns
    -------
    (N,): the residual; not a number for a row without `NEIGHBOURS` rows of other tracks.
    """
    tracks = case.tracks
    velocity = np.column_stack(
        [tracks.velocity[name] / case.noise[name] for name in tracks.velocity]
    )
    places = _places(case)
    residual = np.full(len(velocity), np.nan)
    for plane in np.unique(tracks.plane):
        here = np.flatnonzero(tracks.plane == plane)
        distance, neighbours = _nearest_of_other_tracks(places[here], tracks.track[here])
        found = np.isfinite(distance).all(axis=1)
        rows = here[found]
        residual[rows] = _residual(
            velocity[rows], velocity[here[neighbours[found]]], distance[found]
        )
    return residual


def _places(case: Case) -> Array:
    """Coordinates (N, 4 or 5) in which the flow changes about equally fast in every direction.

    Lengths in hydraulic radii, and the phase of a periodic flow as a place on a circle, so that the
    end of the cycle is next to its beginning. The circle is as large as the flow has harmonics: its
    fastest one changes by as much in a radian of its own phase as the flow does in a radius across
    the vessel. The times of an unsteady flow lie on a line by the same measure.
    """
    position = case.tracks.points[:, 1:] / case.radius
    if case.lumen != "general":
        position[:, case.axis] /= SLENDER
    if case.flow == "periodic":
        angle = 2 * np.pi * case.tracks.points[:, 0] / case.scales.nondimensional_period
        phase = case.harmonics * np.column_stack([np.cos(angle), np.sin(angle)])
    else:
        share = case.tracks.points[:, :1] / case.scales.nondimensional_period
        phase = radians(case.flow, case.harmonics) * share
    return np.concatenate([position, phase], axis=1)


def _nearest_of_other_tracks(
    places: Array, track: NDArray[np.int64]
) -> tuple[Array, NDArray[np.int64]]:
    """Distances to the nearest `NEIGHBOURS` rows of other tracks, and their numbers, (N, n).

    A row that has fewer of them among the rows near it has infinite distances.
    """
    _, number, sizes = np.unique(track, return_inverse=True, return_counts=True)
    # All rows of its own track may be nearer.
    count = int(min(NEIGHBOURS + sizes.max(), len(track)))
    distance = np.full((len(track), NEIGHBOURS), np.inf)
    neighbours = np.zeros((len(track), NEIGHBOURS), dtype=np.int64)
    tree = KDTree(places)
    for part in np.array_split(np.arange(len(track)), 1 + len(track) * count // 2_000_000):
        found, near = tree.query(places[part], k=np.arange(1, count + 1))
        apart = np.where(number[near] == number[part, None], np.inf, found)
        first = np.argsort(apart, axis=1, kind="stable")[:, :NEIGHBOURS]
        filled = first.shape[1]
        distance[part, :filled] = np.take_along_axis(apart, first, axis=1)
        neighbours[part, :filled] = np.take_along_axis(near, first, axis=1)
    return distance, neighbours


def _residual(velocity: Array, around: Array, distance: Array) -> Array:
    """Residuals (N,) of velocities (N, c) beside those (N, n, c) at distances (N, n)."""
    middle = np.median(distance, axis=1, keepdims=True)
    # Where all neighbours are at the very place, they count alike.
    relative = np.divide(distance, middle, out=np.ones_like(distance), where=middle > 0)
    tolerance = (np.sqrt(5) - 1) / 2
    weighted = around / (relative + tolerance)[..., None]
    centre = np.median(weighted, axis=1)
    spread = np.median(np.abs(weighted - centre[:, None]), axis=1)
    fluctuation = (velocity / (1 + tolerance) - centre) / (spread + tolerance)
    return np.asarray(np.linalg.norm(fluctuation, axis=1))
