"""The result files of a run: what is in them, typed, and how they are read."""
