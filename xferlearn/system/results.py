"""What a command returns shows itself: as text, and in a notebook as a page."""

import abc
import dataclasses
import re
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from xferlearn.system.html import page
from xferlearn.system.tables import format_table
from xferlearn.system.text import count, readable

MOST_LINES = 40
"""Lines of a summary; lists that would make it longer are shortened."""

WIDTH = 80
"""Characters of a line of prose."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Lines of a summary that belong together, some of which may be left out.

    Attributes:
        head: lines that are always shown.
        items: lines of a list, which is shortened where room is short.
        noun: what an item is, singular.
        where: where the items that are left out can be found, as the end of a sentence.
        tail: lines that are always shown, after the list.
        rank: importance of an item by its index, the lowest first; None for their order.
        most: items that are shown at most, however much room there is; None for no bound.
    """

    head: Sequence[str] = ()
    items: Sequence[str] = ()
    noun: str = "line"
    where: str = ""
    tail: Sequence[str] = ()
    rank: Callable[[int], Any] | None = None
    most: int | None = None

    def lines(self, most: int) -> list[str]:
        """Returns the lines, with at most `most` items."""
        left = len(self.items) - most
        if left <= 0:
            return [*self.head, *self.items, *self.tail]
        kept = sorted(sorted(range(len(self.items)), key=self.rank)[:most])
        more = f"... {count(left, f'more {self.noun}')}{self.where and '; ' + self.where}"
        return [*self.head, *(self.items[index] for index in kept), more, *self.tail]


def table_block(
    rows: Sequence[Sequence[str]], noun: str, names: int | None = None, **rest: Any
) -> Block:
    """Returns a table, the head first, as a block whose rows are the items.

    Where it is wider than a terminal, its longest texts are shortened in the middle.

    Args:
        rows: text cells.
        noun: what a row is.
        names: the column that is shortened alone, because numbers fill the others; None for any.
        **rest: of the block.
    """
    cells = [[readable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    some = range(len(widths)) if names is None else (names,)
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        longest = max(some, key=widths.__getitem__)
        if widths[longest] <= _LEAST:
            break
        widths[longest] -= 1
    fitting = [[_middle_out(*both) for both in zip(row, widths, strict=True)] for row in cells]
    head, *items = format_table(fitting).split("\n")
    return Block([head], items, noun, **rest)


# Characters that a shortened text keeps at least.
_LEAST = 12


def _middle_out(text: str, room: int) -> str:
    """Returns a text that is too long without its middle: names often differ at their ends."""
    if len(text) <= room:
        return text
    start = (room - 3) // 2
    return f"{text[:start]}...{text[len(text) - (room - 3 - start) :]}"


def facts_block(facts: Mapping[str, str], prose: Collection[str] = ()) -> Block:
    """Returns names and values, one pair per line.

    Args:
        facts: values by name.
        prose: names of the values that continue on further lines where they are long.
    """
    indent = max(map(len, facts)) + 2
    lines = []
    for name, value in facts.items():
        text = readable(value)
        first, *rest = wrapped(text, WIDTH - indent) if name in prose else [text]
        lines += [f"{name:<{indent}}{first}".rstrip(), *(" " * indent + line for line in rest)]
    return Block(lines)


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """Returns a sentence as lines that a terminal shows; a number stays beside its unit."""
    joined = re.sub(r"(?<=\d) (?=s\b|px\b|MB\b)", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(joined, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def fit(blocks: Sequence[Block], most: int = MOST_LINES) -> str:
    """Returns blocks as text with empty lines between, the longest lists shortened to fit.

    Args:
        blocks: those without any line are passed over.
        most: lines, as long as there are lists to shorten.
    """
    blocks = [block for block in blocks if block.head or block.items or block.tail]
    shown = [min(len(block.items), most, block.most or most) for block in blocks]

    def text() -> list[str]:
        parts = [block.lines(count) for block, count in zip(blocks, shown, strict=True)]
        return [readable(line, None) for part in parts for line in ("", *part)][1:]

    while len(text()) > most and max(shown, default=0) > 0:
        longest = shown.index(max(shown))
        # The first item left out gains nothing: the line that says so takes its place.
        shown[longest] -= 2 if shown[longest] == len(blocks[longest].items) else 1
        shown[longest] = max(shown[longest], 0)
    return "\n".join(text())


class Failure(str):
    """A warning that something asked for, such as logs, was not made: the command exits with 1."""


class Result(abc.ABC):
    """Base of what the commands return.

    A subclass gives its summary in `blocks` and its page in `html`; here both become what Python
    and notebooks ask for.

    Attributes:
        warnings: what the user should know besides the result, one line each.
    """

    warnings: tuple[str, ...]

    @abc.abstractmethod
    def blocks(self) -> list[Block]:
        """Returns the summary in parts."""

    @abc.abstractmethod
    def html(self) -> list[Any]:
        """Returns the page in parts, as `system.html.h` takes them."""

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was written; `warnings` say what was not."""
        return not any(isinstance(warning, Failure) for warning in self.warnings)

    def remarks(self) -> list[str]:
        """Returns what a terminal shows on stderr, one line each: warnings, and failures."""
        return [f"warning: {warning}" for warning in self.warnings]

    def summary(self) -> str:
        """Returns what the command prints, at most `MOST_LINES` lines."""
        return fit(self.blocks())

    def __repr__(self) -> str:
        """Returns the summary, below the warnings where there are any."""
        return fit([Block(items=self.remarks(), noun="warning"), *self.blocks()])

    def _repr_html_(self) -> str:
        """Returns what a notebook shows."""
        return page(*self.html())
