"""Whether the input can be right: what it must have, and what a person should know about it."""

from aiv_rba.stages.ingest.plausibility.required import (
    check_enough_kept,
    check_overlap,
    check_rows_inside,
    check_training_rows,
)
from aiv_rba.stages.ingest.plausibility.verdict import find_warnings, stop_unless_accepted

__all__ = [
    "check_enough_kept",
    "check_overlap",
    "check_rows_inside",
    "check_training_rows",
    "find_warnings",
    "stop_unless_accepted",
]
