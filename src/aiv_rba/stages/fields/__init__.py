"""Stages fields and score: what is derived from the trained flow, in SI units."""
