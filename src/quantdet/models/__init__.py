"""Backbones, heads, losses, and the weights they start from."""
