"""The points of this process's groups, as stage points makes them."""

from aiv_rba.stages.points import generate


def slab(settings, case, cells, n_t, purpose, group):
    """Points (group, batch, 4) of the share of a process."""
    own = group.share(n_t * len(cells.counts))
    return generate.slab(settings, case, cells, n_t, purpose, own)
