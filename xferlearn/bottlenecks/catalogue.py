"""Which shards of a store there are, and where its rows are in them, by an index that is kept.

Readers take what is there, whoever wrote it; only writers move damaged shards aside.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from xferlearn.bottlenecks.index import Index, empty_index
from xferlearn.bottlenecks.shards import Layout, ShardFormat
from xferlearn.bottlenecks.writing import SHARD
from xferlearn.system.files import expire, remove_stale
from xferlearn.system.places import Place
from xferlearn.system.text import one_line

# Damaged shards are kept this long for whoever wants to know what happened.
_DAMAGED = ".damaged"
_DAMAGED_SECONDS = 7 * 24 * 3600
# The index is written anew when this share of its shards came or went: until then their keys are
# read at each opening, which costs less than writing it.
_SHARE_TO_REWRITE = 1 / 16
# Shards whose keys are in memory at a time when they are indexed.
_SHARDS_AT_A_TIME = 1024
_REQUESTS = 8


class Catalogue:
    """The shards of a store, and where its rows are in them.

    Attributes:
        warnings: what was found damaged, one line each.
    """

    def __init__(
        self, place: Place, index: Path, form: ShardFormat, warnings: list[str], *, is_ours: bool
    ) -> None:
        """Reads the index, and the keys of shards that it does not name.

        Args:
            place: where the shards are.
            index: file of the index, on this machine.
            form: what the shards have in common.
            warnings: as the attribute; lines are added to it.
            is_ours: whether shards that name no feature space are certain to be of this one.

        Raises:
            OSError: when the shards can't be listed.
        """
        self.warnings = warnings
        self._place = place
        self._index_path = index
        self._format = form
        self._is_ours = is_ours
        # The index from its file, and that of shards which it does not name yet.
        self._indexes = (empty_index(), empty_index())
        # Every shard that needs no other look while its size stays what it was; and those that are
        # to be moved aside, unless they are written anew.
        self._seen: dict[str, int] = {}
        self._damaged: set[str] = set()
        self._taking_in = threading.RLock()
        if is_ours:
            with contextlib.suppress(OSError, ValueError):  # it is made again
                kept = Index.load(index)
                self._indexes = (kept, empty_index())
                self._seen.update(kept.shards)
        self.take_in()

    def __len__(self) -> int:
        """Returns how many different keys there are."""
        kept, recent = self._indexes
        return len(kept.merged(recent))

    def has(self, key: bytes) -> bool:
        """Returns whether there is a row of a key."""
        return any(index.has(key) for index in self._indexes)

    def take_in(self) -> None:
        """Compares what is known with the shards that are there.

        Raises:
            OSError: when they can't be listed.
        """
        with self._taking_in:
            there = {
                file.name[: -len(SHARD)]: file.size
                for file in self._place.files()
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
        if self._place.local is None:
            with ThreadPoolExecutor(_REQUESTS) as pool:
                found = [*pool.map(self._keys_of, shards, shards.values())]
        else:
            found = [*map(self._keys_of, shards, shards.values())]
        keys = {name: one for name, one in zip(shards, found, strict=True) if one is not None}
        kept, recent = self._indexes
        added = Index.of({name: shards[name] for name in keys}, [*keys.values()])
        self._indexes = (kept, recent.merged(added))

    def _keys_of(self, name: str, size: int) -> np.ndarray | None:
        """Returns the keys of a shard; None, and a warning, where it can't be used."""
        try:
            if name in self._damaged and not self._is_sound(name):
                return None
            self._damaged.discard(name)
            try:
                if self._seen.get(name, size) != size and not self._is_sound(name):
                    raise ValueError("its size has changed")
                with self._place.open(f"{name}{SHARD}") as file:
                    layout, keys = self._format.read_keys(file, size)
                if self._trusts(layout):
                    self._seen[name] = size
                    return keys
                problem = ValueError("it may be of another feature space")
            except ValueError as error:
                problem = error
            # Whether somebody else wrote it or a disk damaged it, all of its bytes tell.
            if self._is_sound(name):
                self._seen[name] = size
                self.warnings.append(f"Shard {self.address(name)} is not used: {problem}.")
            else:
                self._found_damaged(name, problem)
        except FileNotFoundError:  # another process found it damaged just now
            pass
        except OSError as error:
            self._seen[name] = size
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

    def distrust_index(self) -> None:
        """Makes the index again from the shards' keys."""
        with self._taking_in:
            with contextlib.suppress(OSError):
                self._index_path.unlink()
            self._indexes = (empty_index(), empty_index())
            self._seen.clear()
            with contextlib.suppress(OSError):
                self.take_in()

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Returns where rows are: numbers of shards, -1 for none, rows there, names of shards."""
        kept, recent = self._indexes
        shards, rows = kept.find(keys)
        lacking = np.flatnonzero(shards < 0)
        if len(lacking):
            more, rows[lacking] = recent.find(keys[lacking])
            shards[lacking] = np.where(more < 0, -1, more + len(kept.shards))
        return shards, rows, [*kept.shards, *recent.shards]

    def drop(self, name: str, error: Exception) -> None:
        """Finds the rows of a shard no more, until it is written anew."""
        with self._taking_in:
            for index in self._indexes:
                index.drop(name)
            if isinstance(error, ValueError):
                self._found_damaged(name, error)
            elif isinstance(error, FileNotFoundError):  # another process found it damaged
                self._seen.pop(name, None)
            else:
                self._found_unreadable(name, error)

    def _found_damaged(self, name: str, error: Exception) -> None:
        self._damaged.add(name)
        self._seen.pop(name, None)
        self.warnings.append(
            f"Shard {self.address(name)} is damaged ({one_line(error, 100)}); its photos are"
            " computed again."
        )

    def _found_unreadable(self, name: str, error: Exception) -> None:
        self.warnings.append(
            f"Shard {self.address(name)} can't be read ({one_line(error, 100)}); its photos are"
            " computed again."
        )

    def tidy(self) -> None:
        """Does what only writers do: moves damaged shards aside, removes what is old."""
        if self._place.local is not None:
            remove_stale(self._place.local)
            expire(self._place.local, f"*{_DAMAGED}", _DAMAGED_SECONDS)
        for name in sorted(self._damaged):
            with contextlib.suppress(OSError):
                # It may have been written anew meanwhile, or only its transfer was at fault.
                if not self._is_sound(name):
                    self._move_aside(name)
                self._damaged.discard(name)

    def _move_aside(self, name: str) -> None:
        if self._place.local is None:
            self._place.remove(f"{name}{SHARD}")
            return
        path = self._place.local / f"{name}{SHARD}"
        os.utime(path)  # from now on it is kept for a while
        path.rename(path.with_suffix(_DAMAGED))

    def _is_sound(self, name: str) -> bool:
        return hashlib.sha256(self._place.read(f"{name}{SHARD}")).hexdigest() == name

    def address(self, name: str) -> str:
        """Returns where a shard is, for messages."""
        return self._place.address_of(f"{name}{SHARD}")


def _is_digest(name: str) -> bool:
    return len(name) == 64 and not name.strip("0123456789abcdef")
