"""All checks of the input, and whether what they find stops the run."""

from __future__ import annotations

from dataclasses import replace

from aiv_rba.errors import UserError
from aiv_rba.files.warnings import InputWarning
from aiv_rba.stages.ingest.plausibility.coverage import (
    check_axial_velocity,
    check_depth,
    check_length,
    check_outside,
    check_period,
    check_rows,
)
from aiv_rba.stages.ingest.plausibility.displacement import check_displacement
from aiv_rba.stages.ingest.plausibility.evidence import Check, Evidence
from aiv_rba.stages.ingest.plausibility.magnitudes import (
    check_fluid,
    check_length_scale,
    check_velocity_scale,
)
from aiv_rba.stages.ingest.plausibility.values import (
    check_links,
    check_repeated_velocities,
    check_zero_velocities,
)
from aiv_rba.stages.ingest.plausibility.wall import check_wall_function, check_wall_speed

CHECKS: tuple[Check, ...] = (
    check_outside,
    check_zero_velocities,
    check_displacement,
    check_velocity_scale,
    check_wall_function,
    check_wall_speed,
    check_length_scale,
    check_fluid,
    check_repeated_velocities,
    check_links,
    check_rows,
    check_period,
    check_length,
    check_depth,
    check_axial_velocity,
)


def find_warnings(evidence: Evidence) -> tuple[InputWarning, ...]:
    """What is probably wrong in the input; what stops the run comes first."""
    accepted = evidence.config.accept
    found = [
        replace(warning, accepted=warning.name in accepted)
        for check in CHECKS
        for warning in check(evidence)
    ]
    return tuple(sorted(found, key=lambda warning: not warning.fatal))


def stop_unless_accepted(warnings: tuple[InputWarning, ...]) -> None:
    """End the run if a warning says that the input is plainly wrong.

    Raises
    ------
    UserError
        Naming the warnings that the experiment would have to accept.
    """
    names = [warning.name for warning in warnings if warning.stops]
    if names:
        raise UserError(
            f"stopped by {', '.join(names)} above: correct the input or, if it is right, set "
            f"ingest.accept: [{', '.join(names)}]"
        )
