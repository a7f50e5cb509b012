"""What the folders of a tree are: classes, or somebody's split or groups with the classes inside.

Told by structure: where all folders hold the same sub-folders, these are the classes.
"""

import dataclasses
import functools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from xferlearn.errors import UserError
from xferlearn.photos.folders.listing import Folder, path_below
from xferlearn.photos.folders.names import class_label, first_names
from xferlearn.photos.photo import SPLITS, TRAIN
from xferlearn.photos.split_names import splits_of_names
from xferlearn.system.text import plural_of

_HINT_DEPTH = 3


@dataclasses.dataclass(frozen=True)
class ClassFolder:
    """A folder of photos of one class.

    Attributes:
        name: the class, as its folder is called.
        path: of the folder, below the one that was given.
        folder: what it holds.
        split: the split that it is in; None where that is still to be decided.
        group: what its photos stay together with in the split; None for nothing.
    """

    name: str
    path: str
    folder: Folder
    split: str | None = None
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """A tree of photos as it was understood.

    Attributes:
        classes: the folders with photos of a class; several may be of one class.
        empty: paths of folders that may have been meant as such, but hold no photos.
        unlabelled: how many photos of no class there are, by the folder that they lie in.
        splits: the split of each folder that is one, by its name.
        warnings: how it was understood, where that is not obvious, one line each.
    """

    classes: tuple[ClassFolder, ...]
    empty: tuple[str, ...]
    unlabelled: Mapping[str, int]
    splits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class _Node:
    """A folder at its place in the tree."""

    path: str
    folder: Folder

    @functools.cached_property
    def held(self) -> "dict[str, _Node]":
        """The folders in it that hold photos, by name."""
        return {
            name: _Node(os.path.join(self.path, name), folder)
            for name, folder in self.folder.folders.items()
            if folder.holds_photos()
        }

    @functools.cached_property
    def inner(self) -> frozenset[str]:
        """The labels that the folders in it would have as classes."""
        return frozenset(map(class_label, self.held))

    @functools.cached_property
    def splits(self) -> dict[str, str]:
        """The split that each folder in it is, where its name is that of one."""
        return splits_of_names(self.held)


def find_layout(
    top: Folder,
    place: str,
    layout: str = "auto",
    labels: Collection[str] = (),
    *,
    grouped: bool = False,
) -> Layout:
    """Returns what the folders of a tree are.

    Args:
        top: the tree.
        place: its path, for messages.
        layout: "classes", "split" or "groups" says what the first level is; "auto" tells by
            structure.
        labels: the classes of a model, which say where the classes are; none where they are still
            to be found.
        grouped: whether the sub-folders of classes are known to be groups, not classes.

    Raises:
        UserError: where the structure admits several answers, or contradicts `layout`.
    """
    known = frozenset(map(class_label, labels))
    root = _Node("", top)
    node = _unwrapped(root, known)
    if layout == "auto":
        layout = _by_labels(node, known) if known else ""
        where = path_below(place, node.path) if node.path else place
        layout = layout or _by_structure(node, where, grouped)
    warnings = []
    if node is not root:
        warnings.append(
            f"{place} holds nothing but the folder {node.path}, and the folders in that are used."
        )
    if layout == "groups":
        found = _as_groups(node, place, known)
    elif layout == "split":
        found = _as_split(node, place, known)
    else:
        found = _layout([node], (_class(name, one) for name, one in node.held.items()))
    return dataclasses.replace(found, warnings=(*warnings, *found.warnings))


def classes_hint(top: Folder, place: str) -> str:
    """Returns a sentence that says where in a tree classes seem to be; "" where nowhere.

    Args:
        top: the tree.
        place: its path.
    """
    for path, folder in top.walk():
        names = [name for name, below in folder.folders.items() if below.photos]
        if path and path.count(os.sep) < _HINT_DEPTH and len(names) > 1:
            return (
                f" The classes seem to be in {path_below(place, path)} ({first_names(names)}):"
                " give that as `image_dir`."
            )
    return ""


def _unwrapped(root: _Node, known: Set[str]) -> _Node:
    """Returns the folder inside of those that hold nothing but one other folder."""
    node, seen = root, {id(root.folder)}
    while len(node.folder.folders) == len(node.held) == 1 and not node.folder.photos:
        ((name, node),) = node.held.items()
        if class_label(name) in known or id(node.folder) in seen:
            return root
        seen.add(id(node.folder))
    found = node.inner & known if known else len(node.inner) > 1
    deeper = known and any(one.inner & known for one in node.held.values())
    return node if (found or deeper) and not node.folder.photos else root


def _by_labels(node: _Node, known: Set[str]) -> str:
    """Returns the layout that has a model's classes at their level; "" where none has."""
    if node.inner & known:
        return "split" if _has_inner_split(node) else "classes"
    if any(one.inner & known for one in _parts(node, node.held, known).values()):
        return "split" if node.splits else "groups"
    return "classes"


def _by_structure(node: _Node, place: str, grouped: bool) -> str:
    """Returns the layout that the structure tells.

    Raises:
        UserError: where it tells several.
    """
    names = list(node.held)
    parted = [name for name in names if _is_split(node.held[name])]
    if parted:
        raise UserError(
            f"{first_names(parted)} in {place} {plural_of(len(parted), 'is', 'are')} split already,"
            f" into {first_names(list(node.held[parted[0]].splits))}. Give one such folder as"
            " `image_dir`."
        )
    if _is_split(node):
        _check_split(node, place, grouped)
        return "split"
    if _has_inner_split(node):
        return "split"
    if names and len(node.splits) == len(names):
        raise UserError(
            f"The folders {first_names(names)} of {place} are named like a split, but do not hold"
            " the same sub-folders, one per class. Put one folder per class into each, or say with"
            " `layout='classes'` that they are the classes."
        )
    for name, one in node.held.items():
        if not one.folder.photos and len(one.held) > 1 and one.inner <= node.inner:
            raise UserError(
                f"Folder {name} of {place} holds sub-folders that are named like those beside it"
                f" ({first_names(list(one.held))}). Move it away, or say with `layout='classes'`"
                " that it is a class too."
            )
    names = [] if grouped else _alike(node)
    if names:
        folders, inside = first_names(names), _names_inside(node, names)
        raise UserError(
            f"The folders {folders} of {place} hold the same sub-folders ({inside}). Say what they"
            f" are: `layout='groups'` takes {inside} as the classes, and keeps the photos of each"
            f" of {folders} together in the split; `layout='classes'` takes {folders} as the"
            " classes; `layout='split'` takes them as the split, where they are named train,"
            " validation and test."
        )
    _check_unsplit(node, place)
    return "classes"


def _check_unsplit(node: _Node, place: str) -> None:
    """Raises UserError where folders that are no split are named like one."""
    named = list(node.splits)
    learned = [name for name in named if node.splits[name] == TRAIN and node.held[name].held]
    if len(named) > 1 or learned:
        folders = first_names(named)
        raise UserError(
            f"{folders} in {place} {plural_of(len(named), 'is', 'are')} named like a split, but"
            f" {first_names(list(node.held))} together are not one of the same classes. Say what"
            f" they are: `layout='split'` takes {folders} as the split, with the classes inside,"
            " and leaves out what is beside; `layout='groups'` takes the folders inside of all as"
            " the classes; `layout='classes'` takes all of them as the classes."
        )
    for name, one in node.held.items():
        if len(one.splits) > 1:
            raise UserError(
                f"Folder {name} of {place} is split into {first_names(list(one.splits))}, but not"
                " every class is split, and into nothing else. Split each class so, or say with"
                " `layout='classes'` that this split is not to be used."
            )


def _check_split(node: _Node, place: str, grouped: bool) -> None:
    """Raises UserError where something is beside or in a split that may be part of it."""
    parts = _parts(node, node.splits)
    learned = _learned(node, parts)
    beside = [one for name, one in node.held.items() if name not in parts and one.inner & learned]
    if beside:
        raise UserError(
            f"{place} is split into {first_names(list(parts))}, and {beside[0].path} beside them"
            " has the same classes. Give it the name of a split (train, validation or test), move"
            " it away, or leave it out with `layout='split'`."
        )
    for one in () if grouped else parts.values():
        if names := _alike(one):
            raise UserError(
                f"The folders {first_names(names)} of {path_below(place, one.path)} would be"
                f" classes, but hold the same sub-folders ({_names_inside(one, names)}). Move these"
                " up, or say with `layout='split'` that the classes are right."
            )


def _names_inside(node: _Node, names: Iterable[str]) -> str:
    return first_names(sorted(frozenset().union(*(node.held[name].inner for name in names))))


def _is_split(node: _Node) -> bool:
    """Returns whether the folders are named as splits, and hold about the same classes."""
    parts = _parts(node, node.splits)
    learned = _learned(node, parts)
    if len(learned) < 2:
        return False
    others = [one for name, one in parts.items() if node.splits[name] != TRAIN]
    if any(one.held and not _about(one.inner, learned) for one in others):
        return False
    # A class may be called "train", but hardly one beside "test" with the same sub-folders.
    return len(parts) == len(node.held) or sum(bool(one.held) for one in parts.values()) > 1


def _parts(node: _Node, names: Iterable[str], known: Set[str] = frozenset()) -> dict[str, _Node]:
    """Returns the folders with these names; what is inside, where each holds but one folder."""
    parts = {name: node.held[name] for name in names}
    inner = {name: _unwrapped(one, known) for name, one in parts.items()}
    wrapped = all(inner[name] is not one for name, one in parts.items() if one.held)
    return inner if wrapped else parts


def _learned(node: _Node, parts: Mapping[str, _Node]) -> frozenset[str]:
    inner = [one.inner for name, one in parts.items() if node.splits[name] == TRAIN]
    return frozenset().union(*inner)


def _about(inner: Set[str], learned: Set[str]) -> bool:
    """Returns whether classes are those that are learned, but for one in five."""
    return bool(inner & learned) and len(inner - learned) <= max(1, len(learned) // 5)


def _has_inner_split(node: _Node) -> bool:
    """Returns whether each folder holds the splits, and nothing else."""
    parts = list(node.held.values())
    splits = [split for one in parts for split in one.splits.values()]
    return (
        len(parts) > 1
        and TRAIN in splits
        and len(set(splits)) > 1
        and all(len(one.splits) == len(one.held) and not one.folder.photos for one in parts)
        and not any(_is_split(one) for one in parts)
    )


def _alike(node: _Node) -> list[str]:
    """Returns the folders that hold nearly the same sub-folders, where most do; otherwise none."""
    inner = {
        name: one.inner
        for name, one in node.held.items()
        # A photo that lies astray does not make a class of what holds the classes.
        if 10 * len(one.folder.photos) <= sum(len(b.folder.photos) for b in one.held.values())
    }
    inner = {name: labels for name, labels in inner.items() if labels}
    union: frozenset[str] = frozenset().union(*inner.values())
    if len(union) < 2 or len(inner) < 2 or 2 * len(inner) <= len(node.held):
        return []
    whole = union in inner.values()
    missing = [len(union) - len(labels) for labels in inner.values()]
    near = all(4 * one <= len(union) or (whole and one == 1) for one in missing)
    return list(inner) if near else []


def _as_split(node: _Node, place: str, known: Set[str]) -> Layout:
    """Returns the layout of a tree that is split, above its classes or in each of them."""
    if TRAIN in node.splits.values() or (known and node.splits):
        parts, splits = _parts(node, node.splits, known), node.splits
        given = _given({name: splits[name] for name, one in parts.items() if one.held})
        classes = [
            dataclasses.replace(_class(label, one), split=given.get(name))
            for name, part in parts.items()
            for label, one in part.held.items()
        ]
        beside = [one for name, one in node.held.items() if name not in splits]
        found = _layout([node, *parts.values()], classes, beside)
    elif _has_inner_split(node):
        splits = {name: split for one in node.held.values() for name, split in one.splits.items()}
        given = _given(splits)
        classes = [
            dataclasses.replace(_class(label, part), split=given[name])
            for label, one in node.held.items()
            for name, part in one.held.items()
        ]
        found = _layout([node, *node.held.values()], classes)
    else:
        raise UserError(
            f"Expected folders named train, validation and test, in {place} or in each class, for"
            f" `layout='split'`. Found {first_names(list(node.held)) or 'none'}. Rename them."
        )
    return dataclasses.replace(found, splits=splits)


def _as_groups(node: _Node, place: str, known: Set[str]) -> Layout:
    """Returns the layout of a tree whose folders are groups, above the classes."""
    parts = _parts(node, node.held, known)
    if not any(one.held for one in parts.values()):
        raise UserError(
            f"Expected folders in {place} that hold one sub-folder per class, for"
            f" `layout='groups'`. Found {first_names(list(parts)) or 'none'}, without sub-folders."
        )
    classes = [
        dataclasses.replace(_class(label, one), group=name)
        for name, part in parts.items()
        for label, one in part.held.items()
    ]
    return _layout([node, *parts.values()], classes)


def _class(name: str, node: _Node) -> ClassFolder:
    return ClassFolder(name, node.path, node.folder)


def _given(splits: Mapping[str, str]) -> dict[str, str | None]:
    """Returns the split that photos are given by folder.

    Where validation or test photos are still to be chosen, they are from the training photos.
    """
    whole = set(splits.values()) == set(SPLITS)
    return {name: split if whole or split != TRAIN else None for name, split in splits.items()}


def _layout(
    levels: Sequence[_Node], classes: Iterable[ClassFolder], beside: Iterable[_Node] = ()
) -> Layout:
    """Returns a layout whose classes are the folders of some levels."""
    own = {one.path: len(one.folder.photos) for one in levels}
    all_below = {one.path: one.folder.photo_count() for one in beside}
    return Layout(
        classes=tuple(classes),
        empty=tuple(
            os.path.join(one.path, name)
            for one in levels
            for name in one.folder.folders
            if name not in one.held
        ),
        unlabelled={path: number for path, number in (own | all_below).items() if number},
    )
