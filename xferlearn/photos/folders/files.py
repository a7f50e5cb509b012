"""Photos in files: a folder of class folders, or files, folders and globs as a user names them."""

import collections
import dataclasses
import errno
import functools
import glob
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.photos.folders.layouts import ClassFolder, Layout, classes_hint, find_layout
from xferlearn.photos.folders.listed import read_list
from xferlearn.photos.folders.listing import Folder, PassedOver, list_folder
from xferlearn.photos.folders.names import (
    case_warnings,
    check_name,
    class_label,
    first_names,
    match_labels,
    same_class_error,
)
from xferlearn.photos.manifest import SPLITS, TEST, TRAIN, VALIDATION, BadPhoto
from xferlearn.photos.sources import Entry
from xferlearn.photos.split_names import part_to_measure, split_summary
from xferlearn.photos.splitting import check_counts
from xferlearn.system.folders import check_no_url
from xferlearn.system.text import count, plural_of


@dataclasses.dataclass(frozen=True)
class FileSource:
    """A source of photos in files; see `read_image_dir` and `read_files`.

    Attributes:
        labels: class names, sorted.
        files: path and label's index of each photo.
        root: folder that the photos' names are relative to; "" for names as given.
        warnings: what a person should know of what was found, one line each.
        splits: the split that each photo is given, None for one that is still to be decided; ()
            where none is given.
        groups: what each photo stays together with, None for nothing; () where none is given.
        left_out: photos that were named and can't be found.
        part: the part of a given split that these are; "" where they are all, or none is given.
        is_multi_label: whether photos may have several labels, see `PhotoSource`.
    """

    labels: tuple[str, ...]
    files: tuple[tuple[str, int], ...] = dataclasses.field(repr=False)
    root: str = ""
    warnings: tuple[str, ...] = ()
    splits: tuple[str | None, ...] = dataclasses.field(default=(), repr=False)
    groups: tuple[str | None, ...] = dataclasses.field(default=(), repr=False)
    left_out: tuple[BadPhoto, ...] = dataclasses.field(default=(), repr=False)
    part: str = ""
    is_multi_label: bool = False
    holds_bytes = False

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self.files)

    def entries(self) -> Iterator[Entry]:
        """Yields the photos in the order of `files`."""
        given = itertools.zip_longest(self.files, self.splits, self.groups)
        for (path, label), split, group in given:
            name = os.path.relpath(path, self.root).replace(os.sep, "/") if self.root else path
            read = functools.partial(_read_file, path)
            size, changed = _size_and_time(path)
            yield Entry(name, label, read, size, split, group, address=path, changed=changed)

    def only(self, names: Set[str], most_bytes: int | None = None) -> "FileSource":
        """Returns a source of the photos with these names, without listing the others."""
        # Making the name of every path takes seconds at a million photos.
        paths = {os.path.normpath(os.path.join(self.root, name)) for name in names}
        kept = [os.path.normpath(path) in paths for path, _ in self.files]
        return dataclasses.replace(
            self,
            files=tuple(itertools.compress(self.files, kept)),
            splits=tuple(itertools.compress(self.splits, kept)),
            groups=tuple(itertools.compress(self.groups, kept)),
        )


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
    if not os.path.isdir(image_dir):
        came = "a file" if os.path.exists(image_dir) else "nothing"
        raise UserError(f"Expected `image_dir` to be a folder. Found {came} at {image_dir}.")
    root, passed = str(Path(image_dir)), PassedOver()
    top = list_folder(root, passed)
    tree = find_layout(top, root, layout, labels or (), grouped=grouped)
    parts = sorted(tree.classes, key=lambda part: (class_label(part.name), part.path))
    _check_names(parts, root)
    warnings, chosen = [*tree.warnings], ""
    if labels is not None:
        given = {part.split or TRAIN for part in parts} if tree.splits else ()
        chosen, measured = part_to_measure(root, given, split)
        parts = [part for part in parts if not chosen or (part.split or TRAIN) == chosen]
        warnings += [measured] if measured else []
    paths = [part.folder.photo_paths(os.path.join(root, part.path)) for part in parts]
    counts: collections.Counter[str] = collections.Counter()
    for part, below in zip(parts, paths, strict=True):
        counts[part.name] += len(below)
    if labels is None:
        hint = " ".join(("", *_leftover_warnings(tree), *passed.warnings(root)))
        hint += classes_hint(top, root)
        _check_classes(top, root, parts, counts, hint, few)
        known = tuple(dict.fromkeys(class_label(part.name) for part in parts))
        places = {label: number for number, label in enumerate(known)}
        index: dict[str, int | None] = {name: places[class_label(name)] for name in counts}
        warnings += _split_warnings(tree, parts, map(len, paths), root)
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
    files: list[tuple[str, int]] = []
    splits: list[str | None] = []
    groups: list[str | None] = []
    for part, below in zip(parts, paths, strict=True):
        label = index[part.name]
        if label is not None:
            files += [(path, label) for path in below]
            splits += [part.split] * len(below)
            groups += [part.group] * len(below)
    return FileSource(
        known,
        tuple(files),
        root,
        tuple(warnings),
        tuple(splits) if any(splits) else (),
        tuple(groups) if any(groups) else (),
        part=chosen,
    )


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
            f" {os.path.join(root, 'daisy')}."
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


def _split_warnings(
    tree: Layout, parts: Sequence[ClassFolder], numbers: Iterable[int], root: str
) -> list[str]:
    """Returns what a split is that was found, and which classes are not in all of it."""
    by_split: collections.Counter[str] = collections.Counter()
    labels: dict[str, set[str]] = {split: set() for split in SPLITS}
    for part, number in zip(parts, numbers, strict=True):
        split = part.split or TRAIN
        by_split[split] += number
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
        patterns: paths and globs, relative to the current folder or absolute; `@list.txt` for the
            files and folders that a list names, `-` for those of a list on stdin.

    Returns:
        The photos without labels, each path once, in the order given.

    Raises:
        UserError: for a folder without photos, a glob that matches no photo, a list that can't be
            read, or a URL.
    """
    files: list[str] = []
    warnings: list[str] = []

    def photos_of(folder: str) -> list[str]:
        passed = PassedOver()
        below = list_folder(folder, passed).photo_paths(folder)
        warnings.extend(passed.warnings(folder))
        return below

    def named_folder(folder: str) -> list[str]:
        # As `Path` writes it, without a slash at the end.
        below = photos_of(str(Path(folder)))
        if not below:
            raise UserError(" ".join((f"Found no photos in folder {folder}.", *warnings)))
        return below

    for pattern in patterns:
        check_no_url("photos", pattern)
        listed = read_list(pattern)
        if listed is not None:
            for name in listed:
                check_no_url("photos", name)
                files += named_folder(name) if os.path.isdir(name) else [name]
        elif os.path.isdir(pattern):
            files += named_folder(pattern)
        elif glob.has_magic(pattern) and not os.path.exists(pattern):
            matches = sorted(glob.glob(pattern, recursive=True))
            if not matches:
                raise UserError(f"Nothing matches {pattern}.")
            below = [
                path
                for match in matches
                for path in (photos_of(match) if os.path.isdir(match) else [match])
            ]
            if not below:
                what = plural_of(len(matches), "folder", "folders")
                said = f"Found no photos in {what} {first_names(matches)}, which {pattern} matches."
                raise UserError(" ".join((said, *warnings)))
            files += below
        else:
            files.append(pattern)
    return FileSource(
        (), tuple((path, -1) for path in dict.fromkeys(files)), warnings=tuple(warnings)
    )


def photos_below(folder: str | Path) -> list[str]:
    """Returns the paths of all photos in a folder and below, sorted.

    Raises:
        UserError: on a folder that can't be read.
    """
    return list_folder(folder, PassedOver()).photo_paths(str(folder))


def _read_file(path: str) -> bytes:
    # Reading a pipe would wait forever, and a device might never end.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return Path(path).read_bytes()


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
