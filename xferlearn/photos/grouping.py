"""Photos -> groups that the split must not part: by folder, by column, or by a part of the name."""

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from xferlearn.errors import UserError
from xferlearn.photos.folders.names import class_label, first_names
from xferlearn.photos.several import labels_in
from xferlearn.photos.sources import Entry, PhotoSource, Wrapping
from xferlearn.photos.splitting import WHAT_FOR
from xferlearn.system.text import count, one_line, plural_of, readable

FOLDER = "folder"
FEWEST_GROUPS = 3


@dataclasses.dataclass(frozen=True)
class GroupedSource(Wrapping):
    """A source of photos whose groups are known by the photos' names.

    Attributes:
        source: the photos.
        groups: group by name of those that belong to one.
        warnings: what a person should know of what was found, one line each.
    """

    source: PhotoSource
    groups: Mapping[str, str] = dataclasses.field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""
        return self.source.labels

    def entries(self) -> Iterator[Entry]:
        """Yields the photos in the order of their source."""
        for entry in self.source.entries():
            yield dataclasses.replace(entry, group=self.groups.get(entry.name))

    def only(self, names: Set[str], most_bytes: int | None = None) -> "GroupedSource":
        """Returns a source of the photos with these names."""
        return dataclasses.replace(self, source=self.source.only(names, most_bytes))


class Member(NamedTuple):
    """What is known of a photo where it may belong to a group, as `Entry` has it."""

    name: str
    label: int
    split: str | None
    group: str | None


def with_groups(source: PhotoSource, group_by: str) -> PhotoSource:
    """Returns a source whose photos have the groups that a setting asks for.

    Args:
        source: the photos.
        group_by: "folder", or a regular expression.

    Raises:
        UserError: when it is no regular expression, or tells no photos apart.
    """
    pattern = None if group_by == FOLDER else _pattern(group_by)
    members = []
    for entry in source.entries():
        if entry.group is not None:
            raise UserError(
                f"The photos are in groups already, such as {readable(entry.group)}. Leave out"
                " `group_by`."
            )
        found = _match(pattern, entry.name) if pattern else _folder(entry, source.labels)
        members.append(Member(entry.name, entry.label, entry.fixed_split, found))
    groups = {member.name: member.group for member in members if member.group is not None}
    if not groups:
        example = f", e.g. {readable(members[0].name)}" if members else ""
        if pattern is None:
            raise UserError(
                f"`group_by='folder'` found no photo in a folder below its class{example}. Put the"
                " photos that belong together into one, or give a regular expression."
            )
        raise UserError(
            f"`group_by={group_by!r}` matches the name of none of"
            f" {count(len(members), 'photo')}{example}. Expected `folder`, a column of `labels`, or"
            " a regular expression."
        )
    if len(groups) == len(members) and len({*groups.values()}) == 1:
        only = readable(next(iter(groups.values())))
        raise UserError(
            f"`group_by={group_by!r}` puts all photos into one group, {only!r}, so none is left to"
            " measure with. Expected at least two groups per class, for a split at least three."
        )
    warnings = group_warnings(source.labels, members, multi_label=source.is_multi_label)
    return GroupedSource(source, groups, (*source.warnings, *warnings))


def group_warnings(
    labels: Sequence[str], members: Sequence[Member], *, multi_label: bool = False
) -> list[str]:
    """Returns what a person should know of photos in groups, one line each.

    Args:
        labels: class names.
        members: the photos, also those that could have had a group and have none.
        multi_label: whether `labels` are sets of class names.

    Raises:
        UserError: when groups and given splits together leave nothing of a class to learn from.
    """
    groups: dict[str, list[Member]] = collections.defaultdict(list)
    classes_in = [labels_in(text) if multi_label else (text,) for text in labels]
    units: dict[str, set[str]] = collections.defaultdict(set)
    alone = [member.name for member in members if member.group is None]
    for member in members:
        if member.group is not None:
            groups[member.group].append(member)
        for name in classes_in[member.label]:
            units[name].add(f"photo {member.name}" if member.group is None else member.group)
    grouped = len(members) - len(alone)
    classes = [
        {name for one in found for name in classes_in[one.label]} for found in groups.values()
    ]
    mixed = sum(len(found) > 1 for found in classes)
    several = f" ({mixed:,} of them with photos of several classes)" if mixed else ""
    lines = [
        f"{count(grouped, 'photo')} in {count(len(groups), 'group')}{several}: the photos of a"
        " group stay together in the split."
    ]
    if alone:
        verbs = plural_of(len(alone), "belongs", "belong"), plural_of(len(alone), "stands", "stand")
        lines.append(
            f"{count(len(alone), 'photo')} {verbs[0]} to no group and {verbs[1]} alone:"
            f" {first_names(list(map(readable, alone)), 3)}."
        )
    few = [
        f"{readable(name)} ({len(units[name])})"
        for name in dict.fromkeys(name for names in classes_in for name in names)
        if 0 < len(units[name]) < FEWEST_GROUPS
    ]
    if few:
        lines.append(
            f"Fewer than {FEWEST_GROUPS} groups in {first_names(few)}: too few to have {WHAT_FOR}."
        )
    parted = [
        readable(name)
        for name, found in groups.items()
        if len({member.split for member in found}) > 1
    ]
    if parted:
        _check_learned(classes_in, members)
        lines.append(
            f"{count(len(parted), 'group')} {plural_of(len(parted), 'has', 'have')} photos in"
            f" several of the given splits: {first_names(parted, 3)}. All photos of such a group"
            " count as test photos if one of them is one, otherwise as validation photos."
        )
    return lines


def _check_learned(classes_in: Sequence[Sequence[str]], members: Sequence[Member]) -> None:
    """Raises UserError where the splits that groups have leave nothing of a class to learn from."""
    measured = {member.group for member in members if member.group and member.split}
    learned = {
        name
        for member in members
        if member.split is None and member.group not in measured
        for name in classes_in[member.label]
    }
    for name in dict.fromkeys(name for names in classes_in for name in names):
        if name not in learned:
            raise UserError(
                f"Class {readable(name)!r} has no training photos left: all of its groups have"
                " photos in the test or the validation. Change the split, or the groups."
            )


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
