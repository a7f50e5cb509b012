"""Photos -> groups that the split must not part: by folder, by column, or by a part of the name."""

import dataclasses
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from xferlearn.errors import UserError
from xferlearn.photos.folders.columns import Coded, Codes
from xferlearn.photos.folders.names import class_label, first_names
from xferlearn.photos.several import labels_in
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.photos.splitting import WHAT_FOR
from xferlearn.system.text import count, one_line, plural_of, readable

FOLDER = "folder"
FEWEST_GROUPS = 3
_NAMED = 3


class Groupable(PhotoSource, Protocol):
    """A source that takes groups of its photos."""

    def grouped(
        self, groups: Coded, warnings: Sequence[str], group_by: str | None = None
    ) -> "Groupable":
        """Returns the same photos in groups.

        Args:
            groups: the group of each photo, in the order of `entries`.
            warnings: what a person should know of the groups, one line each.
            group_by: the regular expression that found them in names; None for none.
        """


@dataclasses.dataclass(frozen=True)
class Members:
    """What is known of photos that may belong to groups, in columns.

    Attributes:
        labels: index of each one's label, int32, [photos].
        splits: the split that each is given, None for one that is still to be decided.
        groups: the group of each, None for one that stands alone.
        alone: names of the first photos that stand alone.
    """

    labels: np.ndarray
    splits: Coded
    groups: Coded
    alone: tuple[str, ...]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, str | None, str | None]]) -> "Members":
        """Returns the columns of rows of name, label, split and group."""
        labels, splits, groups = array("i"), Codes(), Codes()
        alone: list[str] = []
        for name, label, split, group in rows:
            labels.append(label)
            splits.add(split)
            groups.add(group)
            if group is None and len(alone) < _NAMED:
                alone.append(name)
        numbers = np.frombuffer(labels, np.int32)
        return cls(numbers, splits.finish(), groups.finish(), tuple(alone))


def with_groups(source: Groupable, group_by: str) -> Groupable:
    """Returns a source whose photos have the groups that a setting asks for.

    Args:
        source: the photos.
        group_by: "folder", or a regular expression.

    Raises:
        UserError: when it is no regular expression, or tells no photos apart.
    """
    pattern = None if group_by == FOLDER else _pattern(group_by)
    example = ""

    def rows() -> Iterator[tuple[str, int, str | None, str | None]]:
        nonlocal example
        for entry in source.entries():
            if entry.group is not None:
                raise UserError(
                    f"The photos are in groups already, such as {readable(entry.group)}. Leave out"
                    " `group_by`."
                )
            example = example or f", e.g. {readable(entry.name)}"
            found = _match(pattern, entry.name) if pattern else _folder(entry, source.labels)
            yield entry.name, entry.label, entry.fixed_split, found

    members = Members.of(rows())
    groups = members.groups
    if not groups.values:
        if pattern is None:
            raise UserError(
                f"`group_by='folder'` found no photo in a folder below its class{example}. Put the"
                " photos that belong together into one, or give a regular expression."
            )
        raise UserError(
            f"`group_by={group_by!r}` matches the name of none of"
            f" {count(len(groups), 'photo')}{example}. Expected `folder`, a column of `labels`, or"
            " a regular expression."
        )
    if len(groups.values) == 1 and not members.alone:
        only = readable(groups.values[0])
        raise UserError(
            f"`group_by={group_by!r}` puts all photos into one group, {only!r}, so none is left to"
            " measure with. Expected at least two groups per class, for a split at least three."
        )
    warnings = group_warnings(source.labels, members, multi_label=source.is_multi_label)
    return source.grouped(groups, warnings, group_by if pattern else None)


def group_warnings(
    labels: Sequence[str], members: Members, *, multi_label: bool = False
) -> list[str]:
    """Returns what a person should know of photos in groups, one line each.

    Args:
        labels: class names.
        members: the photos, also those that could have had a group and have none.
        multi_label: whether `labels` are sets of class names.

    Raises:
        UserError: when groups and given splits together leave nothing of a class to learn from.
    """
    groups = members.groups
    classes = _Classes(labels, multi_label)
    grouped = groups.codes >= 0
    alone = int((~grouped).sum())
    # A photo that stands alone is a unit of its own, behind the groups.
    units = np.where(grouped, groups.codes, len(groups.values) + np.arange(len(groups)))
    unit_of, class_of = classes.pairs(units, members.labels)
    mixed = int((np.bincount(unit_of[unit_of < len(groups.values)]) > 1).sum())
    several = f" ({mixed:,} of them with photos of several classes)" if mixed else ""
    lines = [
        f"{count(len(groups) - alone, 'photo')} in"
        f" {count(len(groups.values), 'group')}{several}: the photos of a group stay together in"
        " the split."
    ]
    if alone:
        verbs = plural_of(alone, "belongs", "belong"), plural_of(alone, "stands", "stand")
        names = ", ".join(map(readable, members.alone))
        more = f" and {alone - _NAMED:,} more" if alone > _NAMED else ""
        lines.append(
            f"{count(alone, 'photo')} {verbs[0]} to no group and {verbs[1]} alone: {names}{more}."
        )
    numbers = np.bincount(class_of, minlength=len(classes.names)).tolist()
    few = [
        f"{readable(name)} ({number})"
        for name, number in zip(classes.names, numbers, strict=True)
        if 0 < number < FEWEST_GROUPS
    ]
    if few:
        lines.append(
            f"Fewer than {FEWEST_GROUPS} groups in {first_names(few)}: too few to have {WHAT_FOR}."
        )
    parted_of, _ = _pairs(groups.codes[grouped], members.splits.codes[grouped] + 1)
    parted = np.flatnonzero(np.bincount(parted_of) > 1).tolist()
    if parted:
        _check_learned(classes, members)
        names = first_names([readable(groups.values[group]) for group in parted], _NAMED)
        lines.append(
            f"{count(len(parted), 'group')} {plural_of(len(parted), 'has', 'have')} photos in"
            f" several of the given splits: {names}. All photos of such a group"
            " count as test photos if one of them is one, otherwise as validation photos."
        )
    return lines


def _check_learned(classes: "_Classes", members: Members) -> None:
    """Raises UserError where the splits that groups have leave nothing of a class to learn from."""
    groups, given = members.groups.codes, members.splits.codes >= 0
    measured = np.unique(groups[given & (groups >= 0)])
    learned = ~given & ~np.isin(groups, measured)
    _, found = classes.pairs(np.zeros(learned.sum(), np.int64), members.labels[learned])
    held = set(found.tolist())
    for number, name in enumerate(classes.names):
        if number not in held:
            raise UserError(
                f"Class {readable(name)!r} has no training photos left: all of its groups have"
                " photos in the test or the validation. Change the split, or the groups."
            )


class _Classes:
    """The classes that labels name.

    Attributes:
        names: each once.
    """

    def __init__(self, labels: Sequence[str], multi_label: bool) -> None:
        classes_in = [labels_in(text) if multi_label else (text,) for text in labels]
        self.names = list(dict.fromkeys(name for names in classes_in for name in names))
        places = {name: number for number, name in enumerate(self.names)}
        self._sizes = np.array([len(names) for names in classes_in], np.int64)
        self._flat = np.array([places[one] for names in classes_in for one in names], np.int64)

    def pairs(self, units: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which units have photos of which classes, each pair once, integers, [pairs]."""
        units, labels = _pairs(units, labels)
        sizes = self._sizes[labels]
        starts = (np.cumsum(self._sizes) - self._sizes)[labels]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return _pairs(np.repeat(units, sizes), self._flat[np.repeat(starts, sizes) + within])


def _pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns pairs of numbers from 0 on, each once, sorted, int64, [pairs]."""
    width = int(second.max(initial=0)) + 1
    both = np.unique(first.astype(np.int64) * width + second)
    return both // width, both % width


def _folder(entry: Entry, labels: Sequence[str]) -> str | None:
    folders = entry.name.split("/")[:-1]
    # Folders have their names as the disk has them.
    names, label = list(map(class_label, folders)), class_label(labels[entry.label])
    # Above the class there may be a folder of the split, or one around all classes.
    below = folders[names.index(label) + 1 :] if label in names else folders
    return "/".join(below) or None


def _pattern(group_by: str) -> re.Pattern[str]:
    try:
        return re.compile(group_by)
    except re.error as error:
        raise UserError(
            f"Expected `group_by` to be `folder`, a column of `labels`, or a regular expression."
            f" Received: {group_by!r} ({one_line(error)})."
        ) from None


def _match(pattern: re.Pattern[str], name: str) -> str | None:
    found = pattern.search(name)
    if found is None:
        return None
    # A group that took no part in the match is None, and names nothing.
    return (found[1] if pattern.groups else found[0]) or None
