"""Viscous Burgers equation."""
