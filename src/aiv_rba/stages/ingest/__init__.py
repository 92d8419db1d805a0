"""Stage ingest: tracks and wall to a case."""
