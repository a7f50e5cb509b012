"""Photos that a model has learned from, or that are copies of such: on them it looks too good."""

import collections
from collections.abc import Sequence

import numpy as np

from xferlearn.bottlenecks.store import PrintStore
from xferlearn.photos.manifest import SPLITS, TEST
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.photos.twins.finding import find_copies, find_recorded
from xferlearn.photos.twins.prints import Prints
from xferlearn.system.text import count, plural_of

_AFTERWARDS = ", which it has learned from after its test"


def count_seen(
    digests: Sequence[bytes], recorded: Sequence[RecordedPhoto], prints: PrintStore | None
) -> tuple[dict[str, int], dict[str, int]]:
    """Returns by split how many photos a model has learned from, or how many are copies of such."""
    used = {photo.digest: photo for photo in recorded if photo.learned}
    seen = collections.Counter(used[digest].split for digest in digests if digest in used)
    copies: collections.Counter[str] = collections.Counter()
    if prints is not None:
        new = [digest for digest in digests if digest not in used and digest in prints]
        looked = Prints(prints.read(new))
        # Prints say more, where they were not made on another machine.
        near = [photo for photo in used.values() if photo.digest in prints]
        far = [photo for photo in used.values() if photo.look and photo.digest not in prints]
        looks = np.frombuffer(b"".join(photo.look for photo in far), np.uint8)
        by_look = find_recorded(looked, looks.reshape(len(far), -1)) if far else [-1] * len(new)
        by_print = find_copies(looked, Prints(prints.read([photo.digest for photo in near])))
        for one, other in zip(by_print, by_look, strict=True):
            if one >= 0 or other >= 0:
                copies[near[one].split if one >= 0 else far[other].split] += 1
    return {split: seen[split] for split in SPLITS}, {split: copies[split] for split in SPLITS}


def seen_warnings(total: int, seen: dict[str, int], copies: dict[str, int]) -> list[str]:
    """Returns what a person should know of such photos, one line per kind and split."""
    kinds = (
        (seen, "was", "were"),
        (copies, "is a re-saved copy of a photo", "are re-saved copies of photos"),
    )
    return [
        f"{number:,} of {count(total, 'photo')} {plural_of(number, one, several)} in the model's"
        f" {split} split{_AFTERWARDS if split == TEST else ''}: the accuracy is too high."
        for counts, one, several in kinds
        for split, number in counts.items()
        if number
    ]
