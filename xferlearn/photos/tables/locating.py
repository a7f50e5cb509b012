"""File names as tables have them -> photos: relative, absolute, bare, without ending."""

import collections
import functools
import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

from xferlearn.photos.folders.files import photos_below
from xferlearn.photos.folders.names import normal
from xferlearn.system.folders import is_url
from xferlearn.system.text import readable

_SAMPLE = 200
T = TypeVar("T")


class NotFound(LookupError):
    """A name leads to no photo, or to several; the message is the reason, in a few words.

    Attributes:
        kind: "missing", "ambiguous" or "url".
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def sample(values: Sequence[T]) -> Sequence[T]:
    """Returns some values, evenly spread."""
    return values[:: max(1, len(values) // _SAMPLE)]


class PhotoFinder:
    """Finds photos by the names that a table has for them.

    Attributes:
        root: folder that photos are looked for in; "" where none was given.
        prefix: beginning of names that stands for `root`, such as the folder on another machine.
    """

    def __init__(self, image_dir: str | None, folder: str) -> None:
        """Prepares a search.

        Args:
            image_dir: folder of the photos; None where names lead to them without.
            folder: folder of the table.
        """
        self.root = image_dir or ""
        self.prefix = ""
        self._folder = folder

    @functools.cached_property
    def photos(self) -> list[str]:
        """The photos below `root`, sorted."""
        return photos_below(self.root) if self.root else []

    @functools.cached_property
    def _indices(self) -> list["_Index"]:
        if not self.photos:
            return []
        # All paths begin alike; relpath takes seconds at a million of them.
        cut = len(self.photos[0]) - len(os.path.relpath(self.photos[0], self.root))
        names = [normal(path[cut:].replace(os.sep, "/")) for path in self.photos]
        return [
            _Index(self.photos, names, fold=fold, endless=endless)
            for fold in (False, True)
            for endless in (False, True)
        ]

    def learn_prefix(self, values: Iterable[str]) -> None:
        """Finds out, from some names of which none is found, what stands before `root`'s own."""
        prefixes: collections.Counter[str] = collections.Counter()
        for value in values:
            parts = _slashes(value).split("/")
            for cut in range(1, len(parts)):
                rest = "/".join(parts[cut:])
                if any(index.whole(rest) for index in self._indices):
                    prefixes["/".join(parts[:cut]) + "/"] += 1
                    break
        if prefixes:
            self.prefix = prefixes.most_common(1)[0][0]

    def any_path(self, value: str) -> str | None:
        """Returns a path where a name leads to a photo, or its reason where to several; else None.

        It tells whether a text is the name of a photo.
        """
        try:
            return self.find(value)
        except NotFound as problem:
            return str(problem) if problem.kind == "ambiguous" else None

    def find(self, value: str) -> str:
        """Returns the path of the photo that a name leads to.

        Raises:
            NotFound: when there is none, or more than one.
        """
        name = _slashes(value)
        if is_url(name):
            raise NotFound("url", "is a URL; download the photo")
        names = [name]
        if self.prefix and name.startswith(self.prefix):
            names.append(name.removeprefix(self.prefix))
        path = self._listed(name) or self._there(name)
        if path is not None:
            return path
        for index in self._indices:
            for one in names:
                path = index.find(one)
                if path is not None:
                    return path
        raise NotFound("missing", "not found")

    def _listed(self, name: str) -> str | None:
        for root in self._absolute_roots:
            if name.startswith(root):
                name = name[len(root) :]
        return self._indices[0].whole(name) if self._indices else None

    def _there(self, name: str) -> str | None:
        """Returns a file that need not look like a photo, nor lie below `root`."""
        for place in dict.fromkeys((self.root or self._folder, self._folder)):
            path = os.path.join(place, name)
            try:
                if os.path.isfile(path):
                    return self._listed(_slashes(os.path.abspath(path))) or os.path.normpath(path)
            except ValueError:  # a NUL in the name
                return None
        return None

    @functools.cached_property
    def _absolute_roots(self) -> list[str]:
        if not self.root:
            return []
        roots = (os.path.abspath(self.root), os.path.realpath(self.root))
        return [f"{_slashes(root).rstrip('/')}/" for root in dict.fromkeys(roots)]


class _Index:
    """Photos by their names below a folder, and by the ends of these."""

    def __init__(self, paths: list[str], names: list[str], *, fold: bool, endless: bool) -> None:
        self._paths, self._names = paths, names
        self._fold, self._endless = fold, endless

    def _key(self, name: str) -> str:
        return name.casefold() if self._fold else name

    @functools.cached_property
    def _keys(self) -> list[str]:
        names = self._names
        if self._endless:
            names = [os.path.splitext(name)[0] for name in names]
        return [self._key(name) for name in names]

    @functools.cached_property
    def _by_name(self) -> "_Positions":
        return _Positions(self._keys)

    @functools.cached_property
    def _by_last(self) -> "_Positions":
        return _Positions(key.rpartition("/")[2] for key in self._keys)

    def whole(self, name: str) -> str | None:
        """Returns the photo of exactly this name; None without any."""
        found = self._by_name.of(self._key(name))
        return self._paths[found[0]] if found else None

    def find(self, name: str) -> str | None:
        """Returns the one photo of this name, or whose name ends like it; None without any.

        Raises:
            NotFound: when there are several.
        """
        key = self._key(name)
        found = self._by_name.of(key)
        if not found:
            last = self._by_last.of(key.rpartition("/")[2])
            found = [i for i in last if self._keys[i].endswith(f"/{key}")]
        if len(found) > 1:
            first, second = (readable(self._names[i]) for i in found[:2])
            reason = f"{len(found)} photos have this name, such as {first} and {second}"
            raise NotFound("ambiguous", reason)
        return self._paths[found[0]] if found else None


class _Positions:
    """Where each of many keys stands; most stand in one place, which needs no list."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._first: dict[str, int] = {}
        self._all: dict[str, list[int]] = {}
        for position, key in enumerate(keys):
            first = self._first.setdefault(key, position)
            if first != position:
                self._all.setdefault(key, [first]).append(position)

    def of(self, key: str) -> Sequence[int]:
        """Returns the places of a key, in order."""
        first = self._first.get(key)
        return self._all.get(key, () if first is None else (first,))


def _slashes(value: str) -> str:
    """Returns a name with `/` as separator, and nothing before it that means "here"."""
    name = normal(value).replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    return name
