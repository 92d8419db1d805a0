"""Files between the stages: written whole, versioned, and tied to the case they belong to."""
