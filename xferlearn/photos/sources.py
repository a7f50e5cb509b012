"""What a source of photos is: it lists what there is without reading it, and reads on demand."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Protocol

import numpy as np

from xferlearn.photos.photo import BadPhoto
from xferlearn.photos.views import Augmentation


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One photo that has not been read yet.

    Attributes:
        name: path below the photos' folder with `/`, the path as given, or the dataset's key.
        label: index of its class; -1 if it has none.
        read: returns the file's bytes; raises OSError.
        size: bytes, as the file system reports them; 0 if unknown before reading.
        fixed_split: the split that the dataset's authors gave it; None if they gave none.
        group: name of what it must stay together with in the split, such as a plant, a patient or
            a session; None if it stands alone.
        view: the augmentation that it is seen in, and the number of the view; None for the plain
            view.
        digest: SHA-256 that its bytes must have; None if they may be any. See `pick_photos`.
        bit_depth: bits used if it has more than 8 per channel; None for what the limits say.
        address: the path from which others can read it; None where only `read` has it.
        changed: time of its last change, ns since 1970; 0 where it is unknown.
    """

    name: str
    label: int
    read: Callable[[], bytes]
    size: int = 0
    fixed_split: str | None = None
    group: str | None = None
    view: tuple[Augmentation, int] | None = None
    digest: bytes | None = None
    bit_depth: int | None = None
    address: str | None = None
    changed: int = 0


class PhotoSource(Protocol):
    """Labelled photos. No two of one class have the same name."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; a photo's label is an index into them.

        Where photos may have several labels, the sets of them that occur, see `photos.several`.
        """

    @property
    def is_multi_label(self) -> bool:
        """Whether photos may have several labels, or none."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of what was found, one line each, e.g. what was passed over."""

    @property
    def count(self) -> int:
        """Number of entries, for progress bars."""

    @property
    def left_out(self) -> tuple[BadPhoto, ...]:
        """Photos that were named, e.g. by a table, and can't be found."""

    @property
    def holds_bytes(self) -> bool:
        """Whether entries have their photos' bytes with them, and take memory while they wait."""

    @property
    def any_order(self) -> bool:
        """Whether `entries` takes an order, because each photo can be read without the others."""

    def entries(self, order: np.ndarray | None = None) -> Iterator[Entry]:
        """Yields the photos, always in the same order.

        Args:
            order: positions of the photos that are yielded, in this order, integers, [photos]; None
                for all as they are, and where not `any_order`.
        """

    def only(self, names: Set[str], most_bytes: int | None = None) -> "PhotoSource":
        """Returns a source of some of the photos, which passes over the others.

        Args:
            names: their names.
            most_bytes: the photos end after passing this many bytes of a source that has no way to
                a photo but past all before it, such as a dataset; None for no end.
        """


class Wrapping:
    """A source that changes what another one says of its photos, and is like it in all else."""

    source: PhotoSource

    @property
    def is_multi_label(self) -> bool:
        """Whether photos may have several labels."""
        return self.source.is_multi_label

    @property
    def count(self) -> int:
        """Number of photos."""
        return self.source.count

    @property
    def left_out(self) -> tuple[BadPhoto, ...]:
        """Photos that were named and can't be found."""
        return self.source.left_out

    @property
    def holds_bytes(self) -> bool:
        """Whether the entries of photos with labels have their bytes with them."""
        return self.source.holds_bytes

    @property
    def any_order(self) -> bool:
        """Whether `entries` takes an order."""
        return self.source.any_order


def named(entries: Iterable[Entry], names: Set[str], most_bytes: int | None) -> Iterator[Entry]:
    """Yields the photos with certain names, past all before them; see `PhotoSource.only`."""
    passed = 0
    for entry in entries:
        passed += entry.size
        if most_bytes is not None and passed > most_bytes:
            return
        if entry.name in names:
            yield entry
