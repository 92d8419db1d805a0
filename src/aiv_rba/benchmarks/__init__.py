"""Allen-Cahn and Helmholtz: the same networks, weighting and loop, with known answers."""
