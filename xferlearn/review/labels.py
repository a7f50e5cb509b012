"""The labels that photos have by now, and the corrections that an answer means."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from xferlearn.errors import UserError, did_you_mean
from xferlearn.photos.corrected import Applied
from xferlearn.photos.corrections import EXCLUDE, KEEP, RELABEL, Correction, Corrections
from xferlearn.photos.folders.names import check_name, class_label
from xferlearn.photos.manifest import Photo
from xferlearn.system.text import readable
from xferlearn.training.material import Material

_COMMAND = "xferlearn review"


class UnknownPhoto(UserError):
    """A review has no such photo."""


class Labels:
    """The photos of a review with the labels that corrections give them.

    The same bytes may lie in several classes; they are one photo here, which its first row stands
    for wherever it is named.

    Attributes:
        names: the classes, with those that were added.
        y: class index of each row, int32, [rows]; -1 for none.

    Example:
        >>> labels = Labels(material, copies={})
        >>> labels.apply(corrections, corrections)
        >>> labels.of(material.photos[0], corrections)
        'tulips'
    """

    def __init__(self, material: Material, copies: Mapping[bytes, Sequence[Photo]]) -> None:
        """Gives each photo the label that it lies under.

        Args:
            material: the photos, without corrections.
            copies: by digest, other files with the same pixels and class, or both without one.
        """
        self._material, self._copies = material, copies
        self.y = material.y
        self.names = [*material.labels]
        # A name in another form of Unicode is the same one.
        self._places = {class_label(name): place for place, name in enumerate(self.names)}
        self._rows: dict[bytes, list[int]] = {}
        for row, photo in enumerate(material.photos):
            self._rows.setdefault(photo.digest, []).append(row)
        # Of photos that are corrected together one is asked about.
        self._asked: dict[bytes, Photo] = {}
        others: set[bytes] = set()
        for digest, rows in self._rows.items():
            if digest not in others:
                self._asked[digest] = material.photos[rows[0]]
                others.update(one.digest for one in copies.get(digest, ()))

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._asked

    def own(self, photo: Photo) -> str | None:
        """Returns the class that a photo lies under; None for none."""
        return self._material.labels[photo.label] if photo.label >= 0 else None

    def row(self, digest: bytes) -> int:
        """Returns the row that stands for a photo.

        Raises:
            UnknownPhoto: there is no such photo.
        """
        return self._known(digest)[0]

    def asked(self) -> dict[bytes, tuple[str, str]]:
        """Returns name and class, "" for none, of all photos that may be asked about, by digest."""
        return {
            digest: (photo.name, self.own(photo) or "") for digest, photo in self._asked.items()
        }

    def of(self, photo: Photo, corrections: Corrections) -> str:
        """Returns the label that a photo, or a copy of one, has by now; "" for none."""
        name = Applied(corrections).label(photo.digest, self.own(photo))
        return "" if name is None else self.known(name) or name

    def known(self, name: str) -> str | None:
        """Returns what the class of this name is called here; None where there is none."""
        place = self._places.get(class_label(name))
        return None if place is None else self.names[place]

    def apply(self, digests: Iterable[bytes], corrections: Corrections) -> None:
        """Gives some photos the labels that they have by now."""
        applied = Applied(corrections)
        for digest in digests:
            for row in self._rows.get(digest, ()):
                name = applied.label(digest, self.own(self._material.photos[row]))
                self.y[row] = -1 if name is None else self._place(name)

    def add(self, name: str) -> None:
        """Adds a class.

        Raises:
            UserError: it is no name for a class, or there is one like it.
        """
        name = class_label(name)
        if not name:
            raise UserError("Expected a name for the class. Received: an empty one.")
        check_name(name, "label", "the page")
        same = [one for one in self._places if one.casefold() == name.casefold()]
        if same:
            raise UserError(f"There is a class {readable(same[0])!r} already.")
        self._place(name)

    def without_class(self, corrections: Corrections) -> list[int]:
        """Returns the rows of photos that never had a class, nor a correction."""
        rest = ((row, self._material.photos[row]) for row in np.flatnonzero(self.y < 0).tolist())
        return [
            row
            for row, photo in rest
            if photo.label < 0 and photo.digest in self and photo.digest not in corrections
        ]

    def corrections(self, digest: bytes, action: str, label: str, when: str) -> list[Correction]:
        """Returns what an answer says of a photo, and of its copies.

        Args:
            digest: which photo.
            action: "relabel", "exclude" or "keep".
            label: one of the classes, where it is relabelled.
            when: the time of the answer.

        Raises:
            UnknownPhoto: there is no such photo.
            UserError: the answer is none that the photo can have.
        """
        photo = self._material.photos[self.row(digest)]
        own = [self.own(self._material.photos[row]) for row in self._known(digest)]
        if action == KEEP:
            label = class_label(self._kept(photo, own))
        elif action == EXCLUDE:
            label = ""
        elif action == RELABEL:
            if self.known(label) is None:
                near = did_you_mean(label, self.names)
                raise UserError(f"There is no class {readable(label)!r}.{near} Add it first.")
            label = class_label(label)
            # To give it the label that it has says that this is right.
            action = KEEP if {one and class_label(one) for one in own} == {label} else RELABEL
        else:
            raise UserError(
                f"Expected `action` to be relabel, exclude or keep. Received: {readable(action)!r}."
            )
        return [
            Correction(one.digest, shown_name(one.name), action, label, when, _COMMAND)
            for one in (photo, *self._copies.get(digest, ()))
        ]

    def _kept(self, photo: Photo, own: Sequence[str | None]) -> str:
        first, *others = dict.fromkeys(own)
        if first is None:
            raise UserError(
                f"{readable(photo.name)} has no class that could be kept: give it a label, or"
                " exclude it."
            )
        if others:
            classes = " and in ".join(readable(str(one)) for one in (first, *others))
            raise UserError(
                f"{readable(photo.name)} lies in {classes}, so there is no one label to keep:"
                " choose the class that is right, or exclude it."
            )
        return first

    def _known(self, digest: bytes) -> list[int]:
        rows = self._rows.get(digest)
        if rows is None:
            raise UnknownPhoto("This review has no such photo.")
        return rows

    def _place(self, name: str) -> int:
        """Returns the index of a class, which is a new one where there was none."""
        place = self._places.setdefault(class_label(name), len(self.names))
        if place == len(self.names):
            self.names.append(name)
        return place


def shown_name(name: str) -> str:
    """Returns a photo's name as text; bytes that are not UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
