"""What `--help` shows, made from the table of commands and their settings."""

import dataclasses
import textwrap
from collections.abc import Sequence

from xferlearn.commands.table import COMMANDS
from xferlearn.config.base import (
    Setting,
    keras_words,
    settings_of,
    shown_form,
    takes_list,
    value_type,
)
from xferlearn.config.keras_words import KERAS_WORDS
from xferlearn.config.wording import as_flags, flag_value
from xferlearn.system.text import count

_WIDTH = 80
# A command with at most this many settings shows all of them at once.
_FEW = 16


def general_help() -> str:
    """Returns the list of commands."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {row.summary}" for name, row in COMMANDS.items())
    return (
        "Teach a pretrained network your own image classes.\n\n"
        "usage: xferlearn COMMAND [flags]\n\n"
        f"{commands}\n\n"
        "`xferlearn COMMAND --help` shows a command's flags. To begin:\n"
        f"  {COMMANDS['train'].examples[0]}"
    )


def command_help(name: str, *, everything: bool = False) -> str:
    """Returns the help of a command.

    Args:
        name: a key of `COMMANDS`.
        everything: whether a command with many settings shows all instead of the common ones.
    """
    command = COMMANDS[name]
    settings = settings_of(command.settings)
    common = {
        setting: both
        for setting, both in settings.items()
        if everything or len(settings) <= _FEW or both[1].common
    }
    lines = [
        command.summary,
        "",
        f"usage: xferlearn {name} {command.usage}".rstrip(),
        "",
        f"example{'s' * (len(command.examples) > 1)}:",
        *(f"  {example}" for example in command.examples),
    ]
    section = ""
    for setting, (field, rules) in common.items():
        if rules.section != section:
            section = rules.section
            lines += ["", f"{section}:"]
        lines += _setting_help(setting, field, rules, keras_words(command.settings))
    if left := len(settings) - len(common):
        lines += ["", f"`xferlearn {name} --help_all` also shows {count(left, 'other setting')}."]
    return "\n".join(lines)


def _setting_help(
    name: str, field: dataclasses.Field, rules: Setting, words: Sequence[str]
) -> list[str]:
    kind = value_type(field)
    text = as_flags(rules.help)
    form = shown_form(field, rules)
    if rules.choices and len(form) > _WIDTH // 2:
        form, text = "NAME", f"{text} Names: {', '.join(rules.choices)}."
    more = "[,...]" if takes_list(field) or rules.pairs else ""
    flag = f"--[no]{name}" if kind is bool else f"--{name}={form}{more}"
    if field.default not in (None, ()) and kind is not bool:
        text += f" Default: {flag_value(field.default)}."
    also = [f"--{alias}" for alias in rules.aliases]
    for word in words:
        if KERAS_WORDS[word].setting == name:
            also.append(f"--{word}{_as_share(word)}")
    if rules.positional:
        also.append(f"{form} without --{name}")
    if also:
        text += f" Also: {', '.join(also)}."
    indent = " " * 6
    filled = textwrap.fill(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    return [f"  {flag}", filled]


def _as_share(word: str) -> str:
    return "" if KERAS_WORDS[word].times == 1 else " as a share, 0 to 1"
