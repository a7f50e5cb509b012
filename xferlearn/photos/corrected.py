"""Photos as corrections have them: relabelled, left out, or, without a class before, given one."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, TypeVar

from xferlearn.config import EvaluateConfig
from xferlearn.errors import UserError, did_you_mean
from xferlearn.photos.corrections import EXCLUDE, KEEP, Corrections, read_corrections
from xferlearn.photos.folders.names import class_label, first_names
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.system.text import count, plural_of, readable

LabelledT = TypeVar("LabelledT", Entry, Photo, BadPhoto)


@dataclasses.dataclass
class Applied:
    """Applies corrections to one photo after the other, and counts what they do.

    Attributes:
        corrections: by digest.
        relabelled: photos that have another label by them.
        excluded: photos that they leave out.
        labelled: photos without a class that are given one.
        kept: photos whose label they confirm.
        already: photos that had the label, which they give, before.
        outdated: photos that have another label by now than the one that is to be kept.
        unlabelled: photos that have no class still, which are not used.
        twice: photos without a class that are among those with one too.
        new: classes that only they have.
        empty: classes that have no photos left by them.
    """

    corrections: Corrections
    relabelled: int = 0
    excluded: int = 0
    labelled: int = 0
    kept: int = 0
    already: int = 0
    outdated: int = 0
    unlabelled: int = 0
    twice: int = 0
    new: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    _seen: set[bytes] = dataclasses.field(default_factory=set, repr=False)

    def label(self, digest: bytes, own: str | None) -> str | None:
        """Returns the class of a photo; None where it is not used.

        Args:
            digest: SHA-256 of the photo's bytes.
            own: the class that it lies under; None for none.
        """
        row = self.corrections.get(digest)
        if row is None:
            self.unlabelled += own is None
            return own
        self._seen.add(digest)
        if row.action == EXCLUDE:
            self.excluded += 1
            return None
        if own is None:
            self.labelled += 1
            return row.label
        # A label in another form of Unicode is the same one.
        same = class_label(own) == row.label
        if row.action == KEEP:
            self.kept += same
            self.outdated += not same
            return own
        self.already += same
        self.relabelled += not same
        return own if same else row.label

    @property
    def missing(self) -> int:
        """How many corrections are of photos that were not met."""
        return len(self.corrections) - len(self._seen)

    def as_dict(self) -> dict[str, Any]:
        """Returns all counts, for JSON."""
        left_out = ("corrections", "_seen")
        names = [one.name for one in dataclasses.fields(self) if one.name not in left_out]
        return {name: getattr(self, name) for name in names} | {"missing": self.missing}

    def lines(self) -> tuple[str, ...]:
        """Returns what a person should know, one line each."""
        told = {
            "relabelled": self.relabelled,
            "left out": self.excluded,
            "without a class before": self.labelled,
            "kept": self.kept,
            "had the label already": self.already,
        }
        number = sum(told.values())
        parts = ", ".join(f"{some:,} {what}" for what, some in told.items() if some)
        lines = [f"corrections of {count(number, 'photo')}: {parts}"] if number else []
        if self.missing:
            verb = plural_of(self.missing, "is of a photo that is", "are of photos that are")
            lines.append(f"{count(self.missing, 'correction')} {verb} not here")
        if self.outdated:
            has = plural_of(self.outdated, "has", "have")
            lines.append(
                f"{count(self.outdated, 'photo')} {has} another label by now than the one that a"
                " correction keeps"
            )
        if self.new:
            lines.append(f"new by corrections: {first_names([*map(readable, self.new)])}")
        if self.empty:
            names = first_names([*map(readable, self.empty)])
            lines.append(f"no photos left by corrections: {names}")
        if self.unlabelled:
            verbs = "has no class yet and is", "have no class yet and are"
            noun = count(self.unlabelled, "unlabelled photo")
            lines.append(f"{noun} {plural_of(self.unlabelled, *verbs)} not used")
        if self.twice:
            noun = count(self.twice, "unlabelled photo")
            lines.append(
                f"{noun} {plural_of(self.twice, 'is', 'are')} among those with a class too"
            )
        return tuple(lines)


@dataclasses.dataclass(frozen=True)
class CorrectedSource:
    """A source whose photos have the labels that corrections give them.

    What a correction is of is known once the photos are read: until `settled`, the photos have the
    labels that they lie under, -1 where they have none.

    Attributes:
        source: the photos as they lie.
        corrections: by digest.
        labels: class names; once settled, with those that only corrections have, and without those
            that have no photos left.
        applied: what the corrections did; None before it is settled.
        unlabelled: readable photos that have no class still.
    """

    source: PhotoSource
    corrections: Corrections
    labels: tuple[str, ...]
    applied: Applied | None = None
    unlabelled: tuple[Photo, ...] = dataclasses.field(default=(), repr=False)
    # Label's index by the name and the label's index in `source`; None for photos not used.
    _given: Mapping[tuple[str, int], int | None] = dataclasses.field(
        default_factory=dict, repr=False
    )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of what was found."""
        return self.source.warnings

    @property
    def count(self) -> int:
        """Number of photos, without those that are left out."""
        return self.source.count - sum(label is None for label in self._given.values())

    @property
    def left_out(self) -> tuple[BadPhoto, ...]:
        """Photos that were named and can't be found."""
        return self.source.left_out

    @property
    def holds_bytes(self) -> bool:
        """Whether the entries have the photos' bytes with them."""
        return self.source.holds_bytes

    def entries(self) -> Iterator[Entry]:
        """Yields the photos in the order of their source."""
        return self.relabelled(self.source.entries())

    def only(self, names: Set[str], most_bytes: int | None = None) -> "CorrectedSource":
        """Returns a source of the photos with these names."""
        return dataclasses.replace(self, source=self.source.only(names, most_bytes))

    def relabelled(self, photos: Iterable[LabelledT]) -> Iterator[LabelledT]:
        """Yields those of the source's photos that are used, with their labels here."""
        for photo in photos:
            label = self._given.get((photo.name, photo.label), photo.label)
            if label == photo.label:
                yield photo
            elif label is not None:
                yield dataclasses.replace(photo, label=label)

    def settled(self, photos: Sequence[Photo], bad: Sequence[BadPhoto]) -> "CorrectedSource":
        """Returns the source with what its photos turned out to be.

        Photos that still have no class, and those that are excluded, are not used. Classes that
        have neither photos nor unreadable ones left by that are no classes any more.

        Args:
            photos: all of its photos that could be read, with the labels they lie under.
            bad: those that could not.
        """
        before = self.labels
        applied = Applied(self.corrections)
        # A photo without a class that lies among those with one too is that one.
        classed = {photo.digest for photo in photos if photo.label >= 0}
        given: dict[tuple[str, int], str | None] = {}
        unlabelled = []
        for photo in photos:
            own = before[photo.label] if photo.label >= 0 else None
            name = None
            if own is None and photo.digest in classed:
                applied.twice += 1
            else:
                name = applied.label(photo.digest, own)
                if name is None and photo.digest not in self.corrections:
                    unlabelled.append(photo)
            given[photo.name, photo.label] = name
        given |= {(one.name, one.label): before[one.label] for one in bad if one.label >= 0}
        held = {name for name in given.values() if name is not None}
        # A class that had no photos in the first place is not the corrections' business.
        had = {before[label] for _, label in given if label >= 0}
        kept = [name for name in before if name in held or name not in had]
        applied.new = tuple(sorted(held.difference(before)))
        applied.empty = tuple(name for name in before if name not in kept)
        labels = (*kept, *applied.new)
        if list(before) == sorted(before):
            labels = tuple(sorted(labels))
        index = {name: number for number, name in enumerate(labels)}
        numbers = {key: None if name is None else index[name] for key, name in given.items()}
        return dataclasses.replace(
            self,
            labels=labels,
            applied=applied,
            unlabelled=tuple(unlabelled),
            _given={key: label for key, label in numbers.items() if label != key[1]},
        )


def corrections_of_measured(
    config: EvaluateConfig, labels: tuple[str, ...]
) -> tuple[Applied | None, tuple[str, ...]]:
    """Returns the corrections that a model is measured with, and the classes with theirs.

    Args:
        config: `corrections`, and what to do with `other_classes` than those of the model.
        labels: the model's classes, and others that photos of are counted.

    Raises:
        UserError: when they can't be read, or give a photo a class that the model does not have.
    """
    if config.corrections is None:
        return None, labels
    corrections = read_corrections(config.corrections)
    others = [row for row in corrections.values() if row.label and row.label not in labels]
    if others and config.other_classes == "error":
        row = others[0]
        raise UserError(
            f"{config.corrections} gives {readable(row.name)} the label {readable(row.label)!r},"
            f" which the model does not have.{did_you_mean(row.label, labels)} Say what becomes of"
            " such photos: `other_classes='skip'` leaves them out, `other_classes='count'` counts"
            " them as wrong answers."
        )
    new = dict.fromkeys(row.label for row in others) if config.other_classes == "count" else ()
    return Applied(corrections), (*labels, *new)
