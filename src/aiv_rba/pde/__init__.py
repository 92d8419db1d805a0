"""Residuals that read as the equations."""
