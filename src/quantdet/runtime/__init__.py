"""Run an exported model on a device: numpy, Pillow and LiteRT, nothing else."""
