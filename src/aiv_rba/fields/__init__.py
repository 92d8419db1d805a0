"""What follows from an inferred flow: derived fields, hydraulics, meshes; SI units."""
