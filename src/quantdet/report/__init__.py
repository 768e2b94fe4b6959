"""HTML report of a run. Reads result files only, never models."""
