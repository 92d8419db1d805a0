"""Design curves: how much data is enough, and which error dominates."""
