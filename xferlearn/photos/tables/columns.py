"""What the columns of a table are for: photos, labels, split and groups, by names and contents."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

from xferlearn.errors import UserError
from xferlearn.photos.grouping import FEWEST_GROUPS
from xferlearn.photos.several import label_text, labels_in
from xferlearn.photos.tables.column_words import is_fold, is_yes, no_label, role_of, split_of_values
from xferlearn.photos.tables.label_texts import how_many_labels, is_switch, labels_of_rows
from xferlearn.photos.tables.locating import PhotoFinder, sample
from xferlearn.photos.tables.reading import Table
from xferlearn.system.addresses import is_url
from xferlearn.system.text import readable

# Stands for no column.
NONE = "none"
ROLES = ("path", "label", "split", "group")
_MEANING = {
    "image": "the photos are",
    "path": "the photos are named",
    "label": "the classes are",
    "split": "the split is",
    "group": "what belongs together is",
}
_ASKED = {
    "path": "the names of the photos",
    "label": "the classes",
    "split": "the split",
    "group": "what photos belong to",
}
# Of the rows that are looked at.
_ENOUGH_HITS = 150
_OPTIONAL = ("split", "group")


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns a table's photos, labels, splits and groups are in.

    Attributes:
        path: names of files; None where the photos are in the table.
        label: classes; several columns where each class has one of its own.
        split: None without.
        group: None without.
        may_split: False where the table's split is not wanted.
        several: whether photos may have several labels.
        notes: what was taken for what, one line each.
    """

    path: str | None
    label: tuple[str, ...]
    split: str | None = None
    group: str | None = None
    may_split: bool = True
    several: bool = False
    notes: tuple[str, ...] = ()


def find_columns(
    table: Table,
    given: Mapping[str, str | None],
    finder: PhotoFinder,
    picture: str | None = None,
    multi_label: bool | None = None,
) -> Columns:
    """Returns what a table's columns are for.

    Args:
        table: the table.
        given: column by role, None where it is to be found. "group" may be missing, and is not
            needed then.
        finder: finds photos by their names.
        picture: the column that holds the photos; None where one names their files.
        multi_label: whether photos may have several labels; None where the table is to tell.

    Raises:
        UserError: when there is no column for the photos or the labels, or more than one that may
            be right; it names them and the setting that decides.
    """
    chosen = {
        role: table.check_column(f"{role}_column", name)
        for role, name in given.items()
        if role in ROLES and name is not None and not (name == NONE and role in _OPTIONAL)
        if role != "label"
    }
    search = _Search(table, chosen, labelling_columns(table, given.get("label")))
    if "path" in chosen:
        search.hits(chosen["path"], finder)
    elif picture is None:
        chosen["path"] = search.path(finder)
    may_split = given.get("split") != NONE
    if "split" not in chosen and may_split and (split := search.split()) is not None:
        chosen["split"] = split
    labels = search.labels(multi_label)
    if "group" in given and given["group"] is None:
        group = search.group(labels)
        if group is not None:
            chosen["group"] = group
    if "group" in given:
        search.say_folds()
    taken = {role: (name,) for role, name in chosen.items()} | {"label": labels}
    if picture is not None:
        taken["image"] = (picture,)
    found = {role: names for role, names in taken.items() if given.get(role) is None}
    return Columns(
        chosen.get("path"),
        labels,
        chosen.get("split"),
        chosen.get("group"),
        may_split,
        search.several,
        (*_said(table, found, guessed=search.guessed), *search.notes),
    )


def labelling_columns(table: Table, given: str | None) -> tuple[str, ...]:
    """Returns the columns that a setting names: one, or several with commas between them."""
    names = [] if given is None else [given]
    if given is not None and given not in table.names and "," in given:
        names = [name.strip() for name in given.split(",")]
    return tuple(table.check_column("label_column", name) for name in names)


def _said(table: Table, found: Mapping[str, Sequence[str]], *, guessed: bool) -> tuple[str, ...]:
    if not found:
        return ()
    said = []
    for role in (role for role in _MEANING if role in found):
        names = found[role]
        shown = " ".join(filter(None, ("column" if len(names) == 1 else "columns", _listed(names))))
        guess = ", a guess by its values" if role == "label" and guessed else ""
        said.append(f"{_MEANING[role]} in {shown}{guess}")
    settings = [f"`{role}_column`" for role in _MEANING if role in found]
    ways = " or ".join(filter(None, [", ".join(settings[:-1]), settings[-1]]))
    return (
        f"{table.name}: {', '.join(said)}. Columns were found by names and values; where that is"
        f" wrong, give {ways}.",
    )


class _Search:
    """A search for columns, each of which has one role at most."""

    def __init__(self, table: Table, chosen: dict[str, str], labels: tuple[str, ...]) -> None:
        self.table, self.chosen, self.given_labels = table, chosen, labels
        self.notes: list[str] = []
        self.guessed = False
        self.several = False

    def _left(self) -> list[str]:
        taken = {*self.chosen.values(), *self.given_labels}
        return [name for name in self.table.names if name not in taken]

    def _distinct(self, name: str) -> list[str]:
        if name in self.table.lists:
            return list(dict.fromkeys(map(label_text, self.table.listed(name))))
        return list(dict.fromkeys(text for text in self.table.texts(name) if text))

    def hits(self, name: str, finder: PhotoFinder) -> dict[int, str]:
        """Returns the photos that some of a column's values lead to, by row."""
        some = sample([(row, text) for row, text in enumerate(self.table.texts(name)) if text])

        def found() -> dict[int, str]:
            return {row: path for row, text in some if (path := finder.any_path(text))}

        first = found()
        if first or finder.prefix:
            return first
        finder.learn_prefix(text for _, text in some)
        return found() if finder.prefix else first

    def path(self, finder: PhotoFinder) -> str:
        """Returns the column that names photos."""
        left = self._left()
        named = [name for name in left if role_of(name) == "path"]
        hits = {name: self.hits(name, finder) for name in named}
        most = max(map(len, hits.values()), default=0)
        # A name that fits and photos that are there leave little to look for.
        if most < _ENOUGH_HITS and most < self.table.count:
            hits |= {name: self.hits(name, finder) for name in left if name not in hits}
            most = max(map(len, hits.values()), default=0)
        if not most:
            raise _no_photos(self.table, finder.root)
        near = [name for name, found in hits.items() if len(found) > most / 2]
        best = max(near, key=lambda name: (role_of(name) == "path", len(hits[name])))
        named = [name for name in near if role_of(name) == "path"]
        rivals = [
            name
            for name in (named or near)
            if any(path != hits[best].get(row, path) for row, path in hits[name].items())
        ]
        if rivals:
            raise self._ask("path", [best, *rivals])
        return best

    def split(self) -> str | None:
        """Returns the column that says which photos are for what; None without."""
        found = []
        for name in self._left():
            values = self._distinct(name)
            words = split_of_values(name, values)
            missing = [value for value in values if words.get(value) is None]
            if not missing and len(set(words.values())) > 1:
                found.append(name)
            elif role_of(name) == "split" and len(values) == 1 and not missing:
                self.notes.append(
                    f"Column {name!r} of {self.table.name} is {values[0]!r} in all rows, so it"
                    " splits nothing."
                )
            elif role_of(name) == "split" and words and len(missing) < len(values):
                raise bad_split(self.table.name, name, missing)
        named = [name for name in found if role_of(name) == "split"]
        if len(named or found) > 1:
            raise self._ask("split", named or found)
        return next(iter(named or found), None)

    def labels(self, multi_label: bool | None) -> tuple[str, ...]:
        """Returns the column, or the columns, that have the classes; sets `several`."""
        labels = self.given_labels or self._labels(multi_label)
        self.several, notes = how_many_labels(self.table, labels, multi_label)
        self.notes += notes
        return labels

    def _labels(self, multi_label: bool | None) -> tuple[str, ...]:
        left = [name for name in self._left() if role_of(name) not in ("split", "group", "other")]
        named = self._one_of_each([name for name in left if role_of(name) == "label"])
        if len(named) > 1:
            named = [name for name in named if self._plausible(name)] or named
        if len(named) > 1:
            raise self._ask("label", named)
        if named:
            return tuple(named)
        lists = [name for name in self.table.lists if role_of(name) == "label"]
        if len(lists) > 1:
            raise self._ask("label", lists)
        if lists:
            return tuple(lists)
        nested = [name for name in self.table.nested if role_of(name) == "label"]
        if nested:
            raise UserError(
                f"Column {nested[0]!r} of {self.table.name} holds objects. Expected a label, or a"
                " list of them, per photo."
            )
        switches = [name for name in left if is_switch(self._distinct(name))]
        rows = list(zip(*(self.table.texts(name) for name in switches), strict=True))
        ones = [sum(map(is_yes, row)) for row in rows]
        if len(switches) > 1 and (set(ones) == {1} or multi_label):
            return tuple(switches)
        plausible = self._one_of_each([name for name in left if self._plausible(name)])
        if len(switches) > 2 and set(plausible) <= set(switches):
            return tuple(switches)
        if len(plausible) > 1:
            raise self._ask("label", plausible)
        if not plausible:
            raise UserError(
                f"No column of {self.table.name} looks like classes. {self.table.has_columns()}"
                " Give `label_column`."
            )
        self.guessed = True
        return tuple(plausible)

    def group(self, labels: Sequence[str]) -> str | None:
        """Returns the column whose values name what photos belong to; None without."""
        found = []
        found_labels = labels_of_rows(self.table, labels, several=self.several)
        classes = [
            labels_in(text or "") if self.several else (text,) if text else ()
            for text in found_labels
        ]
        for name in self._left():
            if role_of(name) != "group" or name in labels:
                continue
            texts = self.table.texts(name)
            values = {text for text in texts if text}
            if len(values) >= sum(text is not None for text in texts):
                continue
            pairs = {
                (one, text) for row, text in zip(classes, texts, strict=True) for one in row if text
            }
            fewest = min(collections.Counter(one for one, _ in pairs).values(), default=0)
            parted = self._parted(texts)
            if fewest >= FEWEST_GROUPS and not parted:
                found.append(name)
                continue
            why = f"a class has only {fewest} of its values"
            if parted:
                why = f"the given split parts {parted:,} of its {len(values):,} values"
            self.notes.append(
                f"Column {name!r} of {self.table.name} may say which photos belong together, but"
                f" {why}. It is not used; `group_column={name!r}` uses it."
            )
        if len(found) > 1:
            # The wider group, such as the patient of several lesions, keeps the narrower together.
            widest = min(found, key=lambda name: len(self._distinct(name)))
            others = [name for name in found if name != widest and not self._within(name, widest)]
            if others:
                raise self._ask("group", [widest, *others])
            return widest
        return found[0] if found else None

    def say_folds(self) -> None:
        """Says which columns have folds, of which none is for the test more than the others."""
        for name in self._left():
            if is_fold(name):
                self.notes.append(
                    f"Column {name!r} of {self.table.name} is not used: it does not say which fold"
                    f" is for what. `group_column={name!r}` keeps each fold in one split;"
                    " `split_column` names a column of train, validation and test."
                )

    def _parted(self, groups: Sequence[str | None]) -> int:
        """Returns how many groups have photos in several of the given splits."""
        if "split" not in self.chosen:
            return 0
        splits = self.table.texts(self.chosen["split"])
        pairs = {(one, split) for one, split in zip(groups, splits, strict=True) if one}
        return sum(count > 1 for count in collections.Counter(one for one, _ in pairs).values())

    def _within(self, narrow: str, wide: str) -> bool:
        pairs = set(zip(self.table.texts(narrow), self.table.texts(wide), strict=True))
        return len(pairs) == len({one for one, _ in pairs})

    def _one_of_each(self, names: list[str]) -> list[str]:
        """Returns columns without those that say the same in other words, such as numbers."""
        kept: list[str] = []
        for name in sorted(names, key=self._are_numbers):
            if not any(self._within(name, one) and self._within(one, name) for one in kept):
                kept.append(name)
        return [name for name in names if name in kept]

    def _are_numbers(self, name: str) -> bool:
        return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in self._distinct(name))

    def _plausible(self, name: str) -> bool:
        values = {text for text in self.table.texts(name) if not no_label(text)}
        return 2 <= len(values) <= max(2, self.table.count // 3)

    def _ask(self, role: str, names: Sequence[str]) -> UserError:
        shown = []
        for name in names[:6]:
            values = self._distinct(name)
            some = ", ".join(readable(value, 30) for value in values[:3])
            more = ", ..." if len(values) > 3 else ""
            shown.append(
                f"{name!r} ({len(values):,} value{'' if len(values) == 1 else 's'}: {some}{more})"
            )
        none = f", or `{role}_column={NONE!r}` for none of them" if role in _OPTIONAL else ""
        if role == "label":
            none = ", or several columns of 0 and 1 with commas between them"
        return UserError(
            f"Several columns of {self.table.name} may be {_ASKED[role]}: {'; '.join(shown)}."
            f" Choose one with `{role}_column={names[0]!r}`{none}."
        )


def bad_split(table: str, name: str, values: Sequence[str]) -> UserError:
    """Returns the error of a split column with other values than splits."""
    return UserError(
        f"Column {name!r} of {table} has {_listed(values)}. Expected train, validation or test."
        f" Rename or remove these rows, or use no column with `split_column={NONE!r}`."
    )


def _no_photos(table: Table, image_dir: str) -> UserError:
    names = sorted(table.names, key=lambda name: role_of(name) != "path")
    first = names[0]
    value = next((text for text in table.texts(first) if text), "")
    if is_url(value):
        return UserError(
            f"Column {first!r} of {table.name} has URLs, such as {readable(value, 100)}. Photos are"
            " not downloaded: download them, and give their folder as `image_dir`."
        )
    place = f"below {image_dir}" if image_dir else "relative to it, or at an absolute path"
    way = "Give `path_column`" if image_dir else "Give `image_dir`, the folder of the photos"
    return UserError(
        f"No column of {table.name} names photos {place}. For example, column {first!r} has"
        f" {readable(value, 100)!r}, which is not found. {table.has_columns()} {way}."
    )


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(readable(name, 60)) for name in names[:most]) + more
