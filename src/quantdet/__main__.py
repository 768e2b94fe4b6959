"""``python -m quantdet``, and the command ``quantdet``."""

import sys

from quantdet.cli import main
from quantdet.system.memory import restart_with_huge_pages

_TRAINING = ("demo", "qat", "run", "train")


def start() -> None:
    """Run the command line in a process of its own; those who call it in theirs take ``main``."""
    if sys.argv[1:2] and sys.argv[1] in _TRAINING:
        restart_with_huge_pages()
    main()


if __name__ == "__main__":
    start()
