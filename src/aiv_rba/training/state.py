"""The state of a run in a checkpoint: taken and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiv_rba.training.loop import Run


def take(run: Run) -> dict[str, Any]:
    """Everything that all ranks share; every rank saves its own rows of multipliers."""
    return {
        "network": run.problem.residuals.network.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "last_parameters": run.average.last,
        "last_losses": run.average.losses,
        "shared_multipliers": run.scheme.shared,
        "global_weights": run.problem.weights,
        "problem": run.problem.state,
        "peaks": run.history.largest_multipliers(),
        "history": list(run.history.rows),
        "seconds": run.seconds,
        "restarts": run.restarts,
    }


def put_back(run: Run, saved: dict[str, Any]) -> None:
    """Inverse of `take`, with this rank's rows of multipliers."""
    run.problem.residuals.network.load_state_dict(saved["network"])
    run.restarts = max(run.restarts, saved["restarts"])
    run.optimiser = run.optimiser_of(saved["step"] - 1)
    run.optimiser.load_state_dict(saved["optimiser"])
    run.average.last = saved["last_parameters"].to(run.average.last)
    run.average.losses = saved["last_losses"].to(run.average.losses)
    for block, values in run.scheme.state.items():
        values.copy_(saved["multipliers"][block])
    for name, values in run.scheme.shared.items():
        values.copy_(saved["shared_multipliers"][name])
    run.history.peaks = {b: v.to(run.ranks.device) for b, v in saved["peaks"].items()}
    run.history.rows = saved["history"]
    run.problem.weights = saved["global_weights"]
    run.problem.state = {n: v.to(run.ranks.device) for n, v in saved["problem"].items()}
    run.seconds = saved["seconds"]
