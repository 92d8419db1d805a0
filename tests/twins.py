"""Small experiments with known truth, made in seconds on coarse meshes, for tests of the workflow.

The flows are those of the twins for show, but for the errors of their meshes.
"""

from pathlib import Path

from aiv_rba.twin.axisymmetric import Triangles
from aiv_rba.twin.bifurcation import Bifurcation, Tetrahedra, generate_bifurcation
from aiv_rba.twin.mesh import Discretisation
from aiv_rba.twin.options import Truth
from aiv_rba.twin.tracers import Camera, Tracking
from aiv_rba.twin.wake import Wake, generate_wake
from aiv_rba.twin.wave import Wave

TRUTH = Truth(points=200, wall_points=100)


def one_cycle(axial: int, steps: int, modes: int, lookup: tuple[int, int, int]) -> Discretisation:
    """A duct far too coarse and too short a time, to see that files and flows fit together."""
    return Discretisation(
        section=2,
        rings=1,
        axial=axial,
        order=2,
        steps=steps,
        cycles=1,
        modes=modes,
        largest_change=1.0,
        lookup=lookup,
    )


def bifurcation(rows: int = 1500, *, steady: bool = False) -> Bifurcation:
    """Options of a coarse bifurcation with a periodic or steady flow."""
    return Bifurcation(
        reynolds=2.0,
        wave=Wave(mean=1.0, amplitudes=() if steady else (0.4,), shift=0.0),
        discretisation=Tetrahedra(size=0.5, order=2, steps=60, cycles=2, modes=1 - steady),
        camera=Camera(planes=(-0.4, 0, 0.4), thickness=0.2, rows=rows, noise_u=0.1, noise_v=0.1),
        spacing=0.25,
        truth=TRUTH,
        times=3,
    )


def wake(rows: int = 1500) -> Wake:
    """Options of a coarse wake."""
    return Wake(
        tracking=Tracking(rows=rows, noise_u=0.05, noise_v=0.05, noise_w=0.05),
        discretisation=Triangles(size=0.3, near=0.8, step=0.05),
        resolution=18,
        truth=TRUTH,
        times=3,
    )


def write_bifurcation(folder: Path, rows: int = 1500, *, steady: bool = False) -> Path:
    """Write a small bifurcation; returns its experiment.yaml."""
    generate_bifurcation(bifurcation(rows, steady=steady), folder, "bifurcation")
    return folder / "experiment.yaml"


def write_wake(folder: Path, rows: int = 1500) -> Path:
    """Write a small unsteady wake in a box with open faces; returns its experiment.yaml."""
    generate_wake(wake(rows), folder, "wake")
    return folder / "experiment.yaml"
