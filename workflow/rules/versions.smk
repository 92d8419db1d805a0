# Raised when the method of a stage changes, so that its results are made again.
VERSION = {
    "ingest": 12,
    "points": 5,
    "train": 17,
    "fields": 6,
    "score": 13,
    "report": 7,
    "validation": 6,
}
