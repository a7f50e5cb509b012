"""File names as tables have them -> photos: relative, absolute, bare, without ending."""

import collections
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from xferlearn.photos.folders.names import normal
from xferlearn.photos.folders.trees import photos_below
from xferlearn.system.addresses import is_bucket, is_url, split_options
from xferlearn.system.places import place_of
from xferlearn.system.text import readable

_SAMPLE = 200
# Where more names than this are whole, one that is not whole is that of no photo.
_FEW_WHOLE = 0.05
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
        place: that folder, where it is in a bucket; else None.
        by_end: the photos, by name, that `find_all` found by the ends of their names alone.
    """

    def __init__(self, image_dir: str | None, folder: str) -> None:
        """Prepares a search.

        Args:
            image_dir: folder of the photos; None where names lead to them without.
            folder: folder of the table.
        """
        # What lies beside a table in a bucket is listed once, not looked for name by name.
        address = image_dir or (folder if is_bucket(folder) else "")
        self.place = place_of(address, "`image_dir`") if is_bucket(address) else None
        self.root = split_options(address)[0].rstrip("/") if self.place else address
        self.prefix = ""
        self.by_end: dict[str, str] = {}
        self._folder = folder

    @functools.cached_property
    def photos(self) -> list[str]:
        """The photos below `root`, sorted."""
        if not self.root:
            return []
        found = photos_below(self.place.address if self.place else self.root, "`image_dir`")
        return [path for path, _ in found.files]

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
            return self._whole(value) or self._ending(value)
        except NotFound as problem:
            return str(problem) if problem.kind == "ambiguous" else None

    def find_all(self, values: Iterable[str]) -> dict[str, str | NotFound]:
        """Returns by name the path of the photo that it leads to, or why it leads to none.

        Where names are those of photos as they are, a photo in another folder that only ends
        alike is another one: a copy, or one that was put aside. The photos that were found by the
        ends of their names, where no names are whole, are in `by_end`.
        """
        found: dict[str, str | NotFound] = {}
        rest: list[str] = []
        for value in dict.fromkeys(values):
            try:
                path = self._whole(value)
            except NotFound as problem:
                found[value] = problem
                continue
            if path is None:
                rest.append(value)
            else:
                found[value] = path
        whole = sum(isinstance(one, str) for one in found.values())
        few = whole < _FEW_WHOLE * (whole + len(rest))
        for value in rest:
            try:
                path = self._ending(value)
            except NotFound as problem:
                found[value] = problem
                continue
            if path is None:
                found[value] = NotFound("missing", "not found")
            elif few:
                found[value] = self.by_end[value] = path
            else:
                other = readable(os.path.relpath(path, self.root))
                found[value] = NotFound("missing", f"not found; {other} only ends alike")
        return found

    def _names(self, value: str) -> Iterator[str]:
        name = _slashes(value)
        yield name
        if self.prefix and name.startswith(self.prefix):
            yield name.removeprefix(self.prefix)

    def _whole(self, value: str) -> str | None:
        name = _slashes(value)
        if is_bucket(name):
            # Whether it is there is seen when it is read: to look would be a request per photo.
            return self._listed(name) or (None if self._below_root(name) else name)
        if is_url(name):
            raise NotFound("url", "is a URL; download the photo")
        path = self._listed(name) or self._there(name)
        if path is not None:
            return path
        found = (index.only(one) for index in self._indices for one in self._names(value))
        return next(filter(None, found), None)

    def _ending(self, value: str) -> str | None:
        found = (index.ending(one) for index in self._indices for one in self._names(value))
        return next(filter(None, found), None)

    def _listed(self, name: str) -> str | None:
        for root in self._absolute_roots:
            if name.startswith(root):
                name = name[len(root) :]
        return self._indices[0].whole(name) if self._indices else None

    def _below_root(self, name: str) -> bool:
        return self.place is not None and name.startswith(f"{self.root}/")

    def _there(self, name: str) -> str | None:
        """Returns a file that need not look like a photo, nor lie below `root`."""
        if self.place is not None:
            return None
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
        if self.place is not None:
            return [f"{self.root}/"]
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

    def only(self, name: str) -> str | None:
        """Returns the one photo of this name; None without any.

        Raises:
            NotFound: when there are several.
        """
        return self._one(self._by_name.of(self._key(name)))

    def ending(self, name: str) -> str | None:
        """Returns the one photo in a folder whose name ends like this; None without any.

        Raises:
            NotFound: when there are several.
        """
        key = self._key(name)
        last = self._by_last.of(key.rpartition("/")[2])
        return self._one([i for i in last if self._keys[i].endswith(f"/{key}")])

    def _one(self, found: Sequence[int]) -> str | None:
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
