"""How the benchmarks of this folder end."""

import sys
from collections.abc import Callable

from absl import app

from xferlearn.errors import XferlearnError


def run(main: Callable[[list[str]], bool]) -> None:
    """Runs a benchmark and ends the process.

    Args:
        main: takes the words of the command line; returns whether its targets are met, which is
            exit code 0, else 1. An error of xferlearn is one line, with its own exit code.
    """

    def entry(argv: list[str]) -> int:
        try:
            return 0 if main(argv) else 1
        except XferlearnError as error:
            print(error, file=sys.stderr)
            return error.exit_code

    app.run(entry)
