"""A table of labels and the photos that it names -> a source of photos."""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.photos.annotated import AnnotatedSource
from xferlearn.photos.arrow_photos import ArrowPhotos, photo_names
from xferlearn.photos.columns import (
    SPLIT_WORDS,
    Columns,
    bad_split,
    find_columns,
    no_label,
    split_of_values,
)
from xferlearn.photos.files import FileSource, photos_below
from xferlearn.photos.grouping import group_warnings
from xferlearn.photos.locating import NotFound, PhotoFinder
from xferlearn.photos.manifest import SPLITS, TEST, TRAIN, VALIDATION, BadPhoto
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.photos.splitting import FEWEST_PHOTOS
from xferlearn.photos.tables import Table, normal
from xferlearn.system.text import readable

_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """A row that is used: where its photo is, and what it says of it."""

    photo: str | int
    label: str
    split: str | None
    group: str | None


def open_table(
    table: Table,
    given: Mapping[str, str | None],
    finder: PhotoFinder,
    labels: tuple[str, ...] | None = None,
) -> PhotoSource:
    """Returns the photos of a table with their labels, and the splits and groups that it tells.

    Args:
        table: the table.
        given: column by role: "path", "label", and "image" for one that holds the photos; "split"
            and "group" where they matter. None for those that are to be found.
        finder: finds photos by their names.
        labels: the classes of a model, in its order; None to take those that the table has.

    Raises:
        UserError: when a column is missing or several may be right, no photo is found, or there
            are not two classes with three photos each.
    """
    picture = picture_column(table, given)
    columns = find_columns(table, given, finder, picture)
    join = _Join(table, columns, picture, finder)
    rows = join.rows()
    if labels is None:
        _check_counts(table, collections.Counter(row.label for row in rows))
        labels = tuple(sorted({row.label for row in rows}))
    else:
        _check_known(table, rows, labels)
    number = {label: i for i, label in enumerate(labels)}
    names = join.names(rows)
    source: PhotoSource
    if picture is None:
        files = tuple((str(row.photo), number[row.label]) for row in rows)
        source = FileSource(labels, files, join.root(rows))
    else:
        cells = (
            (int(row.photo), name, number[row.label]) for row, name in zip(rows, names, strict=True)
        )
        source = ArrowPhotos(labels, table, picture, tuple(cells))
    splits = {name: row.split for row, name in zip(rows, names, strict=True) if row.split}
    groups = {name: row.group for row, name in zip(rows, names, strict=True) if row.group}
    left_out = tuple(
        BadPhoto(name, number[label], why) for name, label, why in join.left_out if label in number
    )
    warnings = [*table.notes, *columns.notes, *join.warnings(rows)]
    if columns.group is not None:
        entries = [
            Entry(name, number[row.label], bytes, fixed_split=row.split, group=row.group)
            for row, name in zip(rows, names, strict=True)
        ]
        alone = [entry.name for entry in entries if entry.group is None]
        warnings += group_warnings(labels, entries, alone)
    return AnnotatedSource(source, splits, groups, tuple(warnings), left_out)


class _Join:
    """The rows of a table beside the photos that they name."""

    def __init__(
        self, table: Table, columns: Columns, picture: str | None, finder: PhotoFinder
    ) -> None:
        self.table, self.columns, self.picture, self.finder = table, columns, picture, finder
        # Name, label and reason of each row whose photo can't be used.
        self.left_out: list[tuple[str, str, str]] = []
        self._named: set[str] = set()
        self._unlabelled: collections.Counter[str] = collections.Counter()
        self._unlabelled_names: list[str] = []
        self._copies: list[str] = []
        self._notes: list[str] = []

    def rows(self) -> list[_Row]:
        """Returns the rows that are used, each photo once, in an order of their own."""
        found: dict[str | int, _Row] = {}
        others: dict[str | int, list[str]] = {}
        photos = self._photos()
        texts = zip(photos, self._labels(), self._splits(), self._groups(), strict=True)
        for (name, photo, problem), label, split, group in texts:
            if isinstance(photo, str):
                self._named.add(photo)
            if label is None:
                self._unlabelled_names.append(name)
            elif photo is None:
                self.left_out.append((name, label, problem))
            elif photo not in found:
                found[photo] = _Row(photo, label, split, group)
            elif found[photo].label == label:
                self._copies.append(name)
            else:
                others.setdefault(photo, [found[photo].label]).append(label)
        self._leave_out_conflicts(found, others)
        if not found:
            raise self._nothing_left()
        if self.picture is not None:
            return list(found.values())
        return sorted(found.values(), key=lambda row: (row.label, row.photo))

    def _photos(self) -> Iterable[tuple[str, str | int | None, str]]:
        """Yields name, place and problem of each row's photo."""
        if self.picture is not None:
            for row, name in enumerate(photo_names(self.table, self.picture)):
                yield name, row, ""
            return
        for row, text in enumerate(self.table.texts(self.columns.path or ""), start=1):
            if text is None:
                yield f"row {row}", None, "has no file name"
                continue
            try:
                yield text, self.finder.find(text), ""
            except NotFound as problem:
                yield text, None, str(problem)

    def _labels(self) -> Iterable[str | None]:
        names = self.columns.label
        if len(names) > 1:
            rows = zip(*(self.table.texts(name) for name in names), strict=True)
            yield from (
                next(name for name, text in zip(names, row, strict=True) if text in ("1", "true"))
                for row in rows
            )
            return
        texts = self.table.texts(names[0])
        lower = {text.lower() for text in texts if not no_label(text) and text}
        for text in texts:
            if text is None or no_label(text):
                self._unlabelled[text or "empty"] += 1
                yield None
            else:
                yield text.lower() if lower <= {"true", "false"} else normal(text)

    def _splits(self) -> Iterable[str | None]:
        name = self.columns.split
        if name is None:
            yield from self._splits_of_files()
            return
        texts = self.table.texts(name)
        meant = split_of_values(name, {text for text in texts if text})
        wrong = [value for value, split in meant.items() if split is None]
        if wrong:
            raise bad_split(self.table.name, name, sorted(wrong))
        # The photos for training share what is missing, such as validation photos.
        yield from (
            None if meant.get(text or "") == TRAIN else meant.get(text or "") for text in texts
        )

    def _groups(self) -> Iterable[str | None]:
        if self.columns.group is None:
            return [None] * self.table.count
        return [text and normal(text) for text in self.table.texts(self.columns.group)]

    def _splits_of_files(self) -> Iterable[str | None]:
        """Returns what the names of several files say, such as test-00000-of-00001.parquet."""
        if len(self.table.parts) == 1:
            return [None] * self.table.count
        origins = [os.path.relpath(path, self.table.folder) for path in self.table.origins()]
        meant = {path: _split_of_file(path) for path in dict.fromkeys(origins)}
        if len(set(meant.values())) < 2 or None in meant.values():
            return [None] * self.table.count
        shown = ", ".join(dict.fromkeys(str(split) for split in meant.values()))
        self._notes.append(f"{self.table.name}: the names of its files say the split: {shown}.")
        return [None if meant[path] == TRAIN else meant[path] for path in origins]

    def _leave_out_conflicts(
        self, found: dict[str | int, _Row], others: Mapping[str | int, list[str]]
    ) -> None:
        if len(others) > len(found) / 2:
            photo, labels = next(iter(others.items()))
            raise UserError(
                f"{len(others):,} of {len(found):,} photos of {self.table.name} have several"
                f" labels, such as {readable(str(photo))}: {_some(labels)}. Only one class per"
                " photo is possible."
            )
        for photo, labels in others.items():
            several = ", ".join(dict.fromkeys(labels))
            self.left_out.append(
                (self._name(str(photo)), labels[0], f"has rows with different labels: {several}")
            )
            del found[photo]

    def _nothing_left(self) -> UserError:
        table = self.table
        if not self.left_out:
            shown = _some([readable(text) for text in self._unlabelled])
            return UserError(f"No row of {table.name} has a label ({shown}).")
        name, _, problem = self.left_out[0]
        return UserError(
            f"None of {table.count:,} rows of {table.name} leads to a photo"
            f" {self._place()}, e.g. {readable(name)}: {problem}. Give the right `image_dir`, or"
            " another `path_column`."
        )

    def _place(self) -> str:
        return f"below {self.finder.root}" if self.finder.root else "beside it"

    def root(self, rows: Sequence[_Row]) -> str:
        """Returns the folder that the photos' names are relative to; "" for names as they are."""
        if self.finder.root:
            return self.finder.root
        return "" if all(os.path.isabs(str(row.photo)) for row in rows) else self.table.folder

    def _name(self, photo: str, root: str | None = None) -> str:
        root = self.finder.root if root is None else root
        if not root:
            return photo
        # relpath takes seconds for a hundred thousand.
        start = root.rstrip("/") + "/"
        rest = photo[len(start) :] if photo.startswith(start) else os.path.relpath(photo, root)
        return rest.replace(os.sep, "/")

    def names(self, rows: Sequence[_Row]) -> list[str]:
        """Returns the names of the photos, as the source has them."""
        if self.picture is not None:
            names = photo_names(self.table, self.picture)
            return [names[int(row.photo)] for row in rows]
        root = self.root(rows)
        return [self._name(str(row.photo), root) for row in rows]

    def warnings(self, rows: Sequence[_Row]) -> list[str]:
        """Returns what was left out, and what was taken for what, one line each."""
        name, lines = self.table.name, list(self._notes)
        if self.finder.prefix:
            lines.append(
                f"{name}: {self.finder.prefix!r} at the beginning of names stands for"
                f" {self.finder.root}; it is not on this machine."
            )
        if self.columns.split is not None or any(row.split for row in rows):
            counts = collections.Counter(row.split or TRAIN for row in rows)
            told = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
            missing = [split for split in (VALIDATION, TEST) if not counts[split]]
            more = f"; {missing[0]} photos are taken from those for training" if missing else ""
            lines.append(f"{name} says the split: {told}{more}.")
        reasons: dict[str, list[str]] = collections.defaultdict(list)
        for photo, _, problem in self.left_out:
            reasons[re.sub(r"\d+ photos have this name.*|(labels): .*", r"\1", problem)].append(
                photo
            )
        for problem, photos in reasons.items():
            verb = _LEFT_OUT.get(problem, (problem, problem))[len(photos) > 1]
            lines.append(f"{name}: {_count(len(photos), 'photo')} {verb}: {_some(photos)}.")
        if self._unlabelled:
            count = sum(self._unlabelled.values())
            kinds = _some(list(self._unlabelled))
            some = _some(self._unlabelled_names, 3)
            lines.append(
                f"{name}: {_count(count, 'row')} without a label ({kinds})"
                f" {'is' if count == 1 else 'are'} left out, e.g. {some}."
            )
        if self._copies:
            lines.append(
                f"{name}: {_count(len(self._copies), 'row')}"
                f" {'repeats' if len(self._copies) == 1 else 'repeat'} another one:"
                f" {_some(list(dict.fromkeys(self._copies)))}."
            )
        beside = self._without_row(rows)
        if beside:
            lines.append(
                f"{name}: {_count(len(beside), 'photo')} {'has' if len(beside) == 1 else 'have'} no"
                f" row and {'is' if len(beside) == 1 else 'are'} not used: {_some(beside)}."
            )
        folded: dict[str, set[str]] = collections.defaultdict(set)
        for row in rows:
            folded[" ".join(row.label.casefold().split())].add(row.label)
        alike = [" = ".join(sorted(same)) for same in folded.values() if len(same) > 1]
        if alike:
            lines.append(
                f"{name}: classes that differ only in case or blanks count as different ones:"
                f" {_some(alike)}."
            )
        return lines

    def _without_row(self, rows: Sequence[_Row]) -> list[str]:
        """Returns the names of photos that lie where the others do, and are in no row."""
        if self.picture is not None:
            return []
        listed, root = self.finder.photos, self.root(rows)
        if not self.finder.root and root:
            # Only the folders that the table names: it may lie beside thousands of others.
            common = os.path.commonpath({os.path.dirname(str(row.photo)) or "." for row in rows})
            within = os.path.abspath(common).startswith(os.path.abspath(root))
            listed = photos_below(Path(common)) if within else []
        return [self._name(path, root) for path in listed if path not in self._named]


# By the problem: what is said of one photo, and of several.
_LEFT_OUT = {
    "not found": ("is not found", "are not found"),
    "": ("has a name that several files have", "have names that several files have"),
    "is a URL; download the photo": (
        "is a URL, which is not downloaded", "are URLs, which are not downloaded"
    ),
    "has no file name": ("has no file name", "have no file name"),
    "has rows with different labels": (
        "has rows with different labels and is left out",
        "have rows with different labels and are left out",
    ),
}  # fmt: skip


def picture_column(table: Table, given: Mapping[str, str | None]) -> str | None:
    """Returns the column that holds the photos; None where columns name their files."""
    name = given.get("image")
    if name is not None:
        return table.check_column("image_column", name, table.pictures)
    if given.get("path") is not None or not table.pictures:
        return None
    if len(table.pictures) > 1:
        usual = [name for name in table.pictures if name.lower() in ("image", "img", "photo")]
        if len(usual) != 1:
            shown = ", ".join(map(repr, table.pictures))
            raise UserError(
                f"Several columns of {table.name} may hold the photos: {shown}. Choose one with"
                f" `image_column={table.pictures[0]!r}`."
            )
        return usual[0]
    return table.pictures[0]


def _split_of_file(path: str) -> str | None:
    words = [*re.split(r"[-_.]", os.path.basename(path))[:1], *path.split(os.sep)[:-1]]
    return next((SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS), None)


def _check_counts(table: Table, counts: Mapping[str, int]) -> None:
    if len(counts) < 2:
        raise UserError(
            f"Expected at least two classes. {table.name} has {len(counts)}: {_some(list(counts))}."
            " If these are not the classes, give `label_column`."
        )
    few = [f"{label} ({count})" for label, count in sorted(counts.items()) if count < FEWEST_PHOTOS]
    if few:
        raise UserError(
            f"Expected at least {FEWEST_PHOTOS} photos per class: one each for training, validation"
            f" and test. {table.name} has fewer in {len(few):,} of {len(counts):,} classes:"
            f" {_some(few)}. Remove their rows, or join classes; if these are not the classes, give"
            " `label_column`."
        )
    for label in counts:
        _check_label(table, label)


def _check_label(table: Table, label: str) -> None:
    try:
        label.encode("utf-8")
        plain = label.isprintable()
    except UnicodeEncodeError:
        plain = False
    if not plain:
        raise UserError(
            f"Label {label!r} of {table.name} has a line break or another sign that can't be"
            " printed. labels.txt holds one label per line: rename it."
        )


def _check_known(table: Table, rows: Iterable[_Row], labels: Sequence[str]) -> None:
    unknown = collections.Counter(row.label for row in rows if row.label not in labels)
    if unknown:
        raise UserError(
            f"The model has no class {next(iter(unknown))!r}, a label of"
            f" {_count(next(iter(unknown.values())), 'photo')} in {table.name}. Its classes are"
            f" {', '.join(labels)}."
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _some(items: Sequence[str], most: int = _SHOWN) -> str:
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(map(readable, items[:most])) + more
