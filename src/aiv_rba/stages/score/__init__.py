"""Stage score: how good the answer is, without the truth and, where it is known, with it."""
