"""Files of named arrays: HDF5 of flowtracks, MATLAB, NumPy, Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import h5py
import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from aiv_rba.errors import UserError
from aiv_rba.stages.ingest.readers.raw import PLAIN, RawTable, numbered
from aiv_rba.stages.ingest.readers.text import TextStyle

# Times of flowtracks are numbers of frames.
FLOWTRACKS = PLAIN | {
    "t": ("t",),
    "frame": ("time",),
    **{name: (f"pos_{name}",) for name in "xyz"},
    **{name: (f"velocity_{axis}",) for name, axis in zip("uvw", "xyz", strict=True)},
    "track": ("trajid",),
}
# Trajectories of the 3D-PTV post-processing have filtered coordinates and velocities.
MATLAB = {
    name: (*names, f"{name}f", *(("trajid",) if name == "track" else ()))
    for name, names in PLAIN.items()
}


def read_flowtracks(path: Path, style: TextStyle) -> RawTable:
    """The table `particles` that flowtracks writes: trajid, pos, velocity, time, ..."""
    del style
    try:
        with h5py.File(path) as file:
            found = file.get("particles")
            if not isinstance(found, h5py.Dataset) or found.dtype.names is None:
                raise UserError(f"{path}: found no table 'particles', expected HDF5 of flowtracks")
            rows = found[:]
    except OSError as error:
        raise UserError(f"{path}: not a readable HDF5 file: {error}") from None
    columns: dict[str, np.ndarray] = {}
    for name in rows.dtype.names:
        values = rows[name]
        if values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}_{axis}": values[:, i] for i, axis in enumerate("xyz")}
    return _table(path, columns, names=FLOWTRACKS)


def read_matlab(path: Path, style: TextStyle) -> RawTable:
    """Arrays of one length, fields of a structure, or a structure for every track.

    Where a structure has no field with the number of its track, it is numbered.
    """
    del style
    try:
        content = loadmat(path, squeeze_me=False, struct_as_record=True)
    except NotImplementedError:
        return _table(path, _mat73(path), names=MATLAB)
    except (OSError, ValueError, MatReadError, TypeError) as error:
        raise UserError(f"{path}: not a readable MATLAB file: {error}") from None
    arrays = {name: values for name, values in content.items() if not name.startswith("__")}
    structures = [values for values in arrays.values() if values.dtype.names]
    if not structures:
        return _table(path, _vectors(arrays), names=MATLAB)
    tracks = structures[0].ravel()
    parts = []
    for number, track in enumerate(tracks):
        fields = _vectors({name: track[name] for name in structures[0].dtype.names})
        length = max((len(values) for values in fields.values()), default=0)
        columns = {
            name: np.full(length, values[0]) if len(values) == 1 else values
            for name, values in fields.items()
        }
        if len(tracks) > 1 and not {"track", "trajid"} & columns.keys():
            columns["track"] = np.full(length, number)
        parts.append(_table(path, columns).table)
    table = pd.concat(parts, ignore_index=True)
    return RawTable(table, numbered(table), names=MATLAB, header="fields")


def _mat73(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a file of MATLAB 7.3, which is HDF5."""
    with h5py.File(path) as file:
        datasets = {name: found for name, found in file.items() if isinstance(found, h5py.Dataset)}
        return _vectors({name: found[()] for name, found in datasets.items()})


def _vectors(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Those arrays that are numbers along one dimension, flat."""
    return {
        name: np.ravel(values)
        for name, values in arrays.items()
        if np.asarray(values).dtype.kind in "biuf"
        and np.size(values) == max(np.shape(values), default=1)
    }


def read_npz(path: Path, style: TextStyle) -> RawTable:
    """Named arrays of NumPy, all of one length."""
    del style
    try:
        with np.load(path, allow_pickle=False) as file:
            return _table(path, {name: file[name] for name in file.files})
    except (OSError, ValueError, AttributeError, TypeError, BadZipFile) as error:
        raise UserError(f"{path}: not a readable file of named NumPy arrays: {error}") from None


def read_parquet(path: Path, style: TextStyle) -> RawTable:
    """A Parquet file.

    Raises
    ------
    UserError
        If pyarrow is not installed, or the file is no such file.
    """
    del style
    try:
        table = pd.read_parquet(path, engine="pyarrow").reset_index(drop=True)
    except ImportError:
        raise UserError(
            f"{path}: Parquet needs pyarrow, expected the extra 'parquet' of aiv-rba installed"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable Parquet file: {error}") from None
    return RawTable(table, numbered(table))


def _table(
    path: Path, columns: Mapping[str, np.ndarray], names: Mapping[str, tuple[str, ...]] = PLAIN
) -> RawTable:
    """Columns of one length."""
    for name, values in columns.items():
        if values.ndim != 1:
            raise UserError(
                f"{path}: array {name!r} has the shape {values.shape}, expected one dimension"
            )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(f"{path}: found arrays of lengths {found}, expected one length")
    table = pd.DataFrame(dict(columns))
    return RawTable(table, numbered(table), names=names, header="arrays")
