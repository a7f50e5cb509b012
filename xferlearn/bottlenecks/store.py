"""The stores of bottlenecks and of prints: folders of immutable shards, addressed by photo.

A shard is one Arrow IPC file with the columns key, vector and crc32, named by the SHA-256 of its
bytes. It is written under a temporary name and renamed, so whoever reads sees whole shards only;
writers never share a name for different content, so they need no locks. A shard that a disk or a
kill damaged is found, named and computed again.
"""

import contextlib
import hashlib
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.pixels.operations import RESIZE_POLICY
from xferlearn.photos.twins import prints
from xferlearn.system.files import expire, file_digest, remove_stale, write_atomically
from xferlearn.system.text import count, one_line

# A kill loses at most this much work; a million photos still make only hundreds of shards. The
# first shard comes early, so that a run that is killed again and again still gets on.
ROWS_PER_SHARD = 4096
BYTES_PER_SHARD = 64 * 2**20
SECONDS_PER_SHARD = 15.0
SECONDS_TO_FIRST_SHARD = 5.0
# Damaged shards are kept this long for whoever wants to know what happened.
_DAMAGED = ".damaged"
_DAMAGED_SECONDS = 7 * 24 * 3600
# Key of the space's digest in a shard's schema; shards of earlier versions have none.
_SPACE = b"space"


class RowStore:
    """Rows of numbers on disk, one per photo.

    Attributes:
        folder: where the shards are.
        width: numbers per row.
        warnings: what was damaged when the store was opened, one line each.
    """

    def __init__(self, folder: Path, about: str, width: int, kind: type) -> None:
        """Opens the store, and makes its folder if there is none.

        Args:
            folder: where the shards are.
            about: what decides the rows besides the photo, JSON; goes to space.json.
            width: numbers per row.
            kind: their NumPy type.

        Raises:
            UserError: when the folder can't be made or written to.
        """
        self.folder = folder
        self.width = width
        self.warnings: list[str] = []
        self._kind = kind
        self._about = about.encode()
        self._space_digest = hashlib.sha256(self._about).hexdigest()
        self._schema = pa.schema(
            [
                ("key", pa.binary(32)),
                ("vector", pa.list_(pa.from_numpy_dtype(kind), width)),
                ("crc32", pa.uint32()),
            ],
            metadata={_SPACE: self._space_digest},
        )
        self._place: dict[bytes, tuple[Path, int]] = {}
        self._read_shards: set[Path] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._is_ours = self._check_space()
        except OSError as error:
            raise UserError(
                f"Can't write bottlenecks to {self.folder}: {one_line(error)}. Choose another"
                " folder with `bottleneck_dir`."
            ) from None
        remove_stale(self.folder)
        expire(self.folder, f"*{_DAMAGED}", _DAMAGED_SECONDS)
        self.refresh()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._place

    def __len__(self) -> int:
        return len(self._place)

    def refresh(self) -> None:
        """Takes in the shards that were committed since, by this process or by others."""
        for path in sorted(self.folder.glob("*.arrow")):
            if path in self._read_shards:
                continue
            self._read_shards.add(path)
            try:
                # Arrow ends the whole process on some damaged files, so they must not reach it.
                if file_digest(path) != path.stem:
                    raise ValueError("its bytes are not those that were written")
                keys = self._load(path)[0]
            except FileNotFoundError:  # another process found it damaged just now
                continue
            except _ForeignError as error:
                self.warnings.append(f"Shard {path} is not used: {error}.")
                continue
            except (OSError, pa.ArrowException, ValueError) as error:
                if not isinstance(error, OSError):
                    with contextlib.suppress(OSError):
                        path.rename(path.with_suffix(_DAMAGED))
                self.warnings.append(
                    f"Shard {path} is damaged ({one_line(error, 100)}); its photos are"
                    " computed again."
                )
                continue
            self._place.update((key, (path, row)) for row, key in enumerate(keys))

    def read(self, digests: Sequence[bytes]) -> np.ndarray:
        """Returns the rows of photos, [len(digests), width], in their order.

        Raises:
            KeyError: for a digest that is not in the store.
            XferlearnError: when a shard was removed or damaged since the store was opened.
        """
        result: np.ndarray = np.empty((len(digests), self.width), self._kind)
        wanted: dict[Path, tuple[list[int], list[int]]] = {}
        for position, digest in enumerate(digests):
            path, row = self._place[digest]
            positions, rows = wanted.setdefault(path, ([], []))
            positions.append(position)
            rows.append(row)
        for path, (positions, rows) in wanted.items():
            result[positions] = self._checked_rows(path, rows, [digests[at] for at in positions])
        return result

    def blocks(self, digests: Iterable[bytes]) -> Iterator[tuple[list[bytes], np.ndarray]]:
        """Yields the rows of photos shard by shard, so that memory does not grow with them.

        Photos that are not in the store, and those of shards that were removed or damaged since it
        was opened, are passed over.

        Args:
            digests: of the photos, in any order.

        Returns:
            Digests, and their rows, [photos, width].
        """
        wanted: dict[Path, tuple[list[int], list[bytes]]] = {}
        for digest in digests:
            if digest in self._place:
                path, row = self._place[digest]
                rows, keys = wanted.setdefault(path, ([], []))
                rows.append(row)
                keys.append(digest)
        for path, (rows, keys) in wanted.items():
            with contextlib.suppress(XferlearnError):
                yield keys, self._checked_rows(path, rows, keys)

    def _checked_rows(self, path: Path, rows: list[int], digests: list[bytes]) -> np.ndarray:
        try:
            keys, vectors, checksums = self._load(path)
            if any(keys[row] != digest for row, digest in zip(rows, digests, strict=True)):
                raise ValueError("its rows are those of other photos")
            if any(_checksum(keys[row], vectors[row]) != checksums[row] for row in rows):
                raise ValueError("its rows and their checksums differ")
            return vectors[rows]
        except (OSError, pa.ArrowException, ValueError, IndexError) as error:
            raise XferlearnError(
                f"Shard {path} was removed or damaged while this was running"
                f" ({one_line(error, 100)}). Run again; its photos are computed again."
            ) from None

    @contextlib.contextmanager
    def writer(self) -> Iterator["ShardWriter"]:
        """Returns a writer whose last rows are committed when the block ends, however it ends."""
        writer = ShardWriter(self.folder, self._schema, self._kind)
        try:
            yield writer
        finally:
            writer.flush()
            self.refresh()

    def _check_space(self) -> bool:
        """Writes space.json where it is missing or damaged; returns False where it was damaged."""
        path, content = self.folder / "space.json", self._about
        try:
            if path.read_bytes() == content:
                return True
            self.warnings.append(
                f"{path} was damaged, or is of another feature space; it is written anew."
            )
        except FileNotFoundError:
            write_atomically(path, content)
            return True
        write_atomically(path, content)
        return False

    def _load(self, path: Path) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        if table.schema != self._schema:
            raise ValueError("its columns are not those of the feature space")
        space = (table.schema.metadata or {}).get(_SPACE)
        if space != self._space_digest.encode() and (space is not None or not self._is_ours):
            raise _ForeignError("it may be of another feature space")
        table = table.combine_chunks()
        if not table.num_rows:
            return [], np.empty((0, self.width), self._kind), np.empty(0, np.uint32)
        vectors = table["vector"].chunk(0).flatten().to_numpy(zero_copy_only=True)
        return (
            table["key"].to_pylist(),
            vectors.reshape(table.num_rows, self.width),
            table["crc32"].to_numpy(),
        )


class _ForeignError(Exception):
    """A shard that may be of another feature space, such as one that was copied here."""


class BottleneckStore(RowStore):
    """The bottlenecks of one feature space on disk; a row is [space.width].

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
            UserError: when the folder can't be made or written to.
        """
        self.space = space
        super().__init__(Path(root) / space.folder, space.as_json(), space.width, kind)


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
            UserError: when the folder can't be made or written to.
        """
        self.image_size = image_size
        facts = {"image_size": image_size, "prints": prints.VERSION, "resize": RESIZE_POLICY}
        about = json.dumps(facts, indent=2, sort_keys=True) + "\n"
        name = f"{image_size}-{hashlib.sha256(about.encode()).hexdigest()[:16]}"
        super().__init__(Path(root) / "prints" / name, about, prints.PRINT_BYTES, np.uint8)


class ShardWriter:
    """Collects rows and commits them as shards; made by `RowStore.writer`."""

    def __init__(self, folder: Path, schema: pa.Schema, kind: type) -> None:
        self._folder = folder
        self._schema = schema
        self._kind = kind
        self._keys: list[bytes] = []
        self._vectors: list[np.ndarray] = []
        self._since = time.monotonic()
        self._is_first = True

    def add(self, digest: bytes, vector: np.ndarray) -> None:
        """Adds a row, and commits a shard when enough rows or seconds have gathered.

        Args:
            digest: SHA-256 of the photo, 32 bytes.
            vector: its numbers, [width].

        Raises:
            XferlearnError: when the shard can't be written, such as on a full disk.
        """
        self._keys.append(digest)
        self._vectors.append(np.asarray(vector, self._kind))
        age = time.monotonic() - self._since
        most = SECONDS_TO_FIRST_SHARD if self._is_first else SECONDS_PER_SHARD
        full = len(self._keys) >= min(ROWS_PER_SHARD, BYTES_PER_SHARD // self._vectors[0].nbytes)
        if full or age >= most:
            self.flush()

    def flush(self) -> None:
        """Commits the rows added so far."""
        keys, self._keys = self._keys, []
        vectors, self._vectors = self._vectors, []
        self._since = time.monotonic()
        if not keys:
            return
        self._is_first = False
        values = pa.array(np.concatenate(vectors))
        table = pa.Table.from_arrays(
            [
                pa.array(keys, pa.binary(32)),
                pa.FixedSizeListArray.from_arrays(values, len(vectors[0])),
                pa.array(map(_checksum, keys, vectors), pa.uint32()),
            ],
            schema=self._schema,
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, self._schema) as file:
            file.write_table(table)
        data = sink.getvalue()
        try:
            write_atomically(self._folder / f"{hashlib.sha256(data).hexdigest()}.arrow", data)
        except OSError as error:
            raise XferlearnError(
                f"Can't write {count(len(keys), 'bottleneck')} to {self._folder}:"
                f" {one_line(error)}. Shards written before are kept; make room or choose"
                " another `bottleneck_dir`, and run again."
            ) from None


def _checksum(key: bytes, vector: np.ndarray) -> int:
    return zlib.crc32(vector.tobytes(), zlib.crc32(key))
