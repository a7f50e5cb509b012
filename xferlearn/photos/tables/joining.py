"""Rows of a table -> photos with labels, splits and groups; what can't be used is counted."""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from xferlearn.errors import UserError
from xferlearn.photos.folders.names import class_label, first_names
from xferlearn.photos.folders.trees import photos_below
from xferlearn.photos.photo import TEST, TRAIN, VALIDATION
from xferlearn.photos.several import label_text, labels_in
from xferlearn.photos.split_names import split_summary, splits_of_names
from xferlearn.photos.tables.arrow_photos import photo_names
from xferlearn.photos.tables.column_words import split_of_values
from xferlearn.photos.tables.columns import Columns, bad_split
from xferlearn.photos.tables.label_texts import labels_of_rows
from xferlearn.photos.tables.locating import NotFound, PhotoFinder
from xferlearn.photos.tables.reading import Table
from xferlearn.system.places import is_bucket
from xferlearn.system.text import count, plural_of, readable

# By the kind of problem: what is said of one photo, and of several.
_LEFT_OUT = {
    "missing": ("is not found", "are not found"),
    "ambiguous": ("has a name that several files have", "have names that several files have"),
    "url": ("is a URL, which is not downloaded", "are URLs, which are not downloaded"),
    "unnamed": ("has no file name", "have no file name"),
    "labels": ("has rows with different labels", "have rows with different labels"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class JoinedRow:
    """A row whose photo is there.

    Attributes:
        photo: path of its file, or number of its row where the table holds it.
        name: below the photos' folder, as sources name it.
        label: the class.
        split: the split that the table has it in; None where it has none.
        group: what it belongs to; None for nothing.
    """

    photo: str | int
    name: str
    label: str
    split: str | None
    group: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class LeftOut:
    """A photo that can't be used, and why: the kind of problem, and in words."""

    name: str
    label: str
    split: str | None
    kind: str
    reason: str


class Join:
    """The rows of a table beside the photos that they name.

    Attributes:
        rows: those that are used, each photo once.
        left_out: the photos of those that are not.
        root: folder that the photos' names are relative to; "" for names as they are.
        unlabelled: how many rows have no label.
        warnings: which rows were passed over, and how names were read, one line each.
    """

    def __init__(
        self, table: Table, columns: Columns, picture: str | None, finder: PhotoFinder
    ) -> None:
        """Joins a table with its photos.

        Args:
            table: the table.
            columns: what its columns are for.
            picture: the column that holds the photos; None where one names their files.
            finder: finds photos by their names.

        Raises:
            UserError: when no row has a photo and a label, most photos have several labels, or a
                split has another name than splits have.
        """
        self._table, self._columns, self._picture, self._finder = table, columns, picture, finder
        self.left_out: list[LeftOut] = []
        self.unlabelled = 0
        self.warnings: list[str] = []
        self._named: set[str | int] = set()
        self.root = finder.root
        self.rows = self._joined()
        self.warnings += self._how_found()
        if picture is None:
            self.warnings += self._without_row()

    def _joined(self) -> list[JoinedRow]:
        found: dict[str | int, _Facts] = {}
        twice: dict[str | int, list[_Facts]] = {}
        others: dict[str | int, list[str]] = {}
        copies: list[str] = []
        unlabelled: list[str] = []
        texts = labels_of_rows(self._table, self._columns.label, several=self._columns.several)
        facts = zip(self._photos(), texts, self._splits(), self._groups(), strict=True)
        for (name, photo, problem), label, split, group in facts:
            if not problem:
                self._named.add(photo)
            if label is None:
                unlabelled.append(name)
            elif problem:
                self.left_out.append(LeftOut(name, label, split, *problem))
            elif photo not in found:
                found[photo] = _Facts(name, label, split, group)
            else:
                first = found[photo]
                twice.setdefault(photo, [first]).append(_Facts(name, label, split, group))
                if first.label == label:
                    copies.append(name)
                else:
                    others.setdefault(photo, [first.label]).append(label)
        for photo, rows in twice.items():
            found[photo] = _of_rows(rows)
        if self._columns.several:
            self._join_labels(found, others)
        self._check_conflicts(found, others)
        for photo, labels in others.items():
            name, label, split, _ = found.pop(photo)
            reason = f"has rows with different labels: {', '.join(dict.fromkeys(labels))}"
            self.left_out.append(LeftOut(name, label, split, "labels", reason))
        if not found:
            raise self._nothing_left(unlabelled)
        self.unlabelled = len(unlabelled)
        self._count_rows(unlabelled, "without a label", "left out")
        self._count_rows(copies, "of photos that have one already", "passed over")
        self._say_differences([rows for photo, rows in twice.items() if photo in found])
        if not self.root and not all(_is_whole(str(photo)) for photo in found):
            self.root = self._table.folder
        joined = [
            JoinedRow(photo, self._name(photo, name), label, split, group)
            for photo, (name, label, split, group) in found.items()
        ]
        if self._picture is not None:
            return joined
        # As the photos of folders are sorted: the order of rows must not matter.
        return sorted(joined, key=lambda row: (row.label, row.name))

    def _photos(self) -> Iterator[tuple[str, str | int, tuple[str, str] | tuple[()]]]:
        """Yields name, place and problem of each row's photo."""
        if self._picture is not None:
            for row, name in enumerate(photo_names(self._table, self._picture)):
                yield name, row, ()
            return
        texts = self._table.texts(self._columns.path or "")
        found = self._finder.find_all(filter(None, texts))
        for row, text in enumerate(texts, start=1):
            if text is None:
                yield f"row {row}", "", ("unnamed", "has no file name")
            elif isinstance(place := found[text], NotFound):
                yield text, "", (place.kind, str(place))
            else:
                yield text, place, ()

    def _join_labels(
        self, found: dict[str | int, "_Facts"], others: dict[str | int, list[str]]
    ) -> None:
        """Gives photos that have several rows the labels of all of them."""
        for photo, texts in others.items():
            labels = label_text(one for text in texts for one in labels_in(text))
            found[photo] = found[photo]._replace(label=labels)
        if others:
            have = plural_of(len(others), "has", "have")
            self.warnings.append(
                f"{self._table.name}: {count(len(others), 'photo')} {have} several rows, and the"
                " labels of all of them."
            )
        others.clear()

    def _splits(self) -> Iterable[str | None]:
        name = self._columns.split
        if name is None:
            return self._splits_of_files()
        texts = self._table.texts(name)
        meant = split_of_values(name, {text for text in texts if text})
        wrong = sorted(value for value, split in meant.items() if split is None)
        if wrong:
            raise bad_split(self._table.name, name, wrong)
        return [meant.get(text or "") for text in texts]

    def _splits_of_files(self) -> Iterable[str | None]:
        """Returns what the names of several files say, such as test-00000-of-00001.parquet."""
        nothing = [None] * self._table.count
        if len(self._table.parts) == 1 or not self._columns.may_split:
            return nothing
        origins = [os.path.relpath(path, self._table.folder) for path in self._table.origins()]
        meant = {path: _split_of_file(path) for path in dict.fromkeys(origins)}
        if None in meant.values() or len(set(meant.values())) == 1:
            return nothing
        return [meant[path] for path in origins]

    def _groups(self) -> Iterable[str | None]:
        if self._columns.group is None:
            return [None] * self._table.count
        return [text and class_label(text) for text in self._table.texts(self._columns.group)]

    def _name(self, photo: str | int, given: str) -> str:
        if isinstance(photo, int):
            return given
        if not self.root:
            return photo
        # relpath takes seconds for a hundred thousand.
        start = self.root.rstrip("/") + "/"
        inside = photo.startswith(start)
        if not inside and is_bucket(photo):
            return photo
        name = photo[len(start) :] if inside else os.path.relpath(photo, self.root)
        return name.replace(os.sep, "/")

    def _check_conflicts(self, found: Mapping[str | int, object], others: Mapping) -> None:
        if len(others) > len(found) / 2:
            photo, labels = next(iter(others.items()))
            raise UserError(
                f"{len(others):,} of {len(found):,} photos of {self._table.name} have several"
                f" labels, such as {readable(str(photo))}: {first_names(labels)}. Expected one"
                " class per photo; with `multi_label=True` they may have several."
            )

    def _nothing_left(self, unlabelled: Sequence[str]) -> UserError:
        name = self._table.name
        if not self.left_out:
            return UserError(f"No row of {name} has a label, e.g. that of {unlabelled[0]}.")
        first = self.left_out[0]
        place = f"below {self.root}" if self.root else "beside it or at absolute paths"
        return UserError(
            f"None of {self._table.count:,} rows of {name} leads to a photo {place}, e.g."
            f" {readable(first.name)}: {first.reason}. Give the right `image_dir`, or another"
            " `path_column`."
        )

    def _count_rows(self, names: Sequence[str], what: str, done: str) -> None:
        if names:
            are = plural_of(len(names), "is", "are")
            self.warnings.append(
                f"{self._table.name}: {count(len(names), 'row')} {what} {are} {done}:"
                f" {first_names(list(map(readable, names)), 3)}."
            )

    def _say_differences(self, photos: Sequence[Sequence["_Facts"]]) -> None:
        """Says which photos have rows that differ in the split or the group, and what is used."""
        ways = {
            "split": "its last split: test before validation before train",
            "group": "the first of its groups by name",
        }
        for what, way in ways.items():
            nothing = TRAIN if what == "split" else None
            said = []
            for rows in photos:
                values = {value for row in rows if (value := getattr(row, what) or nothing)}
                if len(values) > 1:
                    said.append(f"{readable(rows[0].name)} ({' and '.join(sorted(values))})")
            if said:
                have = plural_of(len(said), "has", "have")
                self.warnings.append(
                    f"{self._table.name}: {count(len(said), 'photo')} {have} rows with different"
                    f" {what}s: {first_names(said, 5)}. Each photo is used once, in {way}."
                )

    def _how_found(self) -> Iterator[str]:
        name, prefix = self._table.name, self._finder.prefix
        if prefix:
            yield (
                f"{name}: {prefix!r} at the beginning of names stands for {self.root}; there is no"
                " such folder on this machine."
            )
        by_end = self._finder.by_end
        if by_end:
            number = len(by_end)
            folders = {os.path.dirname(self._name(path, "")) for path in by_end.values()}
            bare = not any("/" in one or "\\" in one for one in by_end)
            end = "file name" if bare else "end of the path"
            yield (
                f"{name}: {count(number, 'photo')} {plural_of(number, 'was', 'were')} found by"
                f" {plural_of(number, 'its', 'their')} {end} alone, in folders below {self.root}:"
                f" {first_names(list(map(readable, sorted(folders))), 8)}."
            )

    def _without_row(self) -> Iterator[str]:
        """Yields how many photos lie where the others do, and are in no row."""
        listed = self._finder.photos
        if not self._finder.root and self.root:
            # Only the folders that the table names: it may lie beside thousands of others.
            common = os.path.commonpath(
                {
                    os.path.dirname(str(row.photo)) or "."
                    for row in self.rows
                    if not is_bucket(row.photo)
                }
            )
            inside = os.path.abspath(common).startswith(os.path.abspath(self.root))
            listed = [path for path, _ in photos_below(common).files] if inside else []
        beside = [self._name(path, "") for path in listed if path not in self._named]
        if beside:
            number = len(beside)
            yield (
                f"{self._table.name} has no row for {count(number, 'photo')}, which"
                f" {plural_of(number, 'is', 'are')} not used:"
                f" {first_names(list(map(readable, beside)), 5)}."
            )


class _Facts(NamedTuple):
    """What a row says of its photo."""

    name: str
    label: str
    split: str | None
    group: str | None


def _of_rows(rows: Sequence[_Facts]) -> _Facts:
    """Returns what several rows of a photo say; their order does not matter to split and group."""
    splits = {row.split for row in rows}
    groups = sorted(row.group for row in rows if row.group is not None)
    # What is tested must not be learned.
    split = next((one for one in (TEST, VALIDATION, TRAIN) if one in splits), None)
    return rows[0]._replace(split=split, group=groups[0] if groups else None)


def left_out_notes(name: str, photos: Iterable[LeftOut]) -> Iterator[str]:
    """Yields how many photos a table names that can't be used, one sentence per kind."""
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for one in photos:
        kinds[one.kind].append(readable(one.name))
    for kind, names in kinds.items():
        said = plural_of(len(names), *_LEFT_OUT[kind])
        yield f"{name}: {count(len(names), 'photo')} {said}: {first_names(names, 5)}."


def split_note(name: str, splits: Sequence[str | None]) -> str:
    """Returns how many photos a table has in each split, as a sentence."""
    counts = collections.Counter(split or TRAIN for split in splits)
    return f"{name} says the split, {split_summary(counts)}"


def _is_whole(path: str) -> bool:
    return os.path.isabs(path) or is_bucket(path)


def _split_of_file(path: str) -> str | None:
    words = [*re.split(r"[-_.]", os.path.basename(path))[:1], *path.split(os.sep)[:-1]]
    return next(iter(splits_of_names(words).values()), None)
