"""The package's errors: what the command line turns into one line and an exit code."""

import difflib
from collections.abc import Iterable


class XferlearnError(Exception):
    """Something outside the caller's control failed, such as a full disk. Exit code 1.

    The message is one line: what was expected, what came, where, and what to do.
    """

    exit_code = 1


class UserError(XferlearnError, ValueError):
    """The caller asked for something that can't be: a wrong flag, path or folder. Exit code 2."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean X?" for the nearest of `known`, or "" when none is near.

    Args:
        name: what was given.
        known: the names there are.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[near[0]]}?" if near else ""
