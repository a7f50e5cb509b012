"""A table of labels and the photos that it names -> a source of photos."""

import collections
from collections.abc import Mapping, Sequence

from xferlearn.errors import UserError
from xferlearn.photos.folders.columns import Coded, Files
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.folders.names import (
    case_warnings,
    check_name,
    class_label,
    first_names,
    match_labels,
)
from xferlearn.photos.grouping import Groupable, Members, group_warnings
from xferlearn.photos.photo import TRAIN, BadPhoto
from xferlearn.photos.several import classes_in, labels_in
from xferlearn.photos.split_names import part_to_measure
from xferlearn.photos.splitting import FEWEST_PHOTOS, WHAT_FOR
from xferlearn.photos.tables.arrow_photos import ArrowPhotos, Cell
from xferlearn.photos.tables.columns import find_columns
from xferlearn.photos.tables.joining import Join, JoinedRow, LeftOut, left_out_notes, split_note
from xferlearn.photos.tables.locating import PhotoFinder
from xferlearn.photos.tables.reading import Table
from xferlearn.system.text import count, plural_of, readable

# A table may name millions of photos of which some are there. The warnings count them all;
# metadata.json, which has the list, must stay readable.
_MOST_LEFT_OUT = 10_000


def open_table(
    table: Table,
    given: Mapping[str, str | None],
    finder: PhotoFinder,
    labels: tuple[str, ...] | None = None,
    other_classes: str = "error",
    *,
    few: bool = False,
    split: str | None = None,
    multi_label: bool | None = None,
) -> Groupable:
    """Returns the photos of a table with their labels, and the splits and groups that it tells.

    Args:
        table: the table.
        given: column by role: "path", "label", "split", and "image" for one that holds the photos;
            "group" where that matters. None for those that are to be found.
        finder: finds photos by their names.
        labels: the classes of a model that is measured, in its order; None to take those that the
            table has.
        other_classes: what to do with photos of classes that are not among these; see
            `read_image_dir`.
        few: whether classes may have fewer photos, because corrections are still to come.
        split: where `labels` are given and the table says the split, the part that is measured; as
            in `read_image_dir`.
        multi_label: whether photos may have several labels; None where the table is to tell.

    Returns:
        The photos by class and name, or by row where the table holds them.

    Raises:
        UserError: when a column is missing or several may be right, no photo is found, or there
            are not two classes with three photos each, or where photos may have several labels one.
    """
    picture = picture_column(table, given)
    columns = find_columns(table, given, finder, picture, multi_label)
    join = Join(table, columns, picture, finder)
    warnings = [*table.notes, *columns.notes, *join.warnings]
    rows, unused = join.rows, join.left_out
    lost = collections.Counter(one.label for one in unused)
    chosen = ""
    if labels is None:
        known = tuple(sorted({row.label for row in rows}))
        _check_classes(table, join, lost, few, several=columns.several)
        index: dict[str, int | None] = {label: i for i, label in enumerate(known)}
        if any(row.split for row in rows):
            warnings.append(split_note(table.name, [row.split for row in rows]))
    else:
        rows, unused, chosen, measured = _to_measure(table, rows, unused, split)
        warnings += measured
        lost = collections.Counter(one.label for one in unused)
        counts = collections.Counter(row.label for row in rows)
        match = _match_label_sets if columns.several else match_labels
        index, known, others = match(counts, labels, other_classes, table.name, what="label")
        warnings += others
        skipped = None if other_classes == "skip" else -1
        places = {class_label(label): i for i, label in enumerate(known)}
        index |= {label: places.get(label, skipped) for label in lost.keys() - counts.keys()}
    classes = known
    if columns.several:
        classes = classes_in(known)
    warnings += case_warnings(classes)
    cells = [
        Cell(row.photo, row.name, label, None if row.split == TRAIN else row.split, row.group)
        for row in rows
        if (label := index[row.label]) is not None
    ]
    if not cells:
        raise UserError(
            f"{table.name} has no photo of the model's classes, {first_names(labels or (), 12)}."
        )
    if columns.group is not None:
        members = Members.of((cell.name, cell.label, cell.split, cell.group) for cell in cells)
        warnings += group_warnings(known, members, multi_label=columns.several)
    # Photos of classes that a model does not have are left out on purpose.
    unused = [one for one in unused if index.get(one.label, -1) is not None]
    warnings += left_out_notes(table.name, unused)
    gone = lost.keys() - {row.label for row in rows}
    warnings += [
        f"Class {label!r} of {table.name} is lost: {count(lost[label], 'photo')}, of which none can"
        " be used."
        for label in sorted(gone)
        if index.get(label, -1) is not None
    ]
    left_out = tuple(
        BadPhoto(one.name, label, one.reason)
        if (label := index.get(one.label, -1)) is not None and label >= 0
        else BadPhoto(one.name, -1, f"{one.reason}; its label is {one.label!r}")
        for one in unused[:_MOST_LEFT_OUT]
    )
    if picture is not None:
        return ArrowPhotos(
            known,
            table,
            picture,
            tuple(cells),
            tuple(warnings),
            left_out,
            is_multi_label=columns.several,
            part=chosen,
        )
    return FileSource(
        known,
        Files.of((str(cell.photo), cell.label) for cell in cells),
        join.root,
        tuple(warnings),
        Coded.of(cell.split for cell in cells),
        Coded.of(cell.group for cell in cells),
        left_out,
        part=chosen,
        is_multi_label=columns.several,
        place=finder.place,
    )


def picture_column(table: Table, given: Mapping[str, str | None]) -> str | None:
    """Returns the column that holds the photos; None where columns name their files.

    Args:
        table: the table.
        given: as in `open_table`.

    Raises:
        UserError: when several columns may hold them.
    """
    name = given.get("image")
    if name is not None:
        return table.check_column("image_column", name, table.pictures)
    if given.get("path") is not None or not table.pictures:
        return None
    usual = [name for name in table.pictures if name.lower() in ("image", "img", "photo")]
    if len(table.pictures) > 1 and len(usual) != 1:
        raise UserError(
            f"Several columns of {table.name} may hold the photos:"
            f" {first_names(list(map(repr, table.pictures)))}. Choose one with"
            f" `image_column={table.pictures[0]!r}`."
        )
    return (usual or table.pictures)[0]


def _to_measure(
    table: Table, rows: list[JoinedRow], unused: list[LeftOut], split: str | None
) -> tuple[list[JoinedRow], list[LeftOut], str, list[str]]:
    """Returns the rows of the part of the split that is measured, which it is, and warnings."""
    found = {row.split for row in rows} | {one.split for one in unused}
    given = {split or TRAIN for split in found} if any(found) else set()
    part, told = part_to_measure(table.name, given, split)
    if not part:
        return rows, unused, "", []
    chosen = [row for row in rows if (row.split or TRAIN) == part]
    missing = [one for one in unused if (one.split or TRAIN) == part]
    if not chosen:
        raise UserError(
            f"None of {count(len(missing), f'{part} photo')} of {table.name} can be used, e.g."
            f" {readable(missing[0].name)}: {missing[0].reason}. Give the right `image_dir`, or"
            " measure all photos with `split='all'`."
        )
    return chosen, missing, part, [told] if told else []


def _match_label_sets(
    found: Mapping[str, int],
    labels: Sequence[str],
    other_classes: str,
    place: str,
    what: str,
) -> tuple[dict[str, int | None], tuple[str, ...], list[str]]:
    """Matches sets of labels with a model's classes, as `match_labels` does with single ones."""
    counts: collections.Counter[str] = collections.Counter()
    for text, number in found.items():
        counts.update(dict.fromkeys(labels_in(text), number))
    index, _, warnings = match_labels(counts, labels, other_classes, place, what=what)
    known = tuple(sorted(found))
    places: dict[str, int | None] = {text: place for place, text in enumerate(known)}
    for text in known:
        if any(index[one] is None for one in labels_in(text)):
            places[text] = None
    return places, known, warnings


def _check_classes(
    table: Table,
    join: Join,
    lost: Mapping[str, int],
    few_will_do: bool,
    *,
    several: bool,
) -> None:
    def classes_of(text: str) -> tuple[str, ...]:
        return labels_in(text) if several else (text,)

    rows = join.rows
    counts = collections.Counter(one for row in rows for one in classes_of(row.label))
    if several and not counts:
        raise UserError(
            f"No photo of {table.name} has a label. If these are not the labels, give"
            " `label_column`."
        )
    if len(counts) < 2 and not several:
        gone = [f"{label} ({number:,})" for label, number in lost.items() if label not in counts]
        more = f" No photo can be used of {first_names(gone)}." if gone else ""
        if join.unlabelled:
            none, show = count(join.unlabelled, "row"), plural_of(join.unlabelled, "shows", "show")
            more += f" If the {none} without a label {show} none of them, set `multi_label=True`."
        raise UserError(
            f"Expected at least two classes. {table.name} has {len(counts)}:"
            f" {first_names(list(counts))}.{more} If these are not the classes, give"
            " `label_column`."
        )
    few = [f"{label} ({found})" for label, found in sorted(counts.items()) if found < FEWEST_PHOTOS]
    if few and not few_will_do:
        raise UserError(
            f"Expected at least {FEWEST_PHOTOS} photos per class, {WHAT_FOR}."
            f" {table.name} has fewer in {len(few):,} of {len(counts):,} classes:"
            f" {first_names(few)}. Remove their rows, or join classes; if these are not the"
            " classes, give `label_column`."
        )
    for label in counts:
        check_name(label, "label", table.name)
    training = [row for row in rows if row.split in (TRAIN, None)]
    learned = {one for row in training for one in classes_of(row.label)}
    for label in counts:
        if label not in learned:
            raise UserError(
                f"Class {label!r} of {table.name} has no training photos, so it would not be"
                " learned. Give it some, or remove its rows."
            )
