"""``python -m quantdet``."""

from quantdet.cli import main

if __name__ == "__main__":
    main()
