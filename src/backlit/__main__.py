"""``python -m backlit``: the command line."""

import sys

from backlit.cli import main

if __name__ == "__main__":
    sys.exit(main())
