"""What a folder in a bucket holds, from one listing; as `listing` tells of a folder of a disk."""

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xferlearn.errors import UserError
from xferlearn.photos.folders.columns import bytes_of, text_of
from xferlearn.photos.folders.listing import (
    Folder,
    Listed,
    Names,
    PassedOver,
    ending_of,
    is_passed_folder,
)
from xferlearn.photos.pixels.formats import HEAD_BYTES, SUFFIXES, is_photo
from xferlearn.system.growing_table import GrowingTable, taken
from xferlearn.system.places import Place
from xferlearn.system.text import one_line

LOOKED_AT = 16
"""Files of an unknown ending whose first bytes are fetched: each one is a request."""
_SCHEMA = pa.schema(
    [
        ("folder", pa.int32()),
        ("name", pa.large_binary()),
        ("size", pa.int64()),
        ("changed", pa.int64()),
        ("ending", pa.int32()),
    ]
)
_KNOWN = -1


def list_bucket(place: Place, passed: PassedOver) -> Folder:
    """Lists a folder of a bucket and all below it.

    Files of unknown endings are photos where one of the first that have the ending begins like a
    photo.

    Args:
        place: the folder.
        passed: counts what is no photo.

    Returns:
        The folder; without anything in it where there is none.

    Raises:
        UserError: when it can't be listed.
    """
    top, folders = Folder(), _Folders(passed)
    rows = GrowingTable(_SCHEMA)
    endings: dict[str, list[str]] = {}
    places: dict[str, int] = {}
    try:
        for found in place.files(below=True, odd=passed.add_nameless):
            parent, _, name = found.name.rpartition("/")
            folder = folders.number(parent)
            if folder is None or passed.is_hidden(name):
                continue
            ending = _KNOWN
            if not name.lower().endswith(SUFFIXES):
                kind = ending_of(name)
                ending = places.setdefault(kind, len(places))
                examples = endings.setdefault(kind, [])
                if len(examples) < LOOKED_AT:
                    examples.append(found.name)
            rows.add(folder, bytes_of(name), found.size, found.changed, ending)
        photos = _endings_of_photos(place, endings)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"Can't list {place.address}: {one_line(error)}. Check the address, and that this"
            " machine may read it."
        ) from None
    table = rows.finish()
    kinds = table.column("ending").to_numpy()
    are = np.array([True, *(kind in photos for kind in places)])[kinds - _KNOWN]
    for row in np.flatnonzero(~are).tolist():
        passed.add(text_of(table.column("name")[row].as_py()))
    order = pc.sort_indices(table, [("folder", "ascending"), ("name", "ascending")]).to_numpy()
    table = taken(table, order[are[order]])
    listed = Listed()
    listed.table = table.select(Listed.schema.names)
    ends = np.searchsorted(table.column("folder").to_numpy(), np.arange(len(folders) + 1))
    folders.fill(top, listed, ends)
    return top


class _Folders:
    """The folders that files lie in, numbered as they are met."""

    def __init__(self, passed: PassedOver) -> None:
        self._passed = passed
        self._numbers: dict[str, int | None] = {"": 0}
        self._paths = [""]

    def __len__(self) -> int:
        return len(self._paths)

    def number(self, path: str) -> int | None:
        """Returns the number of a folder; None for one that is passed over, or lies in one."""
        if path not in self._numbers:
            parent, _, name = path.rpartition("/")
            if self.number(parent) is None:
                self._numbers[path] = None
            elif is_passed_folder(name):
                self._passed.folders[name] += 1
                self._numbers[path] = None
            else:
                self._numbers[path] = len(self._paths)
                self._paths.append(path)
        return self._numbers[path]

    def fill(self, top: Folder, listed: Listed, ends: np.ndarray) -> None:
        """Gives all folders their photos and the folders in them."""
        made = {"": top}
        starts = ends.tolist()
        # Sorted, so that the folders in each one are; a folder comes after the one it is in.
        for path, number in sorted(zip(self._paths, range(len(self)), strict=True)):
            if path:
                parent, _, name = path.rpartition("/")
                made[path] = made[parent].folders[name] = Folder()
            made[path].photos = Names(listed, starts[number], starts[number + 1])


def _endings_of_photos(place: Place, endings: Mapping[str, Sequence[str]]) -> set[str]:
    """Returns the endings of which an example begins like a photo."""

    def begins_like_photo(name: str) -> bool:
        with contextlib.suppress(FileNotFoundError), place.open(name) as file:
            return is_photo(file.read(HEAD_BYTES))
        return False

    examples = [(ending, name) for ending, names in endings.items() for name in names]
    with ThreadPoolExecutor(LOOKED_AT) as pool:
        found = pool.map(begins_like_photo, [name for _, name in examples])
        return {ending for (ending, _), is_one in zip(examples, found, strict=True) if is_one}
