"""A folder, on this machine or in a bucket -> what it holds, and its photos as columns."""

import os
from collections.abc import Iterable
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.photos.folders.bucket_listing import list_bucket
from xferlearn.photos.folders.columns import FilesBuilder
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.folders.listing import Folder, Names, PassedOver, list_folder
from xferlearn.system.places import Place, check_address, is_bucket, place_of


def listed_folder(
    what: str, folder: str | Path, passed: PassedOver
) -> tuple[Folder, str, Place | None]:
    """Lists a folder that must be there.

    Args:
        what: what it was given for, such as "`image_dir`".
        folder: path, or address in a bucket.
        passed: counts what is no photo.

    Returns:
        What it holds; its path or address, which paths of photos begin with; and the bucket's
        folder, None on this machine.

    Raises:
        UserError: when there is no such folder, or it can't be read.
    """
    check_address(what, folder)
    if is_bucket(folder):
        place = place_of(folder, what)
        top = list_bucket(place, passed)
        if top.photos or top.folders or str(passed):
            return top, bare(place.address), place
        above, _, name = bare(place.address).rpartition("/")
        is_file = not above.endswith("/") and place_of(above + options(place.address)).find(name)
        came = "a file" if is_file else "nothing"
    elif os.path.isdir(folder):
        root = str(Path(folder))
        return list_folder(root, passed), root, None
    else:
        came = "a file" if os.path.exists(folder) else "nothing"
    raise UserError(f"Expected {what} to be a folder. Found {came} at {folder}.")


def bare(address: str) -> str:
    """Returns an address without its options."""
    return address.partition("?")[0]


def options(address: str) -> str:
    """Returns the options of an address, with the sign before them; "" without."""
    return address[len(bare(address)) :]


def add_photos(
    builder: FilesBuilder,
    runs: Iterable[tuple[str, Names]],
    label: int = -1,
    split: str | None = None,
    group: str | None = None,
) -> int:
    """Adds photos to others, and returns how many these are.

    Args:
        builder: the others.
        runs: the photos, as `Folder.runs` has them.
        label: index of their class; -1 if they have none.
        split: the split that they are given.
        group: what they stay together with.
    """
    number = 0
    for start, names in runs:
        number += len(names)
        for name, size, changed in names.rows():
            builder.add(start, name, label, size, changed, split, group)
    return number


def photos_below(folder: str | Path, what: str = "photos") -> FileSource:
    """Returns all photos in a folder and below, sorted by path, without labels.

    Args:
        folder: a path, or an address in a bucket.
        what: what it was given for, such as "`unlabelled`".

    Raises:
        UserError: on a folder that can't be read, or is not there.
    """
    builder = FilesBuilder()
    top, root, place = listed_folder(what, folder, PassedOver())
    add_photos(builder, top.runs(root))
    return FileSource((), builder.finish()[0], place=place)
