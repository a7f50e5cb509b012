"""What makes a run again: the command as it was given, or the Python call."""

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from xferlearn.config import TrainConfig
from xferlearn.config.in_memory import ModelInMemory, TableInMemory


class MadeWith(NamedTuple):
    """What makes a run again, to be copied.

    Attributes:
        language: "shell" or "python".
        text: one or more lines.
        needs: what it needs that no text can hold, such as a model in memory; a sentence each.
    """

    language: str
    text: str
    needs: tuple[str, ...] = ()


def made_with(config: TrainConfig, argv: Sequence[str], working_dir: str | None) -> MadeWith:
    """Returns what makes a run again.

    Args:
        config: its settings.
        argv: `sys.argv` of the process that made it.
        working_dir: where relative paths begin; None where that is not known.

    Example:
        >>> made_with(config, ["xferlearn", "train", "--image_dir=my photos"], None).text
        "xferlearn train '--image_dir=my photos'"
    """
    given = {name: _plain(value) for name, value in config.changed().items() if name != "verbose"}
    moved = _is_relative(given.values(), working_dir)
    if _is_command_line(argv):
        lines = [f"cd {shlex.quote(working_dir)}"] if working_dir and moved else []
        return MadeWith("shell", "\n".join([*lines, shlex.join(["xferlearn", *argv[1:]])]))
    lines = ["import xferlearn"]
    if working_dir and moved:
        lines = ["import os", "", *lines, "", f"os.chdir({working_dir!r})"]
    objects = {
        name: str(value)
        for name, value in given.items()
        if isinstance(value, TableInMemory | ModelInMemory)
    }
    arguments = [f"{name}={name if name in objects else repr(given[name])}," for name in given]
    call = ["xferlearn.train(", *(f"    {one}" for one in arguments), ")"]
    needs = tuple(f"`{name}` was an object: {text}." for name, text in objects.items())
    return MadeWith("python", "\n".join([*lines, *call]), needs)


def _is_command_line(argv: Sequence[str]) -> bool:
    # Scripts, notebooks and `python -c` have other programs.
    program = Path(argv[0].replace("\\", "/")) if argv else Path()
    by_module = program.name == "__main__.py" and program.parent.name == "xferlearn"
    return len(argv) > 1 and (by_module or program.stem in ("xferlearn", "xferlearn-script"))


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _is_relative(values: Iterable[object], working_dir: str | None) -> bool:
    """Returns whether a value names something that is found from the folder alone."""
    return any(
        isinstance(value, str)
        and not os.path.isabs(value)
        and os.path.exists(os.path.join(working_dir or "", value))
        for value in values
    )
