import sys
from pathlib import Path

# Makers of data sets and checkpoints, which tests there use as well.
sys.path += [str(Path(__file__).parents[1] / name) for name in ("data", "models")]
