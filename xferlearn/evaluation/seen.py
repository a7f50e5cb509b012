"""Photos that a model has learned from, or that are copies of such: on them it looks too good."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from xferlearn.bottlenecks.store import PrintStore
from xferlearn.photos.photo import SPLITS
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.photos.twins.finding import find_copies, find_recorded
from xferlearn.photos.twins.prints import Prints
from xferlearn.system.text import plural_of

# Photos whose prints, of 1 KiB each, are compared at a time.
_AT_ONCE = 2**16


@dataclasses.dataclass(frozen=True)
class SeenPhotos:
    """How many of the photos that a model could be measured on it has learned from.

    Attributes:
        photos: by split of the model's own photos, how many are among these.
        copies: likewise, how many others are copies of such: saved again, or scaled.
        left_out: whether they are left out; else they are measured like all others.
    """

    photos: Mapping[str, int]
    copies: Mapping[str, int]
    left_out: bool = True

    @property
    def total(self) -> int:
        """How many there are of both."""
        return sum(self.photos.values()) + sum(self.copies.values())

    def text(self) -> str:
        """Returns what they are, e.g. "916 photos that the model has learned from (916 train)"."""
        photos, copies = sum(self.photos.values()), sum(self.copies.values())
        learned = "photos that the model has learned from"
        parts = []
        if photos:
            noun = learned if photos > 1 else learned.replace("photos", "photo", 1)
            parts.append(f"{photos:,} {noun} {_by_split(self.photos)}")
        if copies:
            noun = plural_of(copies, "re-saved copy", "re-saved copies")
            parts.append(
                f"{copies:,} {noun} of {'such' if photos else learned} {_by_split(self.copies)}"
            )
        return " and ".join(parts)

    def warnings(self) -> list[str]:
        """Returns what a person should know where they are measured too, one line or none."""
        if self.left_out or not self.total:
            return []
        return [f"What is measured is too high: it is also of {self.text()}."]


class Recognised:
    """Recognises the photos that a model has learned from."""

    def __init__(self, recorded: Sequence[RecordedPhoto]) -> None:
        """Remembers a model's photos.

        Args:
            recorded: all that its folder names.
        """
        self._learned = {photo.digest: photo for photo in recorded if photo.learned}

    def split(self, digest: bytes) -> str | None:
        """Returns the split of a photo that the model has learned from; None for others."""
        photo = self._learned.get(digest)
        return None if photo is None else photo.split

    def copies(self, digests: np.ndarray, store: PrintStore | None) -> np.ndarray:
        """Returns of which split the photo is that each photo is a copy of.

        Args:
            digests: of the photos, uint8, [photos, 32].
            store: their prints; None where there are none.

        Returns:
            int8, [photos], an index into `SPLITS`; -1 for no copies, and for the model's own.
        """
        found = np.full(len(digests), -1, np.int8)
        if store is None:
            return found
        learned = list(self._learned.values())
        there, rows = store.read_known([photo.digest for photo in learned])
        # Prints say more, where they were not made on another machine.
        near, printed = [learned[place] for place in there], Prints(rows)
        known = {photo.digest for photo in near}
        far = [one for one in learned if one.look and one.digest not in known]
        looks = np.frombuffer(b"".join(photo.look for photo in far), np.uint8)
        for start in range(0, len(digests), _AT_ONCE):
            block = [row.tobytes() for row in digests[start : start + _AT_ONCE]]
            asked = [one for one in dict.fromkeys(block) if one not in self._learned]
            there, rows = store.read_known(asked)
            new, looked = [asked[place] for place in there], Prints(rows)
            by_look = find_recorded(looked, looks.reshape(len(far), -1)) if far else [-1] * len(new)
            split = {}
            for digest, one, other in zip(new, find_copies(looked, printed), by_look, strict=True):
                if one >= 0 or other >= 0:
                    copied = near[one] if one >= 0 else far[other]
                    split[digest] = SPLITS.index(copied.split)
            for row, digest in enumerate(block):
                found[start + row] = split.get(digest, -1)
        return found


def copied_splits(copied: np.ndarray) -> dict[str, int]:
    """Returns how often each split occurs in what `Recognised.copies` returned."""
    return {split: int((copied == number).sum()) for number, split in enumerate(SPLITS)}


def by_split(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns how often each split occurs, in their order."""
    return {split: counts.get(split, 0) for split in SPLITS}


def _by_split(numbers: Mapping[str, int]) -> str:
    return f"({', '.join(f'{number:,} {split}' for split, number in numbers.items() if number)})"
