"""`python -m xferlearn`, the same as the `xferlearn` script."""

import sys

from xferlearn.cli import main

if __name__ == "__main__":
    sys.exit(main())
