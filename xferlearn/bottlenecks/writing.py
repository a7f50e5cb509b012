"""Rows -> shards: they are collected, and committed when enough rows or seconds have gathered."""

import time

import numpy as np

from xferlearn.bottlenecks.shards import as_halves, make_shard
from xferlearn.errors import XferlearnError
from xferlearn.system.places import Place
from xferlearn.system.text import count, one_line

# A kill loses at most this much work; a million photos still make only hundreds of shards. The
# first shard comes early, so that a run that is killed again and again still gets on.
ROWS_PER_SHARD = 4096
BYTES_PER_SHARD = 64 * 2**20
SECONDS_PER_SHARD = 15.0
SECONDS_TO_FIRST_SHARD = 5.0
SHARD = ".arrow"


class ShardWriter:
    """Collects rows and commits them as shards; made by `RowStore.writer`."""

    def __init__(self, place: Place, space: str, kind: np.dtype, *, halves: bool) -> None:
        """Begins with no rows.

        Args:
            place: where the shards go.
            space: SHA-256 of what decides rows besides the photo, in hex.
            kind: NumPy type of the rows' numbers.
            halves: whether rows become float16 where that is exact enough.
        """
        self._place = place
        self._space = space
        self._kind = kind
        self._halves = halves
        self._keys: list[bytes] = []
        self._vectors: list[np.ndarray] = []
        self._since = time.monotonic()
        self._is_first = True

    def add(self, key: bytes, vector: np.ndarray) -> None:
        """Adds a row, and commits a shard when enough rows or seconds have gathered.

        Args:
            key: what the photo is found by, 32 bytes.
            vector: its numbers, [width].

        Raises:
            XferlearnError: when the shard can't be written, such as on a full disk.
        """
        self._keys.append(key)
        self._vectors.append(np.asarray(vector, self._kind))
        age = time.monotonic() - self._since
        most = SECONDS_TO_FIRST_SHARD if self._is_first else SECONDS_PER_SHARD
        full = len(self._keys) >= min(ROWS_PER_SHARD, BYTES_PER_SHARD // self._vectors[0].nbytes)
        if full or age >= most:
            self.flush()

    def flush(self) -> None:
        """Commits the rows added so far; a shard has numbers of one type."""
        keys, self._keys = self._keys, []
        added, self._vectors = self._vectors, []
        self._since = time.monotonic()
        if not keys:
            return
        self._is_first = False
        vectors = np.stack(added)
        if not self._halves:
            self._commit(keys, vectors)
            return
        halves, fit = as_halves(vectors)
        for rows, numbers in ((np.flatnonzero(fit), halves), (np.flatnonzero(~fit), vectors)):
            if len(rows):
                self._commit([keys[row] for row in rows], numbers[rows])

    def _commit(self, keys: list[bytes], vectors: np.ndarray) -> None:
        name, data = make_shard(keys, vectors, self._space)
        try:
            self._place.write(f"{name}{SHARD}", data)
        except OSError as error:
            raise XferlearnError(
                f"Can't write {count(len(keys), 'bottleneck')} to {self._place.address}:"
                f" {one_line(error)}. Shards written before are kept; make room or choose"
                " another `bottleneck_dir`, and run again."
            ) from None
