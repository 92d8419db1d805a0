# Raised when the method of a stage changes, so that its results are made again.
VERSION = {
    "ingest": 8,
    "points": 5,
    "train": 14,
    "fields": 5,
    "score": 9,
    "report": 7,
    "validation": 6,
}
