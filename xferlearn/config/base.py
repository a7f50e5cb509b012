"""What a setting is, and how it is checked; `config` has the settings themselves."""

import dataclasses
import math
import numbers
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from xferlearn.errors import UserError, did_you_mean

ConfigT = TypeVar("ConfigT", bound="Config")


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known of one setting besides its name, type and default.

    Attributes:
        help: one or two sentences for `--help`.
        choices: the values there are; None admits any.
        minimum: smallest value admitted, None for no bound.
        maximum: largest value admitted, None for no bound.
        above: the value must be larger than this, None for no bound.
        aliases: other flag names for the same setting.
        positional: True where the command line's words without `--` are this setting.
        section: heading under which `--help` shows it.
    """

    help: str
    choices: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    aliases: tuple[str, ...] = ()
    positional: bool = False
    section: str = "Settings"


def setting(default: Any, help: str, **rest: Any) -> Any:
    """Returns a dataclass field with its `Setting` attached; see there for `rest`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(help, **rest)})


def settings_of(config: "Config | type[Config]") -> dict[str, tuple[dataclasses.Field, Setting]]:
    """Returns the fields and `Setting`s of a config class by name, in order of declaration."""
    return {
        field.name: (field, field.metadata["setting"])
        for field in dataclasses.fields(config)
        if "setting" in field.metadata
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base of the commands' settings: checks every value when it is made.

    Raises:
        UserError: on a value outside of its range or choices.
    """

    def __post_init__(self) -> None:
        for name, (field, rules) in settings_of(self).items():
            value = getattr(self, name)
            if isinstance(value, os.PathLike):
                value = os.fspath(value)
            _check_type(name, value, field)
            if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
                # NumPy's numbers have no place in JSON files.
                value = value_type(field)[0](value)
            object.__setattr__(self, name, value)
            if value is not None:
                _check(name, value, rules)

    @classmethod
    def of(cls: type[ConfigT], settings: Mapping[str, Any]) -> ConfigT:
        """Returns a config from keyword arguments.

        Raises:
            UserError: on a name that is no setting, with the nearest one.
        """
        known = settings_of(cls)
        for name in settings:
            if name not in known:
                near = did_you_mean(name, known)
                raise UserError(f"There is no setting `{name}`.{near}")
        return cls(**settings)

    def changed(self) -> dict[str, Any]:
        """Returns the settings that differ from their defaults, by name."""
        return {
            name: getattr(self, name)
            for name, (field, _) in settings_of(self).items()
            if getattr(self, name) != field.default
        }


def value_type(field: dataclasses.Field) -> tuple[type, bool]:
    """Returns the type of a setting's values, and whether it takes several."""
    options = [
        option
        for option in typing.get_args(field.type) or (field.type,)
        if option not in (types.NoneType, Ellipsis)
    ]
    return options[0], typing.get_origin(field.type) is tuple


_KINDS = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
}


def _check_type(name: str, value: Any, field: dataclasses.Field) -> None:
    kind, several = value_type(field)
    admitted, words = _KINDS[kind]
    if value is None and types.NoneType in typing.get_args(field.type):
        return
    if several and not isinstance(value, tuple):
        raise UserError(f"Expected `{name}` to be a tuple. Received: {name}={value!r}.")
    for one in value if several else (value,):
        # True is a number to Python, but nobody means it.
        if not isinstance(one, admitted) or (kind is not bool and isinstance(one, bool)):
            raise UserError(f"Expected `{name}` to be {words}. Received: {name}={one!r}.")
        if one == "" and field.metadata["setting"].choices is None:
            raise UserError(f"Expected a value for `{name}`. Received: an empty one.")


def _check(name: str, value: Any, rules: Setting) -> None:
    if rules.choices is not None and value not in rules.choices:
        near = did_you_mean(str(value), rules.choices)
        choices = ", ".join(rules.choices)
        raise UserError(
            f"Expected `{name}` to be one of {choices}. Received: {name}={value}.{near}"
        )
    numbers = value if isinstance(value, tuple) else (value,)
    for number in numbers:
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            continue
        if not math.isfinite(number):
            raise UserError(f"Expected `{name}` to be a finite number. Received: {name}={number}.")
        for bound, fails, words in (
            (rules.minimum, lambda n, b: n < b, "at least"),
            (rules.maximum, lambda n, b: n > b, "at most"),
            (rules.above, lambda n, b: n <= b, "above"),
        ):
            if bound is not None and fails(number, bound):
                raise UserError(
                    f"Expected `{name}` to be {words} {_number(bound)}. Received:"
                    f" {name}={_number(number)}."
                )


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
