"""A review at work: what is asked, what was answered, and heads that learn from the answers."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xferlearn.auditing import Finding
from xferlearn.errors import UserError, XferlearnError, did_you_mean
from xferlearn.photos.corrected import Applied
from xferlearn.photos.corrections import EXCLUDE, KEEP, RELABEL, Correction, Corrections, now
from xferlearn.photos.folders.names import check_name, class_label
from xferlearn.photos.manifest import Photo
from xferlearn.review.answers import Answers
from xferlearn.review.asking import Ask, asked_before, asks_of
from xferlearn.review.finding import Finder
from xferlearn.review.judging import Fit, accuracy_of, class_counts, fit
from xferlearn.system.text import one_line, readable
from xferlearn.training.material import LinearHeads, Material

# Answers after which the heads learn from them unasked.
REFIT_AFTER = 10
_COMMAND = "xferlearn review"


class UnknownPhoto(UserError):
    """A review has no such photo."""


class Session:
    """What a page shows of a review, and what it may do; threads may call it at the same time.

    Attributes:
        material: the photos, with the labels that they lie under.
        answers: the file of corrections.

    Example:
        >>> session = Session(material, Answers("corrections.csv"), heads, finder)
        >>> session.answer([session.state()["items"][0]["id"]], "keep")
        >>> session.state()["pending"]
        1
    """

    def __init__(
        self,
        material: Material,
        answers: Answers,
        heads: LinearHeads,
        finder: Finder,
        *,
        title: str = "",
        copies: Mapping[bytes, Sequence[Photo]] | None = None,
    ) -> None:
        """Applies the corrections that there are, and fits the heads.

        Args:
            material: the photos, without corrections.
            answers: the file of corrections; closed by `close`.
            heads: heads on these photos.
            finder: finds what to ask.
            title: what the photos are called.
            copies: by digest, other files with the same pixels and class, which are corrected
                together with the photo.

        Raises:
            UserError: fewer than two classes have photos.
        """
        self.material = material
        self.answers = answers
        self._heads, self._finder, self._title = heads, finder, title
        self._copies = copies or {}
        self._labels = [*material.labels]
        self._own = [
            material.labels[photo.label] if photo.label >= 0 else None for photo in material.photos
        ]
        self._rows: dict[bytes, list[int]] = {}
        for row, photo in enumerate(material.photos):
            self._rows.setdefault(photo.digest, []).append(row)
        self._y = material.y
        self._apply(answers.corrections)
        self._changed = threading.Condition()
        self._revision, self._closed = 1, False
        self._touched: set[bytes] = set()
        self._fitted_with = answers.corrections
        self._busy, self._wanted, self._error = False, False, ""
        self._worker: threading.Thread | None = None
        self._asks: list[Ask] = []
        self._start = self._last = fit(heads, self._y, len(self._labels))
        self._ask_anew(*finder.find(self._last, self._labels, self._without_class()))

    # --- What the page shows

    def state(self) -> dict[str, Any]:
        """Returns everything that the page shows, for JSON."""
        with self._changed:
            corrections = self.answers.corrections
            items = [self._item(one, corrections) for one in self._asks]
            material = self.material
            return {
                "title": readable(self._title),
                "labels": [*self._labels],
                "unlabelled": len(self._without_class()),
                "corrections": readable(str(self.answers.path)),
                "revision": self._revision,
                "items": items,
                "answered": sum(item["answer"] is not None for item in items),
                "pending": self._pending(),
                "fit": {
                    "busy": self._busy,
                    "seconds": round(self._last.seconds, 3),
                    "error": self._error,
                },
                "accuracy": accuracy_of(
                    self._start, self._last, self._y, material.folds, material.groups
                ),
                "classes": class_counts(self._last, self._y, self._labels),
                "kinds": list(dict.fromkeys(one.kind for one in self._asks)),
            }

    def wait(self, revision: int, seconds: float) -> bool:
        """Waits until the state is newer than a revision; returns whether it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._revision > revision or self._closed, seconds)
            return self._revision > revision

    def judged(self, digest: bytes) -> tuple[int, Fit, tuple[str, ...], str]:
        """Returns a photo's row, the last fit, the classes, and the label proposed for the photo.

        Raises:
            UnknownPhoto: there is no such photo.
        """
        with self._changed:
            row = self._known(digest)[0]
            asked = (one.proposed for one in self._asks if one.digest == digest)
            proposed = next(asked, "")
            best = int(self._last.best[row])
            if not proposed and best >= 0:
                proposed = self._labels[best]
            return row, self._last, tuple(self._labels), proposed

    @property
    def start(self) -> Fit:
        """The heads at the start."""
        return self._start

    def labelled(self) -> np.ndarray:
        """Returns which photos have a label by now, bool, [photos]."""
        with self._changed:
            return self._y >= 0

    def label_of(self, row: int) -> str:
        """Returns the label that a photo has by now; "" for none."""
        with self._changed:
            place = int(self._y[row])
            return self._labels[place] if place >= 0 else ""

    # --- What it does

    def answer(self, digests: Sequence[bytes], action: str, label: str = "") -> None:
        """Takes one answer for some photos; it is on disk when this returns.

        Args:
            digests: which photos.
            action: "relabel", "exclude" or "keep".
            label: one of the classes, where photos are relabelled.

        Raises:
            UnknownPhoto: there is no such photo.
            UserError: the answer is none that these photos can have.
            ChangedMeanwhile: another program has changed the file.
            OSError: the answer can't be written; it was not kept.
        """
        with self._changed:
            self._check_open()
            when = now()
            rows = [
                row for digest in digests for row in self._corrections(digest, action, label, when)
            ]
            if not rows:
                raise UserError("Expected an answer for at least one photo. Received: none.")
            self.answers.give(rows)
            self._answered({row.digest for row in rows})

    def undo(self) -> None:
        """Takes back the last answer of this sitting, with all its photos.

        Raises:
            UserError: there is none.
            ChangedMeanwhile: another program has changed the file.
            OSError: it can't be written; the answer stands.
        """
        with self._changed:
            self._check_open()
            digests = self.answers.take_back()
            if not digests:
                raise UserError("Nothing to undo: every answer of this sitting is taken back.")
            self._answered(digests)

    def add_class(self, label: str) -> None:
        """Adds a class, which photos can be given from now on.

        Raises:
            UserError: it is no name for a class, or there is one like it.
        """
        with self._changed:
            name = class_label(label)
            if not name:
                raise UserError("Expected a name for the class. Received: an empty one.")
            check_name(name, "label", "the page")
            same = [one for one in self._labels if one.casefold() == name.casefold()]
            if same:
                raise UserError(f"There is a class {readable(same[0])!r} already.")
            self._labels.append(name)
            self._tell()

    def refit(self) -> None:
        """Lets the heads learn from all answers, in a thread; the revision rises when it is done.

        Answers that are given meanwhile are learned from afterwards.
        """
        with self._changed:
            self._wanted = True
            if not self._busy:
                self._busy = True
                self._worker = threading.Thread(target=self._work, name="refit", daemon=True)
                self._worker.start()
            self._tell()

    def close(self) -> None:
        """Ends the review: waits for heads that are learning, and lets others have the file."""
        with self._changed:
            self._closed = True
            self._tell()
        if self._worker is not None:
            self._worker.join()
        self.answers.close()

    # --- Within; the lock is held

    def _check_open(self) -> None:
        if self._closed:  # another review may have the file already
            raise XferlearnError("This review has ended. Start it again to go on.")

    def _tell(self) -> None:
        self._revision += 1
        self._changed.notify_all()

    def _known(self, digest: bytes) -> list[int]:
        rows = self._rows.get(digest)
        if rows is None:
            raise UnknownPhoto("This review has no such photo.")
        return rows

    def _without_class(self) -> list[int]:
        rest = np.flatnonzero(self._y < 0).tolist()
        known = self.answers.corrections
        photos = self.material.photos
        return [row for row in rest if self._own[row] is None and photos[row].digest not in known]

    def _pending(self) -> int:
        before, after = self._fitted_with, self.answers.corrections
        # Copies of a photo are no answers of their own.
        return sum(before.get(one) != after.get(one) for one in self._touched if one in self._rows)

    def _item(self, one: Ask, corrections: Corrections) -> dict[str, Any]:
        row = corrections.get(one.digest)
        return {
            "id": one.digest.hex(),
            "name": shown_name(one.name),
            "label": one.label,
            "kind": one.kind,
            "score": round(one.score, 4),
            "proposed": one.proposed,
            "text": one.text,
            "answer": None if row is None else {"action": row.action, "label": row.label},
        }

    def _corrections(self, digest: bytes, action: str, label: str, when: str) -> list[Correction]:
        rows = self._known(digest)
        own = {self._own[row] for row in rows}
        photo = self.material.photos[rows[0]]
        first = self._own[rows[0]]
        if action == KEEP:
            if first is None:
                raise UserError(
                    f"{readable(photo.name)} has no class that could be kept: give it a label, or"
                    " exclude it."
                )
            label = class_label(first)
        elif action == EXCLUDE:
            label = ""
        elif action == RELABEL:
            if label not in self._labels:
                near = did_you_mean(label, self._labels)
                raise UserError(f"There is no class {readable(label)!r}.{near} Add it first.")
            # To give it the label that it has says that this is right.
            action = KEEP if own == {label} else RELABEL
        else:
            raise UserError(
                f"Expected `action` to be relabel, exclude or keep. Received: {readable(action)!r}."
            )
        same = (photo, *self._copies.get(digest, ()))
        return [
            Correction(one.digest, shown_name(one.name), action, label, when, _COMMAND)
            for one in same
        ]

    def _apply(self, digests: Mapping[bytes, Any] | set[bytes]) -> None:
        """Gives photos the labels that they have by now."""
        applied = Applied(self.answers.corrections)
        for digest in digests:
            for row in self._rows.get(digest, ()):
                name = applied.label(digest, self._own[row])
                if name is not None and name not in self._labels:
                    self._labels.append(name)
                self._y[row] = -1 if name is None else self._labels.index(name)

    def _answered(self, digests: set[bytes]) -> None:
        self._touched |= digests
        self._apply(digests)
        if self._pending() >= REFIT_AFTER:
            self.refit()
        else:
            self._tell()

    def _ask_anew(self, found: Sequence[Finding], unlabelled: Sequence[Ask]) -> None:
        """Puts what was answered first, and behind it what is to be asked by the last heads."""
        known, photos = self.answers.corrections, self.material.photos
        names = {
            photo.digest: (photo.name, self._own[row] or "") for row, photo in enumerate(photos)
        }
        answered = {one.digest: one for one in self._asks if one.digest in known}
        for digest in known:
            if digest in names and digest not in answered:
                answered[digest] = asked_before(known[digest], *names[digest])
        still_open = {digest: one for digest, one in names.items() if digest not in known}
        self._asks = [*answered.values(), *asks_of(found, unlabelled, still_open)]

    def _work(self) -> None:
        """Fits until no answer waits; the thread of `refit`."""
        while True:
            with self._changed:
                y, labels, corrections = self._y.copy(), (*self._labels,), self.answers.corrections
                rows, self._wanted = self._without_class(), False
            error = ""
            try:
                last = fit(self._heads, y, len(labels))
                # The accuracy is there long before the list of what to ask next.
                with self._changed:
                    self._learned(last, corrections)
                to_ask = self._finder.find(last, labels, rows)
            except Exception as problem:  # whatever it is, the page has to say it
                error = one_line(problem, 500)
            with self._changed:
                self._error = error
                if not error:
                    self._ask_anew(*to_ask)
                more = self._wanted or (not error and self._pending() >= REFIT_AFTER)
                self._busy = more and not self._closed
                self._tell()
                if not self._busy:
                    return

    def _learned(self, last: Fit, corrections: Corrections) -> None:
        self._last, self._fitted_with = last, corrections
        now_given = self.answers.corrections
        self._touched = {one for one in self._touched if corrections.get(one) != now_given.get(one)}
        self._tell()


def shown_name(name: str) -> str:
    """Returns a photo's name as text; bytes that are not UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
