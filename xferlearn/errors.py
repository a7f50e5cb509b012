"""The package's errors: what the command line turns into one line and an exit code."""

import difflib
from collections.abc import Iterable

# Share of letters that a name and the guess have in common: below it, guesses are far-fetched.
# Of four letters one may be wrong.
_NEAR, _NEAR_SHORT, _SHORT = 0.75, 0.66, 4


class XferlearnError(Exception):
    """Something outside the caller's control failed, such as a full disk. Exit code 1.

    The message is one line: what was expected, what was received, where, and what to do. It
    names settings in backticks as Python does, `image_dir` or `seed=3`; the command line shows
    these as flags. Names and words of the user's own stand in quotes. Several mistakes at once are
    several messages, which the command line shows as a line each.
    """

    exit_code = 1

    def __str__(self) -> str:
        """Returns the messages as one line."""
        return " ".join(map(str, self.args))


class UserError(XferlearnError, ValueError):
    """The caller's mistake: a wrong setting, path, photo or model. Exit code 2."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean X?" for the nearest of `known`, or "" when none is near.

    Args:
        name: the name that was given.
        known: the names that exist.
    """
    near = nearest(name, known)
    return f" Did you mean {near}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the one of `known` that a name is most likely a slip of, or None."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    cutoff = _NEAR_SHORT if len(name) <= _SHORT else _NEAR
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else None
