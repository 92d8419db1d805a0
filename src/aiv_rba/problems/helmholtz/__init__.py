"""Helmholtz equation; section 3.2."""
