"""Files of TrackMate in XML: a whole session, or exported tracks."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from aiv_rba.errors import UserError
from aiv_rba.stages.ingest.readers.raw import UNLINKED, RawTable, numbered
from aiv_rba.stages.ingest.readers.text import TRACKMATE, TextStyle

POSITION = ("POSITION_T", "FRAME", "POSITION_X", "POSITION_Y", "POSITION_Z")


def read_trackmate_xml(path: Path, style: TextStyle) -> RawTable:
    """The spots of a session with their tracks, or the detections of exported tracks.

    Raises
    ------
    UserError
        If the file is neither.
    """
    del style
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        raise UserError(f"{path}: not a readable XML file of TrackMate: {error}") from None
    if root.tag == "TrackMate":
        table, units = _session(root)
    elif root.tag == "Tracks":
        table, units = _exported(root)
    else:
        raise UserError(f"{path}: found the XML element {root.tag}, expected TrackMate or Tracks")
    return RawTable(
        table,
        numbered(table),
        names=TRACKMATE,
        place="spot",
        header="spots",
        measures_velocity=False,
        units=units,
    )


def _session(root: ET.Element) -> tuple[pd.DataFrame, dict[str, str]]:
    """All spots that are visible, each with the track whose edges touch it."""
    filtered = {track.get("TRACK_ID") for track in root.iterfind(".//FilteredTracks/TrackID")}
    of_spot = {}
    for track in root.iterfind(".//AllTracks/Track"):
        name = track.get("TRACK_ID")
        if filtered and name not in filtered:
            continue
        for edge in track.iterfind("Edge"):
            of_spot[edge.get("SPOT_SOURCE_ID")] = of_spot[edge.get("SPOT_TARGET_ID")] = name
    rows = [
        [of_spot.get(spot.get("ID"), UNLINKED), *(spot.get(name, "") for name in POSITION)]
        for spot in root.iterfind(".//AllSpots/SpotsInFrame/Spot")
    ]
    model = root.find("Model")
    units = {} if model is None else _units(model, "spatialunits", "timeunits")
    return _numbers(rows), units


def _exported(root: ET.Element) -> tuple[pd.DataFrame, dict[str, str]]:
    """All detections, each particle a track; their t are numbers of frames."""
    interval = float(root.get("frameInterval", 1))
    rows = [
        [number, interval * float(spot.get("t", "nan")), *(spot.get(name, "") for name in "txyz")]
        for number, particle in enumerate(root.iterfind("particle"))
        for spot in particle.iterfind("detection")
    ]
    return _numbers(rows), _units(root, "spaceUnits", "timeUnits")


def _numbers(rows: Sequence[Sequence[object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["TRACK_ID", *POSITION])
    return table.apply(pd.to_numeric, errors="coerce")


def _units(element: ET.Element, length: str, time: str) -> dict[str, str]:
    of_length, of_time = element.get(length, ""), element.get(time, "")
    return dict.fromkeys(POSITION[2:], of_length) | {"POSITION_T": of_time}
