"""The words behind a command's name become its settings, or all mistakes in them at once."""

import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from xferlearn.commands.table import COMMANDS
from xferlearn.config.base import (
    Config,
    keras_words,
    meant_by,
    parse_value,
    read_value,
    rules_of,
    settings_of,
    takes_words,
    value_type,
)
from xferlearn.config.foreign_words import HINTS
from xferlearn.errors import UserError
from xferlearn.system.text import one_line


def parse_settings(name: str, words: Sequence[str]) -> Config:
    """Returns the settings that the words after a command's name ask for.

    Args:
        name: a key of `COMMANDS`.
        words: flags and positional words.

    Raises:
        UserError: on unknown flags, values of the wrong type and words too many, with a message
            for each; on settings that contradict each other.
    """
    config = COMMANDS[name].settings
    values = _flag_values(config)
    try:
        rest = values([name, *_underscored(words, values)], known_only=True)[1:]
    except (flags.Error, ValueError) as error:  # absl has bare ValueErrors for --nofoo=value
        raise UserError(one_line(error)) from None
    unknown, rest = _without_unknown(rest)
    mistakes = [
        f"`xferlearn {name}` has no flag --{flag}.{meant_by(config, flag.replace('-', '_'))}"
        for flag in unknown
    ]
    given: dict[str, Any] = {}
    for setting in [*settings_of(config), *keras_words(config)]:
        if values[setting].value is not None:
            try:
                given[setting] = _read(setting, values[setting].value, config)
            except UserError as error:
                mistakes.append(str(error))
                given[setting] = None
    if not unknown:  # whose values stand among the words
        mistakes += _take_words(name, given, rest)
    if mistakes:
        raise UserError(*mistakes)
    return config(**given)


def _read(setting: str, value: Any, config: type[Config]) -> Any:
    """Returns a flag's value as Python would give it, checked."""
    field, rules = rules_of(config, setting)
    if isinstance(value, str):
        value = parse_value(setting, value, field, rules)
    read_value(setting, value, field, rules)
    return value


def _take_words(name: str, given: dict[str, Any], words: list[str]) -> list[str]:
    """Adds what words without dashes set to `given`; returns the mistakes."""
    config = COMMANDS[name].settings
    undashed = [word for word in words if _is_setting(word, config)]
    if undashed:
        return [f"Settings are written with dashes: --{word}" for word in undashed]
    for setting, (field, rules) in settings_of(config).items():
        if rules.positional and words:
            if takes_words(field):
                given[setting] = [*given.get(setting, ()), *words]
                words = []
            elif setting not in given:
                given[setting], words = words[0], words[1:]
    if not words:
        return []
    return [
        f"`xferlearn {name}` takes no word {words[0]!r}; settings are written --name=value. "
        f"`xferlearn {name} --help` lists them."
    ]


def _is_setting(word: str, config: type[Config]) -> bool:
    """Returns whether a word is a setting as other tools take them, NAME=VALUE, and no file."""
    name, equals, _ = word.partition("=")
    known = [*settings_of(config), *keras_words(config), *HINTS]
    known += [alias for _, rules in settings_of(config).values() for alias in rules.aliases]
    return bool(equals) and name in known and not os.path.exists(word)


def _underscored(words: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Returns the words with flags such as --image-dir and --no-overwrite as absl knows them."""
    ends = words.index("--") if "--" in words else len(words)
    return [*(_flag(word, values) for word in words[:ends]), *words[ends:]]


def _flag(word: str, values: flags.FlagValues) -> str:
    dashes = word[: len(word) - len(word.lstrip("-"))]
    name, equals, value = word[len(dashes) :].partition("=")
    if not dashes or "-" not in name:
        return word
    name = name.replace("-", "_")
    if name.startswith("no_") and name not in values:
        name = f"no{name[3:]}"
    known = name in values or name.removeprefix("no") in values
    return f"{dashes}{name}{equals}{value}" if known else word


def _without_unknown(words: list[str]) -> tuple[list[str], list[str]]:
    """Returns the names of the flags that absl left over, and the words that are none."""
    ends = words.index("--") if "--" in words else len(words)
    unknown: list[str] = []
    rest = list(words[ends + 1 :])
    for word in reversed(words[:ends]):
        name = word.lstrip("-").partition("=")[0]
        if word.startswith("-") and name:
            unknown.insert(0, name)
        else:
            rest.insert(0, word)
    return unknown, rest


class _Switch(flags.BooleanParser):
    """Leaves text that is neither true nor false to the config, which refuses it with the rest."""

    def parse(self, argument: str | bool | int) -> Any:
        try:
            return super().parse(argument)
        except ValueError:
            return argument


def _flag_values(config: type[Config]) -> flags.FlagValues:
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    for name in [*settings_of(config), *keras_words(config)]:
        field, _ = rules_of(config, name)
        # The defaults are the config's: what is None here was not given.
        if value_type(field) is bool:
            switch = flags.BooleanFlag(name, None, "")
            switch.parser = _Switch()
            flags.DEFINE_flag(switch, flag_values=values)
        elif takes_words(field):
            flags.DEFINE_multi_string(name, None, "", flag_values=values)
        else:
            flags.DEFINE_string(name, None, "", flag_values=values)
    for name, (_, rules) in settings_of(config).items():
        for alias in rules.aliases:
            flags.DEFINE_alias(alias, name, flag_values=values)
    return values
