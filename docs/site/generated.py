"""Parts of pages that follow from the package: settings, commands, backbones.

A page has a line such as `<!-- generated: settings -->` where its part belongs.
"""

import collections.abc
import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xferlearn import cli
from xferlearn.backbones import BACKBONES, list_backbones
from xferlearn.config.base import Setting, settings_of

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
_KINDS = {bool: "switch", int: "whole number", float: "number", str: "text"}


def expand(markdown: str) -> str:
    """Returns a page with its generated parts filled in.

    Raises:
        KeyError: for a part that is not known.
    """
    return _MARK.sub(lambda mark: PARTS[mark[1]](), markdown)


def settings() -> str:
    """Returns every setting once, by section; where commands differ, each with its own words."""
    sections: dict[str, str] = {}
    told: dict[str, dict[tuple[str, str], list[str]]] = {}
    for command, row in cli.COMMANDS.items():
        for name, (field, rules) in settings_of(row.settings).items():
            sections.setdefault(name, rules.section)
            words = (rules.help, _facts(field, rules))
            told.setdefault(name, {}).setdefault(words, []).append(f"`{command}`")
    lines: list[str] = []
    for section in dict.fromkeys(sections.values()):
        lines += [f"## {section}", ""]
        for name in (name for name, place in sections.items() if place == section):
            lines += [f"### `{name}` {{#{name}}}", ""]
            for (text, facts), commands in told[name].items():
                lines += [text, "", f"{facts} In {', '.join(commands)}.", "{ .facts }", ""]
    return "\n".join(lines)


def commands() -> str:
    """Returns the help of every command."""
    lines = ["```text", _output(), "```", ""]
    for name in cli.COMMANDS:
        lines += [f"## {name}", "", "```console", f"$ xferlearn {name} --help_all"]
        lines += [_output(name, "--help_all"), "```", ""]
    return "\n".join(lines)


def backbones() -> str:
    """Returns the table of backbones."""
    head = ["backbone", "sees", "trained at", "bottleneck", "parameters", "MB", "licence", "paper"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in list_backbones():
        source = BACKBONES[one.name].source
        paper = source.removeprefix("arXiv:")
        link = source if paper == source else f"https://arxiv.org/abs/{paper}"
        cells = [
            f"`{one.name}`",
            f"{one.image_size} px",
            ", ".join(map(str, one.imagenet_sizes)),
            f"{one.width:,}",
            f"{one.parameters:,}",
            f"{one.megabytes:.1f}",
            one.licence,
            f"[{paper.rpartition('/')[2]}]({link})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "backbones": backbones,
}


def _output(*words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli.main(words)
    return printed.getvalue().rstrip()


def _facts(field: dataclasses.Field, rules: Setting) -> str:
    kinds = set(_types(field.type))
    kind = next(kind for kind in _KINDS if kind in kinds)
    several = bool(kinds & {tuple, collections.abc.Sequence})
    choices = ", ".join(f"`{choice}`" for choice in rules.choices or ())
    facts = [f"One of {choices}" if choices else _form(rules) or _KINDS[kind].capitalize()]
    if rules.pairs:
        facts = [f"`{rules.pairs}=NUMBER`, one or several, each number"]
    if several:
        facts.append("or several")
    for bound, words in (
        (rules.above, "above"), (rules.minimum, "at least"), (rules.maximum, "at most")
    ):  # fmt: skip
        if bound is not None:
            facts.append(f"{words} {_number(bound)}")
    sentences = [", ".join(facts)]
    if field.default not in (None, ()):
        sentences.append(f"Default: `{field.default}`")
    if rules.aliases:
        sentences.append(f"Also: {', '.join(f'`--{alias}`' for alias in rules.aliases)}")
    return ". ".join(sentences) + "."


def _form(rules: Setting) -> str:
    """Returns such as "Folder"; of several forms with their words, "`folder`, COLUMN or REGEX"."""
    *first, last = rules.form.split("|")
    if not first:
        return last.capitalize()
    shown = [form if form.isupper() else f"`{form}`" for form in (*first, last)]
    return f"{', '.join(shown[:-1])} or {shown[-1]}"


def _types(declared: Any) -> Iterator[Any]:
    """Yields the types that a declaration such as `Sequence[int] | None` is made of."""
    parts = typing.get_args(declared)
    yield typing.get_origin(declared) if parts else declared
    for part in parts:
        yield from _types(part)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
