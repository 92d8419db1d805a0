"""Validation: methods compared on problems with known solutions, by the same training loop."""
