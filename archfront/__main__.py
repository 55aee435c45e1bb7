"""The command, for ``python -m archfront``."""

import sys

from archfront.search.cli import main

if __name__ == "__main__":
    sys.exit(main())
