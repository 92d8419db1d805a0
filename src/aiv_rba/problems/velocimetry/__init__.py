"""Artificial intelligence velocimetry: the flow in a vessel from tracks, wall and equations."""
