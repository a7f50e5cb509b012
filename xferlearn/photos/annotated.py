"""What is known of photos besides their class: the split they are for, and what they belong to."""

import dataclasses
from collections.abc import Iterator, Mapping, Set

from xferlearn.photos.manifest import BadPhoto
from xferlearn.photos.sources import Entry, PhotoSource


@dataclasses.dataclass(frozen=True)
class AnnotatedSource:
    """A source of photos of which splits or groups are known by the photos' names.

    Attributes:
        source: the photos.
        splits: split by name of those that have a fixed one.
        groups: group by name of those that belong to one.
        warnings: what a person should know of what was found, one line each.
        left_out: photos that a table names and that are not there.
    """

    source: PhotoSource
    splits: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()
    left_out: tuple[BadPhoto, ...] = dataclasses.field(default=(), repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""
        return self.source.labels

    @property
    def count(self) -> int:
        """Number of photos."""
        return self.source.count

    @property
    def holds_bytes(self) -> bool:
        """Whether the entries have the photos' bytes with them."""
        return self.source.holds_bytes

    def entries(self) -> Iterator[Entry]:
        """Yields the photos in the order of their source."""
        for entry in self.source.entries():
            split, group = self.splits.get(entry.name), self.groups.get(entry.name)
            yield dataclasses.replace(
                entry, fixed_split=split or entry.fixed_split, group=group or entry.group
            )

    def only(self, names: Set[str], most_bytes: int | None = None) -> "AnnotatedSource":
        """Returns a source of the photos with these names."""
        return dataclasses.replace(self, source=self.source.only(names, most_bytes))
