"""Names of the warnings about the input, by which an experiment accepts them."""

from __future__ import annotations

from typing import Literal

WarningName = Literal[
    "axial_velocity",
    "depth_coverage",
    "few_rows",
    "fluid",
    "length_coverage",
    "length_scale",
    "period_coverage",
    "repeated_velocities",
    "rows_outside",
    "unlinked_rows",
    "velocity_columns",
    "velocity_displacement",
    "velocity_scale",
    "velocity_sign",
    "wall_function",
    "wall_speed",
    "zero_velocities",
]
"""What `ingest.accept` may list; docs/how-to/warnings.md explains each."""
