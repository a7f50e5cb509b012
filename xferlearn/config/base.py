"""What a setting is, and how it is checked; `config` has the settings themselves."""

import collections.abc
import dataclasses
import numbers
import os
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar

from xferlearn.config.bounds import read_number
from xferlearn.config.foreign_words import HINTS
from xferlearn.config.in_memory import (
    ModelInMemory,
    ModelsInMemory,
    TableInMemory,
    combined,
    is_model,
    is_table,
)
from xferlearn.config.keras_words import KERAS_WORDS
from xferlearn.config.sizes import read_size
from xferlearn.errors import UserError, did_you_mean, nearest
from xferlearn.system.addresses import check_address

T = TypeVar("T")
# One value, a sequence of them, or text with commas between them.
Several: TypeAlias = T | Sequence[T] | str
StrPath: TypeAlias = str | Path

# Headings of `--help`, what a command needs first.
SECTIONS = (
    "Data", "Model", "Settings", "Answers", "Output", "Network", "Head", "Augmentation",
    "Fine-tuning", "Decision", "Photos", "Speed", "Progress",
)  # fmt: skip
# Forms of values that name files or folders.
_PATHS = frozenset({"FILE", "FOLDER", "PATH", "PHOTO"})


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known of a setting besides its name, type and default.

    It stands in the annotation of a config's field: `seed: Annotated[int, Setting("...")] = 0`.

    Attributes:
        help: one or two sentences. Other settings are named as in Python, such as `image_dir`;
            the command line shows them as flags.
        choices: the values there are; None admits any.
        minimum: smallest value admitted, None for no bound.
        maximum: largest value admitted, None for no bound.
        above: the value must be larger than this, None for no bound.
        aliases: other flag names for the same setting.
        positional: True where the command line's words without `--` are this setting.
        section: heading under which `--help` shows it, one of `SECTIONS`.
        size: True where the value is an amount of memory, see `sizes.read_size`.
        counts: how many values a setting of several may have, whose order and repeats count; None
            for any number of them, each once.
        table: True where Python may also give a table as an object.
        model: True where Python may also give a Keras model as an object.
        joined: where several values are one, the text between them; a comma is read as that.
        pairs: where the value is numbers by name, what the names are; a colon parts two.
        form: what a value is, such as FOLDER; "" where choices or type say enough.
        bucket: where the value is a path, True where it may be an address of a bucket too.
        common: True where the short help of a command with many settings shows it.
    """

    help: str
    choices: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    aliases: tuple[str, ...] = ()
    positional: bool = False
    section: str = "Settings"
    size: bool = False
    counts: tuple[int, ...] | None = None
    table: bool = False
    model: bool = False
    joined: str = ""
    pairs: str = ""
    form: str = ""
    bucket: bool = False
    common: bool = False

    @property
    def is_path(self) -> bool:
        """Whether its values name files or folders."""
        return not _PATHS.isdisjoint(self.form.split("|"))


Verbose: TypeAlias = Annotated[
    int,
    Setting(
        "How much is shown while work goes on: 0 nothing, 1 progress. Progress is a bar on a"
        " terminal and in a notebook, and one line every 30 s in a log.",
        minimum=0,
        maximum=1,
        section="Progress",
    ),
]


def settings_of(config: "Config | type[Config]") -> dict[str, tuple[dataclasses.Field, Setting]]:
    """Returns the fields and `Setting`s of a config class by name, in the order of `SECTIONS`."""
    found = {
        field.name: (field, rules)
        for field in dataclasses.fields(config)
        for rules in getattr(field.type, "__metadata__", ())
        if isinstance(rules, Setting)
    }
    return dict(sorted(found.items(), key=lambda item: SECTIONS.index(item[1][1].section)))


def keras_words(config: "type[Config]") -> list[str]:
    """Returns the names of `KERAS_WORDS` that a config class takes."""
    names = {field.name for field in dataclasses.fields(config)}
    return [word for word in KERAS_WORDS if word in names]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base of the commands' settings: checks every value when it is made.

    Raises:
        UserError: on a name that is no setting, with the nearest one; on a value outside of its
            range or choices.

    Attributes:
        given: names of the settings that were given, whatever their values.
    """

    given: ClassVar[frozenset[str]] = frozenset()

    if not TYPE_CHECKING:  # type checkers read the names from the dataclass itself

        def __new__(cls, *args: Any, **given: Any) -> "Config":  # noqa: ARG004, D102
            _check_names(cls, given)
            config = super().__new__(cls)
            # A value that is given is not left open, also where it is the default.
            object.__setattr__(config, "given", frozenset(given))
            return config

    def __post_init__(self) -> None:
        for word in keras_words(type(self)):
            value, meant = getattr(self, word), KERAS_WORDS[word]
            if value is not None:
                value = meant.value(read_value(word, value, *rules_of(type(self), word)))
                object.__setattr__(self, meant.setting, value)
                object.__setattr__(self, word, None)
        for name, (field, rules) in settings_of(self).items():
            object.__setattr__(self, name, read_value(name, getattr(self, name), field, rules))

    def require(self, *names: str) -> None:
        """Refuses settings that are not given, all at once.

        Args:
            *names: settings without which there is nothing to do.

        Raises:
            UserError: where one of them is None or empty.
        """
        missing = [f"`{name}`" for name in names if not getattr(self, name)]
        if missing:
            raise UserError(f"Expected {' and '.join(missing)}. Received: nothing.")

    def as_dict(self) -> dict[str, Any]:
        """Returns all settings by name."""
        return {name: getattr(self, name) for name in settings_of(self)}

    def changed(self) -> dict[str, Any]:
        """Returns the settings that differ from their defaults, by name."""
        return {
            name: value
            for name, (field, rules) in settings_of(self).items()
            if (value := getattr(self, name)) != read_value(name, field.default, field, rules)
        }


def rules_of(config: type[Config], name: str) -> tuple[dataclasses.Field, Setting]:
    """Returns a setting's field and `Setting`, also by Keras' name, whose bounds may be scaled."""
    meant = KERAS_WORDS.get(name)
    if meant is None:
        return settings_of(config)[name]
    field, rules = settings_of(config)[meant.setting]
    minimum, maximum = meant.bound(rules.minimum), meant.bound(rules.maximum)
    return field, dataclasses.replace(rules, minimum=minimum, maximum=maximum)


def meant_by(config: type[Config], name: str) -> str:
    """Returns what may be meant by a name that is no setting: " Did you mean `seed`?", or ""."""
    settings = settings_of(config)
    names = {name: name for name in (*settings, *keras_words(config))}
    hints = {word: hint for word, hint in HINTS.items() if any(f"`{one}" in hint for one in names)}
    aliases = {alias: one for one, (_, rules) in settings.items() for alias in rules.aliases}
    near = nearest(name, {**hints, **aliases, **names})
    if near in hints and near not in names:
        return f" {hints[near]}"
    return f" Did you mean `{(aliases | names)[near]}`?" if near else ""


def _check_names(cls: type[Config], given: dict[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(cls)]
    for name in given:
        if name not in known:
            raise UserError(f"There is no setting `{name}`.{meant_by(cls, name)}")
    for word, meant in KERAS_WORDS.items():
        if given.get(word) is not None and given.get(meant.setting) is not None:
            raise UserError(
                f"Expected either `{meant.setting}` or `{word}`, which are one setting. Received:"
                " both."
            )


def value_type(field: dataclasses.Field) -> type:
    """Returns the type of a setting's single values: bool, int, float or str."""
    declared = _declared(field)
    return (typing.get_args(declared) or (declared,))[0]


def takes_list(field: dataclasses.Field) -> bool:
    """Returns whether a setting takes several values, and text with commas for them."""
    if any(getattr(rules, "joined", "") for rules in getattr(field.type, "__metadata__", ())):
        return False
    kinds = [typing.get_origin(option) for option in typing.get_args(_declared(field))]
    return collections.abc.Sequence in kinds


def shown_form(field: dataclasses.Field, rules: Setting) -> str:
    """Returns what a setting's value is, for help texts: "FOLDER", "NUMBER", "auto|cpu|gpu"."""
    if rules.choices:
        return "|".join(rules.choices)
    if rules.pairs:
        return f"{rules.pairs}=NUMBER"
    number = value_type(field) in (int, float)
    return rules.form or ("SIZE" if rules.size else "NUMBER" if number else "TEXT")


def takes_words(field: dataclasses.Field) -> bool:
    """Returns whether a setting takes several values, in which a comma is part of the text."""
    return typing.get_origin(_declared(field)) is tuple


def _declared(field: dataclasses.Field) -> Any:
    return getattr(field.type, "__origin__", field.type)


def read_value(name: str, value: Any, field: dataclasses.Field, rules: Setting) -> Any:
    """Returns a setting's value in the form that configs hold it in.

    Args:
        name: what the caller called the setting.
        value: what was given.
        field: the setting's type and default.
        rules: its range and choices.

    Returns:
        bool, int, float or str, a tuple of them where the setting takes several, numbers by name
        where it takes pairs, or None.

    Raises:
        UserError: on a value of another type, or outside of its range or choices.
    """
    if value is None and types.NoneType in typing.get_args(_declared(field)):
        return None
    if rules.size:
        return read_size(name, value, rules.minimum)
    if rules.table and is_table(value):
        return TableInMemory(value)
    if rules.table and not isinstance(value, (str, os.PathLike)):
        raise UserError(
            f"Expected `{name}` to be the path of a table, or a table such as a pandas DataFrame."
            f" Received: {value!r}."
        )
    if rules.pairs:
        return _read_pairs(name, value, rules)
    if rules.model and is_model(value):
        value = ModelInMemory(value)
        return (value,) if takes_list(field) else value
    kind = value_type(field)
    if rules.joined and not isinstance(value, ModelInMemory | ModelsInMemory):
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, Iterable):
            parts = [parts]
        each = [_read_one(name, part, str, rules) for part in parts]
        value = combined(
            [one if isinstance(one, ModelInMemory) else one.strip() for one in each], rules.joined
        )
    if not takes_list(field) and not takes_words(field):
        return _read_one(name, value, kind, rules)
    if isinstance(value, str) and takes_list(field):
        value = [_parse(name, part.strip(), kind) for part in value.split(",")]
    elif isinstance(value, (str, os.PathLike)) or not isinstance(value, Iterable):
        value = [value]
    values = tuple(_read_one(name, one, kind, rules) for one in value)
    if not takes_list(field):
        return values
    if rules.counts is not None:
        if len(values) not in rules.counts:
            wanted = " or ".join(map(str, rules.counts))
            raise UserError(f"Expected {wanted} numbers for `{name}`. Received: {len(values)}.")
        return values
    if not values:
        raise UserError(f"Expected at least one value for `{name}`. Received: none.")
    return tuple(dict.fromkeys(values))


def _read_pairs(name: str, value: Any, rules: Setting) -> dict[str, float]:
    pairs: list[tuple[Any, Any]]
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, str):
        pairs = [part.rpartition("=")[::2] for part in value.split(",")]
        pairs = [(key.strip(), _parse(name, number.strip(), float)) for key, number in pairs if key]
        pairs = pairs if len(pairs) == value.count(",") + 1 else []
    else:
        pairs = []
    found = {}
    for key, number in pairs:
        named = key
        if ":" in rules.pairs and isinstance(key, tuple) and len(key) == 2:
            named = ":".join(key) if all(isinstance(part, str) and part for part in key) else None
        if not isinstance(named, str) or not named or (":" in rules.pairs and ":" not in named):
            pairs = []
            break
        found[named] = _read_one(name, number, float, rules)
    if not pairs or len(found) != len(pairs):
        raise UserError(
            f"Expected `{name}` to be {rules.pairs}=NUMBER, several with commas between them, each"
            f" once, or in Python a dict. Received: {value!r}."
        )
    return found


_KINDS = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
}


def parse_value(name: str, text: str, field: dataclasses.Field, rules: Setting) -> Any:
    """Returns one word of a command line as Python would give it: "3" as 3.

    Raises:
        UserError: where the text is no number, and the setting one.
    """
    kind = value_type(field)
    if kind not in (int, float) or takes_list(field) or rules.size or rules.pairs:
        return text
    return _parse(name, text, kind)


def _parse(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"Expected `{name}` to be {_KINDS[kind][1]}. Received: {text!r}.") from None


def _read_one(name: str, value: Any, kind: type, rules: Setting) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if rules.model and is_model(value):
        return ModelInMemory(value)
    admitted, words = _KINDS[kind]
    # True is a number to Python, but nobody means it.
    if not isinstance(value, admitted) or (kind is not bool and isinstance(value, bool)):
        raise UserError(f"Expected `{name}` to be {words}. Received: {value!r}.")
    if rules.choices is not None and value not in rules.choices:
        near = did_you_mean(str(value), rules.choices)
        choices = ", ".join(rules.choices)
        raise UserError(f"Expected `{name}` to be one of {choices}. Received: {value!r}.{near}")
    if value == "":
        raise UserError(f"Expected a value for `{name}`. Received: an empty one.")
    if rules.is_path:
        check_address(f"`{name}`", str(value), bucket=rules.bucket)
    if kind not in (int, float):
        return value
    return read_number(name, value, kind, (rules.minimum, rules.maximum, rules.above))
