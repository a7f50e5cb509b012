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
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from xferlearn.bottlenecks.index import Index, empty_index
from xferlearn.bottlenecks.shards import Keys, Layout, ShardFormat, as_halves, as_keys
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.writing import SHARD, ShardWriter
from xferlearn.config import default_bottleneck_dir
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.pixels.operations import RESIZE_POLICY
from xferlearn.photos.twins import prints
from xferlearn.system.files import expire, remove_stale
from xferlearn.system.places import Place, place_of
from xferlearn.system.text import one_line

_SPACE_FILE, _INDEX = "space.json", "index"
# Damaged shards are kept this long for whoever wants to know what happened.
_DAMAGED = ".damaged"
_DAMAGED_SECONDS = 7 * 24 * 3600
# The index is written anew when this share of its shards came or went: until then their keys are
# read at each opening, which costs less than writing it.
_SHARE_TO_REWRITE = 1 / 16
# Shards whose keys are in memory at a time when they are indexed.
_SHARDS_AT_A_TIME = 1024
_REQUESTS = 8
# Of a shard that was compared with its name, up to this share of rows is read one by one.
_SHARE_READ_SINGLY = 1 / 4


class LostRowsError(XferlearnError):
    """Rows that were in a store are gone or damaged; `in` says no to them now."""


class _WrongIndexError(Exception):
    """The index says of a sound shard what is not so."""


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
        index = f"{_INDEX}-{hashlib.sha256(self.place.address.encode()).hexdigest()[:16]}"
        self._index_path = self.folder / (_INDEX if self.place.local else index)
        # The index from its file, and that of shards which it does not name yet.
        self._indexes = (empty_index(), empty_index())
        self._seen: dict[str, int] = {}
        self._damaged: set[str] = set()
        # Shards that were compared with their names in this process.
        self._sound: dict[str, Layout] = {}
        self._taking_in = threading.RLock()
        try:
            self._is_ours = self._check_space()
            if self._is_ours:
                self._open_index()
            self._take_in()
        except OSError as error:
            raise UserError(
                f"Can't write bottlenecks to {self.place.address}: {one_line(error)}. Choose"
                " another folder with `bottleneck_dir`."
            ) from None

    def __contains__(self, key: bytes) -> bool:
        return any(index.has(key) for index in self._indexes)

    def __len__(self) -> int:
        kept, recent = self._indexes
        return len(kept.merged(recent))

    def has(self, keys: Keys) -> np.ndarray:
        """Returns which photos have a row, bool, [n].

        Args:
            keys: 32 bytes each, or uint8, [n, 32].
        """
        return self._find(as_keys(keys))[0] >= 0

    def refresh(self) -> None:
        """Takes in the shards that were committed since, by this process or by others."""
        with contextlib.suppress(OSError):  # what is known stays known
            self._take_in()

    def read(self, keys: Keys) -> np.ndarray:
        """Returns the rows of photos, [n, width], in their order.

        Args:
            keys: 32 bytes each, or uint8, [n, 32].

        Raises:
            KeyError: for a key that is not in the store.
            LostRowsError: when shards were removed or damaged since the store was opened.
        """
        result: np.ndarray = np.empty((len(keys), self.width), self._kind)
        for positions, rows in self.blocks(keys):
            result[positions] = rows
        return result

    def read_known(self, keys: Keys) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of those photos that have one, and passes over those that are damaged.

        Args:
            keys: 32 bytes each, or uint8, [n, 32].

        Returns:
            Their positions in `keys`, int64, [m], ascending; and their rows, [m, width].
        """
        wanted = as_keys(keys)
        while True:
            positions = np.flatnonzero(self.has(wanted))
            with contextlib.suppress(LostRowsError, KeyError):
                return positions, self.read(wanted[positions])

    def read_or_make(
        self, keys: Sequence[bytes], make: Callable[[Sequence[bytes]], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of photos after those that are missing or damaged were made.

        Args:
            keys: 32 bytes each.
            make: writes the rows of those keys that the store lacks, where it can.

        Returns:
            As `read_known`.
        """
        for _ in range(2):  # damage is found when rows are read
            lacking = [keys[place] for place in np.flatnonzero(~self.has(keys)).tolist()]
            if lacking:
                make(list(dict.fromkeys(lacking)))
            expected = int(self.has(keys).sum())
            there, rows = self.read_known(keys)
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
            shards, rows, names = self._find(wanted[pending])
            if (shards < 0).any():
                if not problem:
                    raise KeyError(wanted[pending[np.argmin(shards)]].tobytes())
                raise LostRowsError(problem)
            order = np.argsort(shards, kind="stable")
            groups = np.split(order, np.flatnonzero(np.diff(shards[order])) + 1)
            if rng is not None:
                groups = [groups[number] for number in rng.permutation(len(groups))]
            lost = []
            for group in groups:
                name, positions = names[shards[group[0]]], pending[group]
                try:
                    found = self._rows(name, rows[group], wanted[positions])
                except _WrongIndexError:
                    self._distrust_index()
                    lost.append(positions)
                except (OSError, ValueError) as error:
                    # Rows may be in another shard too, such as one that was computed since.
                    problem = problem or (
                        f"Shard {self._address(name)} was removed or damaged while this was running"
                        f" ({one_line(error, 100)}). Run again; its photos are computed again."
                    )
                    self._drop(name, error)
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
        self._tidy()
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

    def _open_index(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is made again
            kept = Index.load(self._index_path)
            self._indexes = (kept, empty_index())
            self._seen.update(kept.shards)

    def _take_in(self) -> None:
        """Compares the index with the shards that are there."""
        with self._taking_in:
            there = {
                file.name[: -len(SHARD)]: file.size
                for file in self.place.files()
                if file.name.endswith(SHARD) and _is_digest(file.name[: -len(SHARD)])
            }
            for index in self._indexes:
                same = (there.get(name) == size for name, size in index.shards.items())
                index.alive &= np.fromiter(same, bool)
            new = sorted(name for name, size in there.items() if self._seen.get(name) != size)
            self._seen = {name: size for name, size in self._seen.items() if name in there}
            for start in range(0, len(new), _SHARDS_AT_A_TIME):
                self._add({name: there[name] for name in new[start : start + _SHARDS_AT_A_TIME]})
            self._keep_index()

    def _add(self, shards: Mapping[str, int]) -> None:
        """Reads the keys of shards, which are given with their sizes."""
        if self.place.local is None:
            with ThreadPoolExecutor(_REQUESTS) as pool:
                found = [*pool.map(self._keys_of, shards, shards.values())]
        else:
            found = [*map(self._keys_of, shards, shards.values())]
        self._seen.update(shards)
        keys = {name: one for name, one in zip(shards, found, strict=True) if one is not None}
        kept, recent = self._indexes
        added = Index.of({name: shards[name] for name in keys}, [*keys.values()])
        self._indexes = (kept, recent.merged(added))

    def _keys_of(self, name: str, size: int) -> np.ndarray | None:
        """Returns the keys of a shard; None, and a warning, where it can't be used."""
        try:
            try:
                if self._seen.get(name, size) != size:
                    raise ValueError("its size has changed")
                with self.place.open(f"{name}{SHARD}") as file:
                    layout, keys = self._format.read_keys(file, size)
                if self._trusts(layout):
                    return keys
                problem = ValueError("it may be of another feature space")
            except ValueError as error:
                problem = error
            # Whether somebody else wrote it or a disk damaged it, all of its bytes tell.
            if hashlib.sha256(self.place.read(f"{name}{SHARD}")).hexdigest() == name:
                self.warnings.append(f"Shard {self._address(name)} is not used: {problem}.")
            else:
                self._found_damaged(name, problem)
        except FileNotFoundError:  # another process found it damaged just now
            pass
        except OSError as error:
            self._found_unreadable(name, error)
        return None

    def _trusts(self, layout: Layout) -> bool:
        return layout.ours or (layout.ours is None and self._is_ours)

    def _keep_index(self) -> None:
        """Writes the index where much came or went."""
        kept, recent = self._indexes
        changed = len(recent.shards) + len(kept.shards) - int(kept.alive.sum())
        if not changed or changed < _SHARE_TO_REWRITE * len(kept.shards):
            return
        # Without room or rights it stays in memory.
        with contextlib.suppress(OSError, ValueError):
            shards = kept.save(self._index_path, recent)
            written = Index.load(self._index_path)
            if written.shards == shards:  # not that of another process, which came between
                self._indexes = (written, empty_index())

    def _distrust_index(self) -> None:
        """Makes the index again from the shards' keys."""
        with self._taking_in:
            with contextlib.suppress(OSError):
                self._index_path.unlink()
            self._indexes = (empty_index(), empty_index())
            self._seen.clear()
            self.refresh()

    def _find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Returns where rows are: numbers of shards, -1 for none, rows there, names of shards."""
        kept, recent = self._indexes
        shards, rows = kept.find(keys)
        lacking = np.flatnonzero(shards < 0)
        if len(lacking):
            more, rows[lacking] = recent.find(keys[lacking])
            shards[lacking] = np.where(more < 0, -1, more + len(kept.shards))
        return shards, rows, [*kept.shards, *recent.shards]

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

    def _drop(self, name: str, error: Exception) -> None:
        """Finds the rows of a shard no more."""
        for index in self._indexes:
            index.drop(name)
        self._sound.pop(name, None)
        if isinstance(error, ValueError):
            self._found_damaged(name, error)
        elif not isinstance(error, FileNotFoundError):  # as another process found it damaged
            self._found_unreadable(name, error)

    def _found_damaged(self, name: str, error: Exception) -> None:
        self._damaged.add(name)
        self.warnings.append(
            f"Shard {self._address(name)} is damaged ({one_line(error, 100)}); its photos are"
            " computed again."
        )

    def _found_unreadable(self, name: str, error: Exception) -> None:
        self.warnings.append(
            f"Shard {self._address(name)} can't be read ({one_line(error, 100)}); its photos are"
            " computed again."
        )

    def _tidy(self) -> None:
        """Does what only writers do: moves damaged shards aside, removes what is old."""
        if self.place.local is not None:
            remove_stale(self.place.local)
            expire(self.place.local, f"*{_DAMAGED}", _DAMAGED_SECONDS)
        for name in sorted(self._damaged):
            with contextlib.suppress(OSError):
                # It may have been written anew meanwhile, or only its transfer was at fault.
                if hashlib.sha256(self.place.read(f"{name}{SHARD}")).hexdigest() != name:
                    self._move_aside(name)
                self._seen.pop(name, None)
        self._damaged.clear()

    def _move_aside(self, name: str) -> None:
        if self.place.local is None:
            self.place.remove(f"{name}{SHARD}")
            return
        path = self.place.local / f"{name}{SHARD}"
        os.utime(path)  # from now on it is kept for a while
        path.rename(path.with_suffix(_DAMAGED))

    def _address(self, name: str) -> str:
        return self.place.address_of(f"{name}{SHARD}")


def _is_digest(name: str) -> bool:
    return len(name) == 64 and not name.strip("0123456789abcdef")


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
