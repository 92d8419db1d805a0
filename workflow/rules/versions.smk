# Raised when the method of a stage changes, so that its results are made again.
VERSION = {
    "ingest": 7,
    "points": 5,
    "train": 12,
    "fields": 5,
    "score": 8,
    "report": 7,
    "validation": 5,
}
