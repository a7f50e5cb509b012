"""Functions that take the settings of a config as keyword arguments, for editors and `help`."""

import functools
import inspect
import operator
import textwrap
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from xferlearn.config.base import Config, settings_of
from xferlearn.config.keras_words import KERAS_WORDS

P = ParamSpec("P")
R = TypeVar("R")
ConfigT = TypeVar("ConfigT", bound=Config)

_WIDTH = 80
_SECTIONS = ("Returns:", "Raises:", "Example:")


def from_settings(
    config: Callable[P, ConfigT],
) -> Callable[[Callable[[ConfigT], R]], Callable[P, R]]:
    """Makes a function of a config one of the config's settings, by name.

    Type checkers read names, types and defaults from the config class; at run time the function's
    signature has them, and its docstring an `Args` section from the settings' help.

    Args:
        config: a config class.

    Example:
        >>> @from_settings(TrainConfig)
        ... def train(config: TrainConfig) -> TrainResult: ...
        >>> train(image_dir="photos", model_dir="out/photos", learning_rate=0.01)
    """
    settings = cast(type[Config], config)

    def decorate(function: Callable[[ConfigT], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(config(*args, **kwargs))

        parameters = _parameters(settings)
        returned = inspect.signature(function).return_annotation
        shown: Any = called
        shown.__signature__ = inspect.Signature(parameters, return_annotation=returned)
        shown.__annotations__ = {one.name: one.annotation for one in parameters} | {
            "return": returned
        }
        shown.__doc__ = _with_arguments(inspect.getdoc(function) or "", settings)
        return called

    return decorate


def _parameters(config: type[Config]) -> list[inspect.Parameter]:
    """Returns the parameters of a config, each setting followed by its other name."""
    parameters = inspect.signature(config).parameters
    words = {meant.setting: word for word, meant in KERAS_WORDS.items() if word in parameters}
    names = (both for name in settings_of(config) for both in (name, words.get(name)) if both)
    found = [parameters[name] for name in names]
    shown = (one.replace(annotation=_plain(one.annotation)) for one in found)
    return sorted(shown, key=lambda one: one.kind)  # positional ones come first


def _plain(annotation: Any) -> Any:
    """Returns a type without its `Setting`, and `int | None` where typing has Optional[int]."""
    if hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if typing.get_origin(annotation) is typing.Union:
        return functools.reduce(operator.or_, typing.get_args(annotation))
    return annotation


def _with_arguments(doc: str, config: type[Config]) -> str:
    """Returns a docstring with an `Args` section before its first other section."""
    lines = doc.splitlines()
    place = next((i for i, line in enumerate(lines) if line in _SECTIONS), len(lines))
    arguments = ["Args:"]
    for parameter in _parameters(config):
        arguments += textwrap.wrap(
            f"{parameter.name}: {_help(parameter.name, config)}",
            _WIDTH,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
            break_on_hyphens=False,
        )
    return "\n".join([*lines[:place], *arguments, "", *lines[place:]]).rstrip()


def _help(name: str, config: type[Config]) -> str:
    meant = KERAS_WORDS.get(name)
    if meant is None:
        return settings_of(config)[name][1].help
    if meant.times == 1:
        return f"Another name for `{meant.setting}`."
    return f"`{meant.setting}` as a share, 0 to 1."
