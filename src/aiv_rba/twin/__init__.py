"""Digital twin: tracks and wall of a flow that is known from CFD."""
