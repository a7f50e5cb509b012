"""Photos -> units: what must stay together in the split is one, and has one name."""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xferlearn.photos.columns import Photos, bytes_of, text_of
from xferlearn.photos.digests import numbered, repeated_rows, sortable
from xferlearn.photos.kinship import Kinship
from xferlearn.system.growing_table import BLOCK_ROWS, DROPPED_ROWS, drop_pages

_NOHASH = re.compile(r"_nohash_.*$", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Units:
    """What stays together, as numbers in the order in which they first come.

    Attributes:
        of_photo: the unit of each photo, int32, [photos].
        digests: by which units are named, uint8, [digests, 32].
        groups: by which others are named, Arrow's large_binary.
        places: of each unit the place of its name, in `digests`, or behind all of them in `groups`,
            int32, [units].
    """

    of_photo: np.ndarray
    digests: np.ndarray
    groups: pa.LargeBinaryArray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def names(self, units: np.ndarray | None = None) -> Iterator[str]:
        """Yields the names of units, by which they are dealt; of all where none are given."""
        places = self.places if units is None else self.places[units]
        for start in range(0, len(places), BLOCK_ROWS):
            if not start % DROPPED_ROWS:
                drop_pages()
            some = places[start : start + BLOCK_ROWS]
            of_groups = some >= len(self.digests)
            text = self.digests[np.where(of_groups, 0, some)].tobytes().hex()
            for row, (place, is_group) in enumerate(
                zip(some.tolist(), of_groups.tolist(), strict=True)
            ):
                if is_group:
                    yield text_of(self.groups[place - len(self.digests)].as_py())
                else:
                    yield text[64 * row : 64 * row + 64]

    def take(self, rows: np.ndarray) -> "Units":
        """Returns the units of the photos at these positions."""
        if len(rows) == len(self.of_photo):  # each once, so all of them
            return self
        kept = self.of_photo[rows]
        numbers = numbered(kept)
        places = np.empty(int(numbers.max(initial=-1)) + 1, np.int32)
        places[numbers] = self.places[kept]
        return dataclasses.replace(self, of_photo=numbers, places=places)


def units_of(labels: Sequence[str], photos: Photos, kin: Kinship, used: np.ndarray) -> Units:
    """Returns the units of photos.

    What must stay together is one unit: files with the same bytes, near twins, files of one group,
    and files of one class whose names agree up to `_nohash_` (photos of one object). Of all digests
    and groups in it the last in order names it, a group before any digest: a digest would change
    when a photo with a greater one joins the group.

    Args:
        labels: class names.
        photos: readable photos, copies included.
        kin: what they have in common.
        used: the photo that is used in the place of each, int, [photos]. A copy that is left out
            still holds its group together with that of the one that is used.
    """
    own = kin.files[used]
    grouped = _true_rows(photos.groups.is_valid())
    parts = [pa.scalar(part, pa.large_binary()) for part in (b"group of photos ", b"")]
    own_groups = photos.groups.take(pa.array(grouped))
    groups = pc.binary_join_element_wise(parts[0], own_groups, parts[1])
    objects, texts = _objects(labels, photos)
    names = pa.chunked_array([groups, texts], pa.large_binary()).dictionary_encode()
    names = names.unify_dictionaries().combine_chunks()
    if isinstance(names, pa.ChunkedArray):
        names = names.chunk(0)
    held = np.concatenate([grouped, objects])
    codes = names.indices.to_numpy() + np.int32(len(photos))
    twins = np.flatnonzero(kin.has_twins[used]).astype(np.int32)
    edges = (
        np.concatenate([own[held], own[twins]]),
        np.concatenate([codes, kin.twins[used[twins]]]),
    )
    del held, twins, codes, grouped, objects, own_groups, groups, texts
    root = _joined(len(photos) + len(names.dictionary), *edges)
    return _named(photos, root, own, names.dictionary)


def _named(photos: Photos, root: np.ndarray, own: np.ndarray, groups: pa.Array) -> Units:
    """Returns units whose photos have the same root."""
    number = len(photos)
    of_photo = numbered(root[own])
    places = np.full(int(of_photo.max(initial=-1)) + 1, -1, np.int32)
    unit_of_root = np.full(len(root), -1, np.int32)
    unit_of_root[root[own]] = of_photo
    is_node = np.zeros(number, bool)
    is_node[own] = True
    nodes = np.flatnonzero(is_node).astype(np.int32)
    units = unit_of_root[root[nodes]]
    places[units] = nodes
    # Of several digests the greatest.
    crowded = nodes[repeated_rows(units)]
    if len(crowded):
        rank = np.argsort(sortable(photos.digests[crowded]), kind="stable")
        places[unit_of_root[root[crowded[rank]]]] = crowded[rank]
    if len(groups):
        rank = pc.sort_indices(groups).to_numpy().astype(np.int64)
        places[unit_of_root[root[number + rank]]] = number + rank
    return Units(of_photo, photos.digests, groups, places)


def _objects(labels: Sequence[str], photos: Photos) -> tuple[np.ndarray, pa.Array]:
    """Returns which photos' names say which object they show, and its name."""
    rows, texts = [], []
    for row in _true_rows(pc.match_substring(photos.names, "_nohash_")).tolist():
        file_name = text_of(photos.names[row].as_py()).rsplit("/", 1)[-1]
        if "_nohash_" in file_name:
            # By the class's name: its index would change with every class that is added.
            label = labels[photos.labels[row]]
            rows.append(row)
            texts.append(bytes_of(f"group {label}/{_NOHASH.sub('', file_name)}"))
    return np.array(rows, np.int32), pa.array(texts, pa.large_binary())


def _true_rows(values: pa.BooleanArray) -> np.ndarray:
    return np.flatnonzero(values.to_numpy(zero_copy_only=False)).astype(np.int32)


def _joined(number: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the smallest of the nodes that each one is joined with by pairs, int, [number]."""
    root = np.arange(number, dtype=np.int32)
    while True:
        one, other = root[first], root[second]
        apart = np.flatnonzero(one != other)
        if not len(apart):
            return root
        low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        np.minimum.at(root, high, low)
        while (root[root] != root).any():
            root = root[root]
