"""Files that are spoiled at random, for every reader: refused by name, or read; nothing else."""
