"""The package's errors: what the command line turns into one line and an exit code."""

import difflib
from collections.abc import Iterable


class XferlearnError(Exception):
    """Something outside the caller's control failed, such as a full disk. Exit code 1.

    The message is one line: what was expected, what was received, where, and what to do. It
    names settings in backticks as Python does, `image_dir` or `seed=3`; the command line shows
    these as flags. Names and words of the user's own stand in quotes.
    """

    exit_code = 1


class UserError(XferlearnError, ValueError):
    """The caller's mistake: a wrong setting, path, photo or model. Exit code 2."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean X?" for the nearest of `known`, or "" when none is near.

    Args:
        name: the name that was given.
        known: the names that exist.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[near[0]]}?" if near else ""
