"""Answers at points and times of a user's own."""
