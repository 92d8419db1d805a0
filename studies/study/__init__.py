"""What residual-based attention contributes on tracks: variants of the training times seeds."""
