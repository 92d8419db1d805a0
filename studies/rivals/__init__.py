"""Other ways from the same tracks and wall to a flow, compared with the default training.

Each module with a function ``fit`` is one rival (docs/rivals.md).
"""
