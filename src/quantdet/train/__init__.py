"""Training: loop, checkpoints, resume."""
