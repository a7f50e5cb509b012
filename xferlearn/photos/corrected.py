"""Photos as corrections have them: relabelled, left out, or, without a class before, given one."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Protocol, TypeVar

import numpy as np

from xferlearn.config import EvaluateConfig
from xferlearn.errors import UserError, did_you_mean
from xferlearn.photos.corrections import EXCLUDE, KEEP, Corrections, read_corrections
from xferlearn.photos.folders.columns import Codes
from xferlearn.photos.folders.names import class_label, first_names, other_classes_lines
from xferlearn.photos.photo import BadPhoto, Photo
from xferlearn.photos.several import labels_in, read_label_text
from xferlearn.photos.sources import Entry, PhotoSource, Wrapping
from xferlearn.system.text import count, plural_of, readable

LabelledT = TypeVar("LabelledT", Entry, Photo, BadPhoto)


class Labelled(Protocol):
    """A photo that was read: its content, its name, and the label's index that it lies under."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of its bytes."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def label(self) -> int:
        """Index of its class in the source."""


@dataclasses.dataclass
class Applied:
    """Applies corrections to one photo after the other, and counts what they do.

    Attributes:
        corrections: by digest.
        multi_label: whether photos may have several labels, or none.
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
        given: the corrections as they came.
    """

    corrections: Corrections
    multi_label: bool = False
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
    given: Corrections = dataclasses.field(init=False, repr=False)
    _seen: set[bytes] = dataclasses.field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        """Checks the corrections, and orders the labels that they give.

        Raises:
            UserError: when photos have one label each, and a correction gives a photo none.
        """
        self.given = self.corrections
        self.corrections = self.given.suited(multi_label=self.multi_label)

    def label(self, digest: bytes, own: str | None) -> str | None:
        """Returns the class of a photo, or all of them as one text; None where it is not used.

        Args:
            digest: SHA-256 of the photo's bytes.
            own: the class that it lies under, or all of them; None where it has not been labelled.
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
        same = (read_label_text if self.multi_label else class_label)(own) == row.label
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
        left_out = ("corrections", "multi_label", "given", "_seen")
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
class CorrectedSource(Wrapping):
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
    def any_order(self) -> bool:
        """Whether `entries` takes an order: not where some photos of the source are left out."""
        return self.source.any_order and self.count == self.source.count

    def entries(self, order: np.ndarray | None = None) -> Iterator[Entry]:
        """Yields the photos in the order of their source, or as `order` says."""
        return self.relabelled(self.source.entries(order))

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
        applied = Applied(self.corrections, self.is_multi_label)
        # A photo without a class that lies among those with one too is that one.
        alone = {photo.digest for photo in photos if photo.label < 0}
        classed = {photo.digest for photo in photos if photo.label >= 0 and photo.digest in alone}
        given = Codes()
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
            given.add(name)
        texts = given.finish()
        # A class that had no photos in the first place is not the corrections' business.
        labelled = {one.label for one in photos} | {one.label for one in bad}
        had = {before[label] for label in labelled if label >= 0}
        held = {*texts.values, *(before[one.label] for one in bad if one.label >= 0)}
        kept = [name for name in before if name in held or name not in had]
        new = tuple(sorted(held.difference(before)))
        labels = (*kept, *new)
        classes_before, classes = self._classes(before), self._classes(labels)
        applied.new = tuple(sorted(classes.keys() - classes_before))
        applied.empty = tuple(name for name in classes_before if name not in classes)
        if list(before) == sorted(before):
            labels = tuple(sorted(labels))
        index = {name: number for number, name in enumerate(labels)}
        return dataclasses.replace(
            self,
            labels=labels,
            applied=applied,
            unlabelled=tuple(unlabelled),
            _given={
                (photo.name, photo.label): label
                for photo, name in zip(photos, texts, strict=True)
                if (label := None if name is None else index[name]) != photo.label
            }
            | {
                (one.name, one.label): label
                for one in bad
                if one.label >= 0 and (label := index[before[one.label]]) != one.label
            },
        )

    def _classes(self, labels: Sequence[str]) -> dict[str, None]:
        """Returns the classes that labels name, each once."""
        return dict.fromkeys(
            one
            for label in labels
            for one in (labels_in(label) if self.is_multi_label else [label])
        )


class MeasuredClasses:
    """Which class a photo counts as where a model is measured with corrections.

    Attributes:
        labels: the model's classes, and behind them those of photos that were met which it does not
            have, where these are counted; where photos may have several, the sets of them that
            were met, see `photos.several`.
        applied: what the corrections did.
    """

    def __init__(
        self,
        config: EvaluateConfig,
        found: Sequence[str],
        labels: Sequence[str],
        *,
        multi_label: bool = False,
    ) -> None:
        """Reads the corrections.

        Args:
            config: `corrections`, and what becomes of `other_classes` than those of the model.
            found: class names by the label's index that photos lie under.
            labels: the model's classes.
            multi_label: whether photos may have several of them.

        Raises:
            UserError: when they can't be read.
        """
        self.labels = [] if multi_label else [*labels]
        self._classes_in = labels_in if multi_label else lambda label: (label,)
        self.applied = Applied(read_corrections(config.corrections or ""), multi_label)
        self._found = found
        self._rule = config.other_classes
        self._model = tuple(labels)
        self._others: collections.Counter[str] = collections.Counter()

    def index(self, photo: Labelled) -> int | None:
        """Returns the index into `labels` that a photo counts as; None where it does not count.

        Args:
            photo: a photo that was read, its digest, name, and the label's index it lies under.

        Raises:
            UserError: when that is a class that the model does not have, unless these are skipped
                or counted.
        """
        label = self.applied.label(photo.digest, self._found[photo.label])
        if label is None:
            return None
        others = [one for one in self._classes_in(label) if one not in self._model]
        if others and self._rule == "error":
            raise UserError(
                f"{readable(photo.name)} is of class {readable(others[0])!r}, which the model does"
                f" not have.{did_you_mean(others[0], self._model)} Say what becomes of such photos:"
                " `other_classes='skip'` leaves them out, `other_classes='count'` counts them as"
                " wrong answers."
            )
        self._others.update(others)
        if others and self._rule == "skip":
            return None
        if label not in self.labels:
            self.labels.append(label)
        return self.labels.index(label)

    def lines(self) -> tuple[str, ...]:
        """Returns what a person should know, one line each."""
        return (*self.applied.lines(), *other_classes_lines(self._others, self._rule))
