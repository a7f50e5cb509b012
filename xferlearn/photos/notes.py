"""What a person should know of how a command's photos were read, counted over all of them."""

import collections

from xferlearn.errors import UserError
from xferlearn.photos.pixels.depth import DEPTHS
from xferlearn.photos.reading import Loaded
from xferlearn.system.text import count, readable


class ReadingNotes:
    """Counts, photo by photo, what is worth one line in the end.

    Example:
        >>> notes = ReadingNotes()
        >>> for item in load_photos(source.entries(), 224, limits):
        ...     notes.add(item)
        >>> notes.lines()
        ('3 photos have several pages, of which the first is used, e.g. scans/a.tif',)
    """

    def __init__(self) -> None:
        self._paged: list[str] = []
        self._paged_count = 0
        self._unread: collections.Counter[str] = collections.Counter()
        self._reached: collections.Counter[int] = collections.Counter()
        self._examples: dict[int, str] = {}

    def add(self, item: Loaded) -> None:
        """Counts a photo."""
        reached = item.depth.reached if item.depth is not None else None
        self.add_read(item.entry.name, paged=item.paged, remedy=item.remedy, reached=reached)

    def add_read(self, name: str, *, paged: bool, remedy: str, reached: int | None) -> None:
        """Counts a photo that was read elsewhere.

        Args:
            name: the photo.
            paged: as of `Loaded`.
            remedy: likewise.
            reached: bits that its largest value needs; None for photos of 8 bits per channel.
        """
        if paged:
            self._paged_count += 1
            self._paged = self._paged or [name]
        if remedy:
            self._unread[remedy] += 1
        if reached is not None:
            self._reached[reached] += 1
            self._examples.setdefault(reached, name)

    @property
    def largest_depth(self) -> int | None:
        """The bits that the largest value of all photos needs; None if all have 8 per channel."""
        return max(self._reached, default=None)

    def lines(self) -> tuple[str, ...]:
        """Returns what concerns the files: pages that are not used, and packages that lack."""
        found = []
        if self._paged_count:
            name = readable(self._paged[0])
            found.append(
                f"{_photos(self._paged_count, 'has', 'have')} several pages, of which the first is"
                f" used, e.g. {name}."
            )
        return (*found, *self.remedies())

    def remedies(self) -> tuple[str, ...]:
        """Returns how photos that no installed package reads can be read."""
        return tuple(
            f"{_photos(number, 'needs', 'need')} a package that is missing: {remedy}"
            for remedy, number in self._unread.items()
        )

    def refusal(self, name: str, problem: str, advice: str = "") -> UserError:
        """Returns the error of a photo that can't be used, for commands that stop there."""
        return UserError(" ".join([f"{name} can't be used: {problem}.{advice}", *self.remedies()]))

    def training_depth(self) -> tuple[str, ...]:
        """Returns what a training does with photos of more than 8 bits per channel."""
        bits = self.largest_depth
        if bits is None:
            return ()
        total, most = self._reached.total(), self._reached[bits]
        said = f"{_photos(total, 'has', 'have')} 16-bit values, of which {bits} bits are used"
        lower = sorted(self._reached)[:-1]
        if not lower or most > total / 2:
            return (f"{said}.",)
        return (
            f"{said} because of {_photos(most)}, e.g. {readable(self._examples[bits])};"
            f" {_photos(total - most, 'needs', 'need')} only {lower[-1]} and"
            f" {'is' if total - most == 1 else 'are'} dark.",
        )

    def labelling_depth(self, trained: int | None) -> tuple[str, ...]:
        """Returns how photos of more than 8 bits per channel differ from a model's.

        Args:
            trained: bits that the model's training photos used; None if they had 8 per channel, or
                the model does not say.
        """
        bits = self.largest_depth
        if bits is None or bits == trained:
            return ()
        total = self._reached.total()
        if trained is None:
            used = ", ".join(f"{self._reached[one]} with {one}" for one in sorted(self._reached))
            return (
                f"{_photos(total, 'has', 'have')} 16-bit values, and the model was not trained on"
                f" such: each is read with the bits that its own values need ({used}).",
            )
        if bits < trained:
            return (
                f"{_photos(total, 'has', 'have')} 16-bit values that need at most {bits} bits, and"
                f" the model was trained on {trained}: they look darker to it than its own.",
            )
        over = sum(number for one, number in self._reached.items() if one > trained)
        name = readable(
            next(self._examples[one] for one in DEPTHS if one > trained and one in self._examples)
        )
        return (
            f"{_photos(over, 'has', 'have')} values beyond the {trained} bits that the model was"
            f" trained on: each is read with the bits that its own values need, e.g. {name}.",
        )


def _photos(number: int, one: str = "", several: str = "") -> str:
    return f"{count(number, 'photo')} {one if number == 1 else several}".rstrip()
