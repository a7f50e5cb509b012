"""The stores of bottlenecks and of prints: folders of immutable shards, addressed by photo.

A shard is one Arrow IPC file with the columns key, vector and crc32, named by the SHA-256 of its
bytes. It appears whole under its name or not at all, on this machine or in a bucket; writers never
share a name for different content, so they need no locks, and readers take what is there. Opening
reads keys only. A shard that a disk damaged is found when its rows are read: they are served no
more, and whoever can computes them again.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from xferlearn.bottlenecks.catalogue import Catalogue
from xferlearn.bottlenecks.shards import Keys, Layout, ShardFormat, as_halves, as_keys
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.writing import SHARD, ShardWriter
from xferlearn.config import default_bottleneck_dir
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.pixels.operations import RESIZE_POLICY
from xferlearn.photos.twins import prints
from xferlearn.system.places import Place, place_of
from xferlearn.system.text import one_line

_SPACE_FILE, _INDEX = "space.json", "index"
# Of a shard that was compared with its name, up to this share of rows is read one by one.
_SHARE_READ_SINGLY = 1 / 4


class LostRowsError(XferlearnError):
    """Rows that were in a store are gone or damaged; `in` says no to them now."""


class _WrongIndexError(Exception):
    """The index says of a sound shard what is not so."""


# From some rows, [m, width], to what is kept of them, one row each.
Keep: TypeAlias = Callable[[np.ndarray], np.ndarray]


class RowStore:
    """Rows of numbers, one per photo, on disk or in a bucket.

    Attributes:
        place: where the shards are.
        root: folder of all stores, as it was given.
        folder: the same folder on this machine; of a bucket's store, the one of that name in the
            default folder, which has its index.
        width: numbers per row.
        warnings: what was found damaged, one line each.
    """

    def __init__(
        self,
        root: str | Path,
        name: str,
        about: str,
        width: int,
        kind: type,
        *,
        halves: bool = False,
    ) -> None:
        """Opens the store, and makes its folder if there is none.

        Args:
            root: folder of all stores, `bottleneck_dir`.
            name: of the store's folder in it.
            about: what decides the rows besides the photo, JSON; goes to space.json.
            width: numbers per row.
            kind: their NumPy type, as `read` returns them.
            halves: whether rows are stored in float16 where that is exact enough.

        Raises:
            UserError: when the folder can't be made or read.
        """
        self.root = root
        self.place: Place = place_of(root, "`bottleneck_dir`").child(name)
        self.folder = self.place.local or default_bottleneck_dir() / name
        self.width = width
        self.warnings: list[str] = []
        self._kind = np.dtype(kind)
        self._halves = halves
        self._about = about.encode()
        kinds = (self._kind, np.dtype(np.float16)) if halves else (self._kind,)
        self._format = ShardFormat(width, kinds, hashlib.sha256(self._about).hexdigest())
        index = _INDEX
        if self.place.local is None:
            index += f"-{hashlib.sha256(self.place.address.encode()).hexdigest()[:16]}"
        # Shards that were compared with their names in this process.
        self._sound: dict[str, Layout] = {}
        try:
            is_ours = self._check_space()
            self._catalogue = Catalogue(
                self.place, self.folder / index, self._format, self.warnings, is_ours=is_ours
            )
        except OSError as error:
            raise UserError(
                f"Can't write bottlenecks to {self.place.address}: {one_line(error)}. Choose"
                " another folder with `bottleneck_dir`."
            ) from None

    def __contains__(self, key: bytes) -> bool:
        return self._catalogue.has(key)

    def __len__(self) -> int:
        return len(self._catalogue)

    def has(self, keys: Keys) -> np.ndarray:
        """Returns which photos have a row, bool, [n].

        Args:
            keys: 32 bytes each, or uint8, [n, 32].
        """
        return self._catalogue.find(as_keys(keys))[0] >= 0

    def has_sound(self, key: bytes) -> bool:
        """Returns whether a photo has a row, in a shard that was compared with its name."""
        shards, _, names = self._catalogue.find(as_keys([key]))
        if shards[0] < 0:
            return False
        return names[shards[0]] in self._sound or len(self.read_known([key])[0]) > 0

    def refresh(self) -> None:
        """Takes in the shards that were committed since, by this process or by others."""
        with contextlib.suppress(OSError):  # what is known stays known
            self._catalogue.take_in()

    def read(self, keys: Keys, keep: Keep | None = None) -> np.ndarray:
        """Returns the rows of photos, [n, width], in their order.

        Args:
            keys: 32 bytes each, or uint8, [n, 32].
            keep: returns what is kept of some rows, one row each, so that memory does not hold all
                of them; None for all of it.

        Raises:
            KeyError: for a key that is not in the store.
            LostRowsError: when shards were removed or damaged since the store was opened.
        """
        keep = keep or np.asarray
        kept = keep(np.empty((0, self.width), self._kind))
        result: np.ndarray = np.empty((len(keys), *kept.shape[1:]), kept.dtype)
        for positions, rows in self.blocks(keys):
            result[positions] = keep(rows)
        return result

    def read_known(self, keys: Keys, keep: Keep | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of those photos that have one, and passes over those that are damaged.

        Args:
            keys: 32 bytes each, or uint8, [n, 32].
            keep: as in `read`.

        Returns:
            Their positions in `keys`, int64, [m], ascending; and their rows, [m, width], or what is
            kept of them.
        """
        wanted = as_keys(keys)
        while True:
            positions = np.flatnonzero(self.has(wanted))
            with contextlib.suppress(LostRowsError, KeyError):
                return positions, self.read(wanted[positions], keep)

    def read_or_make(
        self, keys: Keys, make: Callable[[Sequence[bytes]], None], keep: Keep | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of photos after those that are missing or damaged were made.

        Args:
            keys: 32 bytes each, or uint8, [n, 32].
            make: writes the rows of those keys that the store lacks, where it can.
            keep: as in `read`.

        Returns:
            As `read_known`.
        """
        for _ in range(2):  # damage is found when rows are read
            wanted = as_keys(keys)
            lacking = [key.tobytes() for key in wanted[~self.has(wanted)]]
            if lacking:
                make(list(dict.fromkeys(lacking)))
            expected = int(self.has(wanted).sum())
            there, rows = self.read_known(wanted, keep)
            if len(there) == expected:
                break
        return there, rows

    def blocks(
        self, keys: Keys, *, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the rows of photos shard by shard, so that memory does not grow with them.

        Args:
            keys: 32 bytes each, or uint8, [n, 32], in any order.
            rng: draws the order of the shards; None takes one after the other.

        Returns:
            Positions in `keys`, int64, [m], and their rows, [m, width].

        Raises:
            KeyError: for a key that is not in the store.
            LostRowsError: in the end, when shards were removed or damaged since the store was
                opened; what else there is has been yielded.
        """
        wanted = as_keys(keys)
        pending, problem = np.arange(len(wanted)), ""
        while len(pending):
            shards, rows, names = self._catalogue.find(wanted[pending])
            if (shards < 0).any():
                if not problem:
                    raise KeyError(wanted[pending[np.argmin(shards)]].tobytes())
                raise LostRowsError(problem)
            order = np.argsort(shards, kind="stable")
            groups = np.split(order, np.flatnonzero(np.diff(shards[order])) + 1)
            # By name, so that the order does not tell in which runs shards came.
            groups.sort(key=lambda group: names[shards[group[0]]])
            if rng is not None:
                groups = [groups[number] for number in rng.permutation(len(groups))]
            lost = []
            for group in groups:
                name, positions = names[shards[group[0]]], pending[group]
                try:
                    found = self._rows(name, rows[group], wanted[positions])
                except _WrongIndexError:
                    self._catalogue.distrust_index()
                    lost.append(positions)
                except (OSError, ValueError) as error:
                    # Rows may be in another shard too, such as one that was computed since.
                    problem = problem or (
                        f"Shard {self._catalogue.address(name)} was removed or damaged while this"
                        f" was running ({one_line(error, 100)}). Run again; its photos are computed"
                        " again."
                    )
                    self._sound.pop(name, None)
                    self._catalogue.drop(name, error)
                    lost.append(positions)
                else:
                    yield positions, found.astype(self._kind, copy=False)
            pending = np.sort(np.concatenate(lost)) if lost else pending[:0]

    def rounded(self, vectors: np.ndarray) -> np.ndarray:
        """Returns what a reader would get back of rows, so that no score depends on the cache.

        Args:
            vectors: [n, width].
        """
        vectors = np.asarray(vectors, self._kind)
        if not self._halves:
            return vectors
        halves, fit = as_halves(vectors)
        return np.where(fit[:, None], halves.astype(self._kind), vectors)

    @contextlib.contextmanager
    def writer(self) -> Iterator[ShardWriter]:
        """Returns a writer whose last rows are committed when the block ends, however it ends."""
        self._catalogue.tidy()
        writer = ShardWriter(self.place, self._format.space, self._kind, halves=self._halves)
        try:
            yield writer
        finally:
            writer.flush()
            self.refresh()

    def _check_space(self) -> bool:
        """Writes space.json where it is missing or damaged; returns False where it was damaged."""
        try:
            is_ours = self.place.read(_SPACE_FILE) == self._about
        except FileNotFoundError:
            self.place.write(_SPACE_FILE, self._about)
            return True
        if not is_ours:
            self.warnings.append(
                f"{self.place.address_of(_SPACE_FILE)} was damaged, or is of another feature space;"
                " it is written anew."
            )
            self.place.write(_SPACE_FILE, self._about)
        return is_ours

    def _rows(self, name: str, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Returns rows of a shard, [n, width], as they are stored, each compared with its key."""
        layout = self._sound.get(name)
        if layout is not None and len(rows) <= _SHARE_READ_SINGLY * layout.rows:
            # Where one differs, the whole shard tells whether it is damaged or the index is.
            with contextlib.suppress(ValueError), self.place.open(f"{name}{SHARD}") as file:
                pairs = zip(rows.tolist(), keys, strict=True)
                found = [layout.row_in(file, row, key.tobytes(), self.width) for row, key in pairs]
                return np.stack(found)
        data = self.place.read(f"{name}{SHARD}")
        if hashlib.sha256(data).hexdigest() != name:
            raise ValueError("its bytes are not those that were written")
        layout = self._sound[name] = self._format.layout_of(data, len(data))
        if rows.max() >= layout.rows or (layout.keys_in(data)[rows] != keys).any():
            raise _WrongIndexError
        return layout.vectors_in(data, self.width)[rows]


class BottleneckStore(RowStore):
    """The bottlenecks of one feature space; a row is [space.width].

    Rows of float32 are stored as float16 where that is within 2^-11 of their length.

    Attributes:
        space: the feature space.

    Example:
        >>> store = BottleneckStore("/tmp/bottlenecks", space)
        >>> with store.writer() as writer:
        ...     writer.add(digest, vector)
        >>> store.read([digest]).shape
        (1, 1280)
    """

    def __init__(self, root: str | Path, space: FeatureSpace, kind: type = np.float32) -> None:
        """Opens the store, and makes its folder if there is none.

        Args:
            root: folder of all spaces, `bottleneck_dir`.
            space: the space to read and write.
            kind: NumPy type of the rows' numbers.

        Raises:
            UserError: when the folder can't be made or read.
        """
        self.space = space
        about, halves = space.as_json(), kind is np.float32
        super().__init__(root, space.folder, about, space.width, kind, halves=halves)


class PrintStore(RowStore):
    """The prints of photos at one image size on disk; a row is uint8, [PRINT_BYTES].

    Attributes:
        image_size: side in px of the pixels that prints are made of.
    """

    def __init__(self, root: str | Path, image_size: int) -> None:
        """Opens the store, and makes its folder if there is none.

        Args:
            root: folder of all spaces, `bottleneck_dir`.
            image_size: side in px of the pixels that prints are made of.

        Raises:
            UserError: when the folder can't be made or read.
        """
        self.image_size = image_size
        facts = {"image_size": image_size, "prints": prints.VERSION, "resize": RESIZE_POLICY}
        about = json.dumps(facts, indent=2, sort_keys=True) + "\n"
        name = f"{image_size}-{hashlib.sha256(about.encode()).hexdigest()[:16]}"
        super().__init__(root, f"prints/{name}", about, prints.PRINT_BYTES, np.uint8)
