"""What the operating system is asked for: files in one step, caches, other programs."""
