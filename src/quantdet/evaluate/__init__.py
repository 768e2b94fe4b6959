"""Measure a model: accuracy, parity, latency."""
