"""The labels that photos have by now, and the corrections that an answer means."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from xferlearn.errors import UserError, did_you_mean
from xferlearn.photos.corrected import Applied
from xferlearn.photos.corrections import EXCLUDE, KEEP, RELABEL, Correction, Corrections
from xferlearn.photos.folders.names import check_name, class_label
from xferlearn.photos.photo import Photo
from xferlearn.photos.several import label_text, labelled_rows, labels_in, read_label_text
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
        y: as `Material.y`, of the labels that photos have by now.

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
        self.is_multi_label = self.y.ndim == 2
        self._applied = Applied(Corrections(), self.is_multi_label)
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
        """Returns the class that a photo lies under, or all its labels; None for none yet."""
        return self._material.texts[photo.label] if photo.label >= 0 else None

    def row(self, digest: bytes) -> int:
        """Returns the row that stands for a photo.

        Raises:
            UnknownPhoto: there is no such photo.
        """
        return self._known(digest)[0]

    def asked(self) -> dict[bytes, tuple[str, str | None]]:
        """Returns name and label, None for none yet, of all that may be asked about, by digest."""
        return {digest: (photo.name, self.own(photo)) for digest, photo in self._asked.items()}

    def of(self, photo: Photo, corrections: Corrections) -> str | None:
        """Returns the label that a photo, or a copy of one, has by now; None for none."""
        text = self._by(corrections).label(photo.digest, self.own(photo))
        return None if text is None else self.shown(text)

    def known(self, name: str) -> str | None:
        """Returns what the class of this name is called here; None where there is none."""
        place = self._places.get(class_label(name))
        return None if place is None else self.names[place]

    def shown(self, text: str) -> str:
        """Returns a label with its classes as they are called here; a class that is not, as is."""
        if self.is_multi_label:
            return label_text(self.known(one) or one for one in labels_in(text))
        return self.known(text) or text

    def parts(self, text: str | None) -> list[str] | None:
        """Returns the classes of a label; None for none yet."""
        if text is None:
            return None
        return [*labels_in(text)] if self.is_multi_label else [text]

    def apply(self, digests: Iterable[bytes], corrections: Corrections) -> None:
        """Gives some photos the labels that they have by now."""
        applied = self._by(corrections)
        for digest in digests:
            for row in self._rows.get(digest, ()):
                text = applied.label(digest, self.own(self._material.photos[row]))
                places = [self._place(one) for one in self.parts(text) or ()]
                if not self.is_multi_label:
                    self.y[row] = places[0] if places else -1
                    continue
                self.y[row] = -1 if text is None else 0
                self.y[row, places] = 1

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
        without = np.flatnonzero(~labelled_rows(self.y)).tolist()
        rest = ((row, self._material.photos[row]) for row in without)
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
            label: one of the classes, where it is relabelled; where photos may have several, all
                that it has, as `photos.several` writes them.
            when: the time of the answer.

        Raises:
            UnknownPhoto: there is no such photo.
            UserError: the answer is none that the photo can have.
        """
        photo = self._material.photos[self.row(digest)]
        own = [self.own(self._material.photos[row]) for row in self._known(digest)]
        if action == KEEP:
            label = self._written(self._kept(photo, own))
        elif action == EXCLUDE:
            label = ""
        elif action == RELABEL:
            for one in self.parts(label) or ():
                if self.known(one) is None:
                    near = did_you_mean(one, self.names)
                    raise UserError(f"There is no class {readable(one)!r}.{near} Add it first.")
            label = self._written(label)
            # To give it the label that it has says that this is right.
            same = {None if one is None else self._written(one) for one in own} == {label}
            action = KEEP if same else RELABEL
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
            if self.is_multi_label:
                sets = " and ".join(
                    readable(str(one)) or "without labels" for one in (first, *others)
                )
                raise UserError(
                    f"{readable(photo.name)} is there with different labels, {sets}, so there are"
                    " none to keep: choose those that are right, or exclude it."
                )
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
            if self.is_multi_label:
                column = np.where(labelled_rows(self.y), 0, -1).astype(self.y.dtype)
                self.y = np.column_stack([self.y, column])
        return place

    def _written(self, label: str) -> str:
        """Returns a label as corrections have it."""
        return read_label_text(label) if self.is_multi_label else class_label(label)

    def _by(self, corrections: Corrections) -> Applied:
        if self._applied.given is not corrections:
            self._applied = Applied(corrections, self.is_multi_label)
        return self._applied


def shown_name(name: str) -> str:
    """Returns a photo's name as text; bytes that are not UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
