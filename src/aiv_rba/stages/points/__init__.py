"""Stage points: collocation points by shrink-copy, in training groups."""
