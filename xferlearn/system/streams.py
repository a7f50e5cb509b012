"""The standard streams of a process, which a caller may have closed."""

import os
import sys


def open_standard_streams() -> None:
    """Connects standard streams that are closed to the null device, so that work can go on.

    Else the next file that is opened, such as a model's, gets the number of the closed stream, and
    what a library prints goes into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Files take the lowest free number, and lower ones have been dealt with.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:  # as Python leaves them for a stream that was closed
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115
