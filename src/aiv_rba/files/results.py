"""Where everything of one experiment lies: ``results/<name>``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Results:
    """The files of one experiment; every path below its folder is named here and nowhere else."""

    folder: Path

    def settings(self, stage: str) -> Path:
        """Settings of a stage, YAML; a stage reads its own file only."""
        return self.folder / "settings" / f"{stage}.yaml"

    def log(self, stage: str) -> Path:
        """What a stage says, with times; that of the first rank where there are several."""
        return self.folder / "logs" / f"{stage}.log"

    def rank_log(self, stage: str, rank: int) -> Path:
        """What another rank than the first says."""
        return self.folder / "logs" / "ranks" / f"{stage}_{rank}.log"

    def record(self, stage: str) -> Path:
        """How the results of a stage were made, JSON (`aiv_rba.files.records`)."""
        return self.folder / "records" / f"{stage}.json"

    def timing(self, stage: str) -> Path:
        """Time and memory of a stage as the workflow engine measures them."""
        return self.folder / "timings" / f"{stage}.tsv"

    def outputs(self, stage: str) -> tuple[Path, ...]:
        """Files that a stage writes for people and for other stages."""
        files = {
            "ingest": (self.case, self.ingestion, self.tracks_picture),
            "points": (self.points, self.groups_picture),
            "train": (self.model, self.deviations, self.history),
            "fields": (self.volume, self.wall, self.hydraulics, self.paraview),
            "score": (
                *(self.scores, self.suspicious_rows, self.suspicious_tracks),
                self.differences,
            ),
            "report": (self.page, self.summary),
        }
        return (*files[stage], self.record(stage))

    @property
    def case(self) -> Path:
        """Ingested tracks and wall, HDF5."""
        return self.folder / "case.h5"

    @property
    def ingestion(self) -> Path:
        """What the ingestion found and chose, text."""
        return self.folder / "ingest.txt"

    @property
    def tracks_picture(self) -> Path:
        """Tracks in the wall, PNG."""
        return self.folder / "pictures" / "tracks.png"

    @property
    def points(self) -> Path:
        """Collocation points in training groups, HDF5."""
        return self.folder / "points.h5"

    @property
    def groups_picture(self) -> Path:
        """Training groups, PNG."""
        return self.folder / "pictures" / "groups.png"

    @property
    def model(self) -> Path:
        """Trained network."""
        return self.folder / "model.pt"

    @property
    def deviations(self) -> Path:
        """Samples of what the inferred flow may be off by, for its standard deviations."""
        return self.folder / "deviations.pt"

    @property
    def history(self) -> Path:
        """History of the training, CSV."""
        return self.folder / "history.csv"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints, from which an interrupted training goes on."""
        return self.folder / "checkpoints"

    @property
    def events(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.folder / "events"

    @property
    def fields(self) -> Path:
        """Folder of the VTK series."""
        return self.folder / "fields"

    @property
    def volume(self) -> Path:
        """Series of the fields in the lumen, for ParaView."""
        return self.fields / "volume.pvd"

    @property
    def wall(self) -> Path:
        """Series of the fields on the wall, for ParaView."""
        return self.fields / "wall.pvd"

    @property
    def hydraulics(self) -> Path:
        """Flow rate, pressure drop and resistance over the cycle, CSV."""
        return self.fields / "hydraulics.csv"

    @property
    def paraview(self) -> Path:
        """Script that opens both series in ParaView; named so as not to hide ParaView's module."""
        return self.fields / "open_in_paraview.py"

    @property
    def differences(self) -> Path:
        """Inferred minus true fields, where the truth is known, HDF5."""
        return self.folder / "differences.h5"

    def probe(self, name: str) -> Path:
        """Answers at the points of a table of that name, CSV."""
        return self.folder / "probe" / f"{name}.csv"

    @property
    def scores(self) -> Path:
        """Errors on held-out tracks and against the truth, JSON."""
        return self.folder / "scores.json"

    @property
    def suspicious_rows(self) -> Path:
        """Rows of the tracks that are probably false, CSV."""
        return self.folder / "suspicious_rows.csv"

    @property
    def suspicious_tracks(self) -> Path:
        """Tracks with a run of rows that is probably false, CSV."""
        return self.folder / "suspicious_tracks.csv"

    @property
    def page(self) -> Path:
        """The report, HTML."""
        return self.folder / "report.html"

    @property
    def summary(self) -> Path:
        """The numbers of the report, JSON."""
        return self.folder / "summary.json"
