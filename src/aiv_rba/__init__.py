"""Artificial intelligence velocimetry with residual-based attention."""

__version__ = "0.1.0"
