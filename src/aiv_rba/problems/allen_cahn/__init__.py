"""Allen-Cahn equation; section 3.1."""
