"""The commands of the command line, one module each; `cli` imports them when they run."""

import sys
from collections.abc import Iterable

from xferlearn.config.wording import as_flags


def print_warnings(warnings: Iterable[str]) -> None:
    """Prints warnings on stderr, with the settings that they name as flags."""
    for warning in warnings:
        print(f"warning: {as_flags(warning)}", file=sys.stderr)
