"""Checking an experiment before any work: its settings, every file, memory and disk."""
