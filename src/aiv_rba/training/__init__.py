"""Training: loss terms, ordered mini-batches, optimisers, loop, checkpoints, history."""
