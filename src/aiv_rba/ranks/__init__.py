"""MPI for collocation, torch.distributed for training."""
