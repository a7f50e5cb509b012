"""What is known of one photo; of many it is held in columns, see `photos.columns`."""

import dataclasses

from xferlearn.photos.pixels.depth import key_at

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, slots=True)
class Photo:
    """One readable photo.

    Attributes:
        digest: SHA-256 of the file's bytes, 32 bytes.
        label: index of its class in the source's labels; where photos may have several, of the set
            of its classes. `Manifest.classes_of` returns them in either case.
        name: path below the photos' folder with `/`, or the dataset's key.
        fixed_split: the split that the dataset's authors gave it; None if they gave none.
        group: name of what it must stay together with in the split; None if it stands alone.
        bit_depth: bits used of its values; None for photos of 8 bits per channel.
    """

    digest: bytes
    label: int
    name: str
    fixed_split: str | None = None
    group: str | None = None
    bit_depth: int | None = None

    @property
    def key(self) -> bytes:
        """Name of its bottleneck in the cache, 32 bytes."""
        return key_at(self.digest, self.bit_depth)


@dataclasses.dataclass(frozen=True, slots=True)
class BadPhoto:
    """One photo that was left out, and why.

    Attributes:
        name: as in `Photo`.
        label: as in `Photo`; -1 if it has none.
        reason: why, one line for a person.
    """

    name: str
    label: int
    reason: str
