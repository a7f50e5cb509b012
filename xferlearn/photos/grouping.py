"""Photos -> groups that the split must not part: by folder, by column, or by a part of the name."""

import collections
import re
from collections.abc import Sequence

from xferlearn.errors import UserError
from xferlearn.photos.annotated import AnnotatedSource
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.system.text import one_line, readable

FOLDER = "folder"
FEWEST_GROUPS = 3


def with_groups(source: PhotoSource, group_by: str) -> PhotoSource:
    """Returns a source whose photos have the groups that a setting asks for.

    Args:
        source: the photos.
        group_by: "folder", or a regular expression.

    Raises:
        UserError: when it is no regular expression, or tells no photos apart.
    """
    entries = list(source.entries())
    if group_by == FOLDER:
        named = {entry.name: _folder(entry, source.labels) for entry in entries}
    else:
        pattern = _pattern(group_by)
        named = {entry.name: _match(pattern, entry.name) for entry in entries}
    groups = {name: group for name, group in named.items() if group}
    if not groups:
        example = readable(entries[0].name) if entries else "none"
        if group_by == FOLDER:
            raise UserError(
                "`group_by='folder'` found no photo in a folder below its class, e.g."
                f" {example}. Put the photos that belong together into one, or give a regular"
                " expression."
            )
        raise UserError(
            f"`group_by={group_by!r}` matches none of {len(entries):,} photos' names, e.g."
            f" {example}. Expected `folder`, a column of `labels`, or a regular expression."
        )
    if len(entries) == len(groups) and len({*groups.values()}) == 1:
        only = readable(next(iter(groups.values())))
        raise UserError(
            f"`group_by={group_by!r}` puts all photos into one group, {only!r}, so none is left for"
            " a test. Expected at least three groups."
        )
    alone = [entry.name for entry in entries if entry.name not in groups]
    grouped = AnnotatedSource(source, groups=groups, left_out=source.left_out)
    lines = group_warnings(source.labels, list(grouped.entries()), alone)
    return AnnotatedSource(
        source, groups=groups, warnings=(*source.warnings, *lines), left_out=source.left_out
    )


def group_warnings(
    labels: Sequence[str], entries: Sequence[Entry], alone: Sequence[str] = ()
) -> list[str]:
    """Returns what a person should know of photos in groups, one line each.

    Args:
        labels: class names.
        entries: the photos.
        alone: names of those that could have had a group and have none.
    """
    members: dict[str, list[Entry]] = collections.defaultdict(list)
    units: dict[int, set[str]] = collections.defaultdict(set)
    for entry in entries:
        if entry.group is not None:
            members[entry.group].append(entry)
        units[entry.label].add(f"photo {entry.name}" if entry.group is None else entry.group)
    mixed = sum(len({entry.label for entry in group}) > 1 for group in members.values())
    parted = [
        name for name, group in members.items() if len({entry.fixed_split for entry in group}) > 1
    ]
    photos = sum(map(len, members.values()))
    several = f", {mixed:,} of them with photos of several classes" if mixed else ""
    lines = [
        f"{_count(photos, 'photo')} in {_count(len(members), 'group')}{several}: the photos of a"
        " group stay together in the split."
    ]
    if alone:
        verb = "belongs" if len(alone) == 1 else "belong"
        alones = "stands alone" if len(alone) == 1 else "stand alone"
        lines.append(
            f"{_count(len(alone), 'photo')} {verb} to no group and {alones}, e.g."
            f" {', '.join(map(readable, alone[:3]))}."
        )
    few = [
        f"{labels[label]} ({len(found)})"
        for label, found in sorted(units.items())
        if len(found) < FEWEST_GROUPS
    ]
    if few:
        lines.append(
            f"Fewer than {FEWEST_GROUPS} groups in {_some(few)}: there is not one each for"
            " training, validation and test, so these classes can't be measured in all of them."
        )
    if parted:
        lines.append(
            f"{_count(len(parted), 'group')} with photos in several of the given splits, e.g."
            f" {_some(parted, 3)}: all photos of such a group count as test photos if one of them"
            " is one, else as validation photos."
        )
    return lines


def _folder(entry: Entry, labels: Sequence[str]) -> str | None:
    folders = entry.name.split("/")[:-1]
    label = labels[entry.label]
    # Above the class there may be a folder of the split, or one around all classes.
    below = folders[folders.index(label) + 1 :] if label in folders else folders
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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _some(items: Sequence[str], most: int = 5) -> str:
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(map(readable, items[:most])) + more
