"""Photos in files: a folder of class folders, or files, folders and globs as a user names them."""

import collections
import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.photos.folders.columns import FilesBuilder
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.folders.layouts import ClassFolder, Layout, classes_hint, find_layout
from xferlearn.photos.folders.listed import read_list
from xferlearn.photos.folders.listing import Folder, PassedOver, list_folder, path_below
from xferlearn.photos.folders.names import (
    case_warnings,
    check_name,
    class_label,
    first_names,
    match_labels,
    same_class_error,
)
from xferlearn.photos.folders.objects import add_objects
from xferlearn.photos.folders.trees import add_photos, listed_folder
from xferlearn.photos.photo import SPLITS, TEST, TRAIN, VALIDATION
from xferlearn.photos.split_names import part_to_measure, split_summary
from xferlearn.photos.splitting import check_counts
from xferlearn.system.columns import bytes_of
from xferlearn.system.places import check_address, is_bucket
from xferlearn.system.text import count, plural_of


def read_image_dir(
    image_dir: str | Path,
    labels: tuple[str, ...] | None = None,
    *,
    layout: str = "auto",
    other_classes: str = "error",
    grouped: bool = False,
    few: bool = False,
    split: str | None = None,
) -> FileSource:
    """Lists a folder with one sub-folder of photos per class, or a split or groups of such folders.

    Reads no photo, but the first bytes of files whose ending does not tell that they are photos.
    System folders and hidden files are passed over; they and all other files are counted in the
    warnings.

    Args:
        image_dir: the folder.
        labels: the classes of a model that is measured, in its order; missing ones are no error.
            None takes every sub-folder with photos as a class, with at least three each.
        layout: what the folders are: "classes", "split" or "groups", with the classes inside;
            "auto" tells by structure, and asks where that admits several answers.
        other_classes: what to do with photos of classes that are not among `labels`: "error",
            "skip", or "count" as classes of their own behind them.
        grouped: whether the sub-folders of classes are groups, so that `layout="auto"` does not ask
            what they are where all classes hold the same.
        few: whether classes may have fewer photos, because corrections are still to come.
        split: where `labels` are given, the part of a split tree that is measured, or "all"; None
            for its test photos, or its validation photos where it has no test.

    Returns:
        The photos, classes in the order of their names, paths sorted.

    Raises:
        UserError: when there is no such folder, it does not hold classes with photos, or what its
            folders are is not certain.

    Example:
        >>> read_image_dir("flower_photos").labels
        ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
    """
    passed = PassedOver()
    top, root, place = listed_folder("`image_dir`", image_dir, passed)
    tree = find_layout(top, root, layout, labels or (), grouped=grouped)
    parts = sorted(tree.classes, key=lambda part: (class_label(part.name), part.path))
    _check_names(parts, root)
    warnings, chosen = [*tree.warnings], ""
    if labels is not None:
        given = {part.split or TRAIN for part in parts} if tree.splits else ()
        chosen, measured = part_to_measure(root, given, split)
        parts = [part for part in parts if not chosen or (part.split or TRAIN) == chosen]
        warnings += [measured] if measured else []
    counts: collections.Counter[str] = collections.Counter()
    for part in parts:
        counts[part.name] += part.folder.photo_count()
    if labels is None:
        hint = " ".join(("", *_leftover_warnings(tree), *passed.warnings(root)))
        hint += classes_hint(top, root)
        _check_classes(top, root, parts, counts, hint, few)
        known = tuple(dict.fromkeys(class_label(part.name) for part in parts))
        places = {label: number for number, label in enumerate(known)}
        index: dict[str, int | None] = {name: places[class_label(name)] for name in counts}
        warnings += _split_warnings(tree, parts, root)
    else:
        index, known, others = match_labels(
            counts, labels, other_classes, root, classes_hint(top, root)
        )
        warnings += others
        if not any(index[name] is not None for name in counts):
            raise UserError(
                f"Found no photos in {root}. Expected one sub-folder per class, named"
                f" {first_names(labels, 12)}.{classes_hint(top, root)}"
            )
    warnings += [*case_warnings(known), *_leftover_warnings(tree), *passed.warnings(root)]
    builder = FilesBuilder()
    for part in parts:
        label = index[part.name]
        if label is not None:
            runs = part.folder.runs(path_below(root, part.path))
            add_photos(builder, runs, label, part.split, part.group)
    files, splits, groups = builder.finish()
    return FileSource(known, files, root, tuple(warnings), splits, groups, part=chosen, place=place)


def _check_names(parts: Iterable[ClassFolder], root: str) -> None:
    first: dict[tuple[str, str | None, str | None], str] = {}
    for part in parts:
        check_name(part.name, "folder", root)
        # Another split may have the same class in the other form of Unicode.
        place = (class_label(part.name), part.split, part.group)
        other = first.setdefault(place, part.name)
        if other != part.name:
            raise same_class_error(other, part.name, root)


def _check_classes(
    top: Folder,
    root: str,
    parts: Sequence[ClassFolder],
    counts: Mapping[str, int],
    hint: str,
    few: bool,
) -> None:
    """Raises UserError where there are too few classes, or one can't be learned."""
    if not parts and top.photos:
        raise UserError(
            f"{root} holds photos but no sub-folders. Expected one sub-folder per class, e.g."
            f" {path_below(root, 'daisy')}."
        )
    by_label: collections.Counter[str] = collections.Counter()
    for name, number in counts.items():
        by_label[class_label(name)] += number
    if not few:
        check_counts(by_label, hint=hint)
    learned = {class_label(part.name) for part in parts if part.split in (TRAIN, None)}
    for part in parts:
        if class_label(part.name) not in learned:
            raise UserError(
                f"Class {part.name!r} is in {part.path}, but not among the training photos, so it"
                f" would not be learned. Add photos of it there, or remove it."
            )


def _split_warnings(tree: Layout, parts: Sequence[ClassFolder], root: str) -> list[str]:
    """Returns what a split is that was found, and which classes are not in all of it."""
    by_split: collections.Counter[str] = collections.Counter()
    labels: dict[str, set[str]] = {split: set() for split in SPLITS}
    for part in parts:
        split = part.split or TRAIN
        by_split[split] += part.folder.photo_count()
        labels[split].add(class_label(part.name))
    groups = list(dict.fromkeys(part.group for part in parts if part.group is not None))
    warnings = []
    if groups:
        warnings.append(
            f"The photos of each of {count(len(groups), 'group')} stay together in the split:"
            f" {first_names(groups)}."
        )
    if not tree.splits:
        return warnings
    warnings.append(f"{root} is split by its folders, {split_summary(by_split)}")
    for split in (VALIDATION, TEST):
        lacking = sorted(labels[TRAIN] - labels[split])
        if labels[split] and lacking:
            warnings.append(f"There are no {split} photos of {first_names(lacking)}.")
    return warnings


def _leftover_warnings(tree: Layout) -> list[str]:
    """Returns what was found among the folders of classes and is of no use."""
    warnings = []
    if tree.empty:
        number = len(tree.empty)
        warnings.append(
            f"{count(number, 'folder')} {plural_of(number, 'holds', 'hold')} no photos and"
            f" {plural_of(number, 'is', 'are')} passed over: {first_names(tree.empty)}."
        )
    if tree.unlabelled:
        number = sum(tree.unlabelled.values())
        places = [
            f"{amount:,} {'in ' + path if path else 'beside the class folders'}"
            for path, amount in tree.unlabelled.items()
        ]
        warnings.append(
            f"{count(number, 'photo')} {plural_of(number, 'lies', 'lie')} in no folder of a class"
            f" and {plural_of(number, 'is', 'are')} left out: {first_names(places)}."
        )
    return warnings


def read_files(patterns: Iterable[str]) -> FileSource:
    """Lists photos given as files, folders (all photos below), globs (`**` goes deep), and lists.

    A file that is named is listed whatever it is, also where it does not exist, so that it is
    reported among the others; what is passed over in folders is in the warnings.

    Args:
        patterns: paths and globs, relative to the current folder or absolute, or addresses in
            buckets; `@list.txt` for the files and folders that a list names, `-` for those of a
            list on stdin. In a list, the address of a folder ends with a slash.

    Returns:
        The photos without labels, each path once, in the order given.

    Raises:
        UserError: for a folder without photos, a glob that matches no photo, a list that can't be
            read, a bucket that can't be listed, or an address that is not supported.
    """
    builder = FilesBuilder()
    warnings: list[str] = []

    def add_file(path: str) -> int:
        name = os.path.basename(path)
        builder.add(path[: len(path) - len(name)], bytes_of(name), -1)
        return 1

    def add_below(folder: str) -> int:
        passed = PassedOver()
        top = list_folder(folder, passed)
        warnings.extend(passed.warnings(folder))
        return add_photos(builder, top.runs(folder))

    def add_folder(folder: str) -> None:
        # As `Path` writes it, without a slash at the end.
        if not add_below(str(Path(folder))):
            raise UserError(" ".join((f"Found no photos in folder {folder}.", *warnings)))

    def add_matches(pattern: str) -> None:
        matches = sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise UserError(f"Nothing matches {pattern}.")
        if not sum([add_below(one) if os.path.isdir(one) else add_file(one) for one in matches]):
            what = plural_of(len(matches), "folder", "folders")
            said = f"Found no photos in {what} {first_names(matches)}, which {pattern} matches."
            raise UserError(" ".join((said, *warnings)))

    for pattern in patterns:
        check_address("photos", pattern)
        listed = read_list(pattern)
        if listed is not None:
            for name in listed:
                check_address("photos", name)
                if is_bucket(name) and name.endswith("/"):
                    warnings += add_objects(builder, name)
                elif os.path.isdir(name):
                    add_folder(name)
                else:
                    add_file(name)
        elif is_bucket(pattern):
            warnings += add_objects(builder, pattern)
        elif os.path.isdir(pattern):
            add_folder(pattern)
        elif glob.has_magic(pattern) and not os.path.exists(pattern):
            add_matches(pattern)
        else:
            add_file(pattern)
    files, _, _ = builder.finish()
    return FileSource((), files.once(), warnings=tuple(warnings))
