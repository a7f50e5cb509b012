"""Settings in text: messages name them as parameters, the command line shows them as flags."""

import ast
import re
import shlex
from typing import Any

from xferlearn.config.base import Config, settings_of
from xferlearn.config.keras_words import KERAS_WORDS


def as_flags(text: str) -> str:
    """Returns a message as the command line shows it.

    Args:
        text: a message, in which settings stand in backticks as in Python.

    Example:
        >>> as_flags("Choose another `model_dir`, or give `overwrite=True`.")
        'Choose another --model_dir, or give --overwrite.'
    """
    names = _names(Config) | KERAS_WORDS.keys()

    def flag(found: re.Match[str]) -> str:
        name, value = found.groups()
        if name not in names:
            return found[0]
        return f"--{name}" if value is None else _flag(name, value)

    return re.sub(r"`(\w+)(?:=([^`]+))?`", flag, text)


def flag_value(value: Any) -> str:
    """Returns a setting's value as it stands behind its flag: commas in lists, 20.0 as 20."""
    if isinstance(value, tuple):
        return ",".join(map(flag_value, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={flag_value(number)}" for name, number in value.items())
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _names(config: type[Config]) -> set[str]:
    return set(settings_of(config)).union(*(_names(one) for one in config.__subclasses__()))


def _flag(name: str, literal: str) -> str:
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return f"--{name}={literal}"  # such as `labels=FILE`
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={shlex.quote(flag_value(value))}"
