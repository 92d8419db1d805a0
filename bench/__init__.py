"""Benches: how fast the package is. Each module is a command, ``python -m bench.<name>``."""
