"""Labelled photos together with photos of a folder that have no class yet."""

import dataclasses
import os
import re
from collections.abc import Iterator, Set
from pathlib import Path

import numpy as np

from xferlearn.errors import UserError
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.folders.trees import photos_below
from xferlearn.photos.sources import Entry, PhotoSource, Wrapping
from xferlearn.system.places import is_bucket


@dataclasses.dataclass(frozen=True)
class WithUnlabelled(Wrapping):
    """The photos of a source, and behind them those of a folder, with label -1.

    Attributes:
        source: photos with classes.
        others: the files without.
        group_by: the first group, or whole match, in a file's name tells its group; None for none.
    """

    source: PhotoSource
    others: FileSource
    group_by: re.Pattern[str] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""
        return self.source.labels

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of what was found."""
        return (*self.source.warnings, *self.others.warnings)

    @property
    def count(self) -> int:
        """Number of photos."""
        return self.source.count + self.others.count

    def entries(self, order: np.ndarray | None = None) -> Iterator[Entry]:
        """Yields the photos with classes, then the others; or some in an order."""
        if order is None:
            yield from self.source.entries()
            yield from map(self._grouped, self.others.entries())
            return
        behind = order >= self.source.count
        others = map(self._grouped, self.others.entries(order[behind] - self.source.count))
        labelled = self.source.entries(order[~behind])
        for is_other in behind:
            yield next(others if is_other else labelled)

    def _grouped(self, entry: Entry) -> Entry:
        found = self.group_by.search(entry.name) if self.group_by else None
        group = found and (found.group(1) if found.re.groups else found.group())
        return dataclasses.replace(entry, group=group or None)

    def only(self, names: Set[str], most_bytes: int | None = None) -> "WithUnlabelled":
        """Returns a source of the photos with these names."""
        return dataclasses.replace(
            self,
            source=self.source.only(names, most_bytes),
            others=self.others.only(names, most_bytes),
        )


def with_unlabelled(
    source: PhotoSource, folder: str | Path, root: str | Path | None, group_by: str | None = None
) -> WithUnlabelled:
    """Returns a source to which the photos of a folder are added, at any depth, without classes.

    Args:
        source: photos with classes.
        folder: the folder.
        root: the folder that the names of `source` are relative to: names here are too, and begin
            with ".." where they lie elsewhere. None names them by their whole paths.
        group_by: a regular expression that tells groups by names; None for none.

    Raises:
        UserError: when there is no such folder, or it has no photos.
    """
    if not is_bucket(folder) and os.path.isdir(folder):
        folder = os.path.abspath(folder)
    others = photos_below(folder, "`unlabelled`")
    if not others.count:
        raise UserError(f"Found no photos in `unlabelled` {folder}.")
    base = ""
    if root is not None:
        base = str(root) if is_bucket(root) else os.path.abspath(root)
    others = dataclasses.replace(others, root=base)
    return WithUnlabelled(source, others, re.compile(group_by) if group_by else None)
